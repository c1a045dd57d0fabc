# SPDX-License-Identifier: Apache-2.0
"""The first batch of a board: its `genesis` post and a state leaf, from nothing.

The board id follows from the genesis entry, so the entry cannot name it; its audience is the
origin alone (docs/spec/log.md).
"""

from collections.abc import Sequence

from fieldpost.keys import Signer, verify_signature
from fieldpost.ledger.batch import Batch, Included, close_batch
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import CheckSignature, Context, Overlay
from fieldpost.ledger.rules import RULES
from fieldpost.posts.envelope import Statement, decode_post, sign_post
from fieldpost.records.board import BoardRecord
from fieldpost.records.identifiers import board_id
from fieldpost.statemap import StateMap
from fieldpost.tlog.hashing import leaf_hash


def make_genesis(record: BoardRecord, signers: Sequence[Signer]) -> bytes:
    """The genesis entry of `record`, signed by `signers`: every operator's governance key."""
    statement = Statement(
        kind="genesis",
        issuer=record.operators[0].name,
        subject=record.origin,
        audience=record.origin,
        payload=record.encode(),
    )
    return sign_post(statement, signers).encode()


def apply_genesis(
    entry: bytes, *, time: int, check_signature: CheckSignature = verify_signature
) -> Batch:
    """The batch of `entry` and its state leaf, at `time` (Unix seconds).

    Raises Malformed or Rejected: without a valid genesis there is no board.
    """
    post = decode_post(entry)
    if post.statement.kind != "genesis":
        raise refusal(Code.UNKNOWN_KIND, f"a log begins with genesis, not {post.statement.kind}")
    nothing = StateMap.empty()
    board = board_id(post.statement.audience, leaf_hash(entry))
    context = Context(
        board=board,
        time=time,
        entry=entry,
        previous_map_root=nothing.root,
        check_signature=check_signature,
    )
    writes = RULES["genesis"](Overlay(nothing, {}), post, context)
    state = close_batch(nothing.update(writes), board=board, before=0, accepted=1, time=time)
    return Batch(
        state=state, entries=(entry, state.last.encode()), outcomes=(Included(0),), writes=writes
    )
