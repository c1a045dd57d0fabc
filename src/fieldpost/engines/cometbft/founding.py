# SPDX-License-Identifier: Apache-2.0
"""What the operators of a new board begin with: genesis.json from the genesis post and a time."""

from fieldpost.engines.cometbft.genesis import Genesis, Validator
from fieldpost.errors import Malformed
from fieldpost.ledger.genesis import apply_genesis
from fieldpost.ledger.reading import read_board
from fieldpost.records.board import BoardRecord
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tree import CompactRange


def found_board(entry: bytes, *, time: int) -> Genesis:
    """The genesis of a new board: the batch of its genesis post, at `time` (Unix seconds).

    Raises Malformed or Rejected for a post that founds no board, or whose operators have no
    validator keys.
    """
    batch = apply_genesis(entry, time=time)
    return Genesis(
        board=batch.state.board,
        time=time,
        size=batch.state.size,
        root=CompactRange.empty().extend(map(leaf_hash, batch.entries)).root(),
        genesis_post=entry,
        validators=validators_of(read_board(batch.state.map)),
    )


def validators_of(record: BoardRecord) -> tuple[Validator, ...]:
    """One validator for each operator. Raises Malformed for an operator without a key for it."""
    validators: list[Validator] = []
    for operator in record.operators:
        if operator.validator_key is None:
            raise Malformed(
                f"operator {operator.name} has no validator key: its public file must come from "
                "`fieldpost operator init`"
            )
        validators.append(Validator(operator.name, operator.validator_key))
    return tuple(validators)
