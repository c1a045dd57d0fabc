# SPDX-License-Identifier: Apache-2.0
"""The board's own record: `genesis` and `board.set` (docs/spec/rules.md, board).

Genesis is signed by every operator's governance key, a change by a quorum of the operators so far
and by every key that it adds. Every key by which an operator signs anything (governance, log,
cosigner, validator) is taken from then on, for good. Witnesses' keys are not, since a witness
serves many boards, but none may ever be an operator's: an operator must not count twice.
"""

from collections.abc import Iterator
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm, PublicKey
from fieldpost.ledger.authority import (
    check_signatures,
    check_sound,
    issuing_operator,
    take_keys,
)
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Overlay, Reader, Writes
from fieldpost.ledger.links import extend_chain
from fieldpost.ledger.quota import OPERATOR, charge_reserve
from fieldpost.ledger.reading import check_claims, read_board, read_payload
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, Operator, decode_board_record

FIRST_VERSION: Final = 1
# (key, operator's name, role): what is taken, and what a change of the record adds.
_Held = tuple[PublicKey, str, str]


def decide_genesis(read: Reader, post: Post, ctx: Context) -> Writes:
    """The first board record, on an empty map; in a running board's batch it is `wrong-board`.

    Issuer: the name of one of the operators; subject and audience: the origin, since the board id
    follows from this very entry. Raises Rejected or Malformed.
    """
    record = read_payload(post, decode_board_record)
    if post.statement.audience != record.origin:
        raise refusal(Code.WRONG_BOARD, f"aud of genesis is the origin, {record.origin}")
    issuer = issuing_operator(post, record)
    check_claims(post, issuer=issuer.name, subject=record.origin)
    writes = _extend(read, post, ctx, record)
    if record.rule_version != FIRST_VERSION:
        raise refusal(Code.UNSUPPORTED, f"rule version {record.rule_version}; known is 1")
    check_signatures(post, record.governance, ctx)
    _check_possession(post, set(record.governance))
    writes |= _take(Overlay(read, writes), set(_held(record)))
    return writes | _mark_witnesses(Overlay(read, writes), record)


def decide_board_set(read: Reader, post: Post, ctx: Context) -> Writes:
    """The board record replaced as a whole. Raises Rejected or Malformed.

    Issuer: one of the operators so far. The new rules, if it names others, begin with the next
    batch; a successor origin closes the board with this very post.
    """
    record = read_payload(post, decode_board_record)
    before = read_board(read)
    issuer = issuing_operator(post, before)
    check_claims(post, issuer=issuer.name, subject=before.origin)
    added = set(_held(record)) - set(_held(before))
    proven = {key.thumbprint(): key for key, _, _ in added}
    check_signatures(post, before.governance | proven, ctx)
    signers = {signature.kid for signature in post.signatures}
    _check_quorum(before, signers)
    _check_possession(post, set(proven))
    writes = _extend(read, post, ctx, record)
    writes |= charge_reserve(read, ctx, issuer.name, OPERATOR)
    _check_change(before, record)
    writes |= _take(Overlay(read, writes), added)
    return writes | _mark_witnesses(Overlay(read, writes), record)


def _extend(read: Reader, post: Post, ctx: Context, record: BoardRecord) -> Writes:
    return extend_chain(
        read,
        post,
        ctx,
        record_key=map_keys.board(),
        epoch=record.epoch,
        previous=record.previous,
    )


def _check_quorum(before: BoardRecord, signers: set[bytes]) -> None:
    count = len(signers & set(before.governance))
    if count < before.quorum:
        raise refusal(Code.THRESHOLD, f"{count} of {before.quorum} operators signed")


def _check_change(before: BoardRecord, record: BoardRecord) -> None:
    if record.origin != before.origin:
        raise refusal(Code.WRONG_SUBJECT, f"the record is of {record.origin}")
    # Whether a program knows the next version must not decide what is accepted: replicas would
    # part. One that does not know it stops before the next batch.
    if record.rule_version not in (before.rule_version, before.rule_version + 1):
        raise refusal(
            Code.RULE_VERSION, f"version {record.rule_version} after {before.rule_version}"
        )
    if record.successor_origin == record.origin:
        raise Malformed("board record: a board does not succeed itself")
    if before.successor_origin is not None and record.successor_origin is None:
        raise refusal(Code.CLOSED, "a closed board does not open again")


def _check_possession(post: Post, needed: set[bytes]) -> None:
    missing = needed - {signature.kid for signature in post.signatures}
    if missing:
        raise refusal(Code.POSSESSION, f"key {min(missing).hex()} has not signed")


def _held(record: BoardRecord) -> Iterator[_Held]:
    for operator in record.operators:
        for key, role in _keys_of(operator):
            yield key, operator.name, role


def _keys_of(operator: Operator) -> Iterator[tuple[PublicKey, str]]:
    yield operator.governance_key, "governance"
    yield operator.log_key.public_key, "log"
    for key in operator.cosigner_keys:
        yield key.public_key, "cosigner"
    if operator.validator_key is not None:
        yield PublicKey(Algorithm.ED25519, operator.validator_key), "validator"


def _take(read: Reader, added: set[_Held]) -> Writes:
    writes: Writes = {}
    for key, name, role in sorted(added, key=lambda held: (held[0].thumbprint(), held[1:])):
        if read.value(map_keys.witness_key(key.thumbprint())) is not None:
            raise refusal(Code.KEY_TAKEN, f"{role} key of {name} is or was a witness's")
        writes |= take_keys(Overlay(read, writes), [(key, role)], holder=name)
    return writes


def _mark_witnesses(read: Reader, record: BoardRecord) -> Writes:
    roles = {"governance", "log", "cosigner", "validator"}
    writes: Writes = {}
    for witness in record.witnesses:
        key = witness.key.public_key
        check_sound(key, f"witness {witness.key.name}")
        thumbprint = key.thumbprint()
        holder = read.value(map_keys.used_key(thumbprint))
        match None if holder is None else cbor.decode(holder):
            case (_, str(role)) if role in roles:
                raise refusal(Code.KEY_TAKEN, f"witness {witness.key.name} has an operator's key")
        writes[map_keys.witness_key(thumbprint)] = cbor.encode(witness.key.name)
    return writes
