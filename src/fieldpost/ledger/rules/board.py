# SPDX-License-Identifier: Apache-2.0
"""The board's own record: `genesis` (docs/spec/rules.md, board).

Every operator's governance key signs. Every key by which an operator signs anything (governance,
log, cosigner, validator) is taken from then on; witnesses' keys are not, since a witness serves
many boards, but none may be an operator's: an operator must not count twice.
"""

from collections.abc import Iterator
from typing import Final

from fieldpost.keys import Algorithm, PublicKey
from fieldpost.ledger.authority import check_signatures, check_sound, take_keys
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Overlay, Reader, Writes
from fieldpost.ledger.links import extend_chain
from fieldpost.ledger.reading import read_payload
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, Operator, decode_board_record

RULE_VERSION: Final = 1


def decide_genesis(read: Reader, post: Post, ctx: Context) -> Writes:
    """The first board record, on an empty map; in a running board's batch it is `wrong-board`.

    Issuer: the name of one of the operators; subject and audience: the origin, since the board id
    follows from this very entry. Raises Rejected or Malformed.
    """
    record = read_payload(post, decode_board_record)
    _check_claims(post, record)
    writes = extend_chain(
        read,
        post,
        ctx,
        record_key=map_keys.board(),
        epoch=record.epoch,
        previous=record.previous,
    )
    if record.rule_version != RULE_VERSION:
        raise refusal(Code.UNSUPPORTED, f"rule version {record.rule_version}; known is 1")
    governance = {op.governance_key.thumbprint(): op.governance_key for op in record.operators}
    check_signatures(post, governance, ctx)
    missing = set(governance) - {signature.kid for signature in post.signatures}
    if missing:
        raise refusal(Code.POSSESSION, f"governance key {min(missing).hex()} has not signed")
    for operator in record.operators:
        writes |= _take_operator(read, writes, operator)
    for witness in record.witnesses:
        key = witness.key.public_key
        check_sound(key, f"witness {witness.key.name}")
        if map_keys.used_key(key.thumbprint()) in writes:
            raise refusal(Code.KEY_TAKEN, f"witness {witness.key.name} has an operator's key")
    return writes


def _check_claims(post: Post, record: BoardRecord) -> None:
    statement = post.statement
    if statement.audience != record.origin:
        raise refusal(Code.WRONG_BOARD, f"aud of genesis is the origin, {record.origin}")
    if statement.issuer not in {operator.name for operator in record.operators}:
        raise refusal(Code.WRONG_ISSUER, f"{statement.issuer} is no operator of this record")
    if statement.subject != record.origin:
        raise refusal(Code.WRONG_SUBJECT, f"sub of genesis is the origin, {record.origin}")


def _take_operator(read: Reader, writes: Writes, operator: Operator) -> Writes:
    return take_keys(Overlay(read, writes), _keys_of(operator), holder=operator.name)


def _keys_of(operator: Operator) -> Iterator[tuple[PublicKey, str]]:
    yield operator.governance_key, "governance"
    yield operator.log_key.public_key, "log"
    for key in operator.cosigner_keys:
        yield key.public_key, "cosigner"
    if operator.validator_key is not None:
        yield PublicKey(Algorithm.ED25519, operator.validator_key), "validator"
