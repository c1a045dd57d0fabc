# SPDX-License-Identifier: Apache-2.0
"""Makers: `maker.register` (docs/spec/rules.md, maker).

The post is signed by **every** key that its roles name: that is the root threshold and each key's
proof of possession in one. With at most 32 signatures, a maker begins with at most 32 keys.
Governance keys of operators may sign beside them, as an endorsement; where the board admits only
endorsed makers, one must. Report, successor and witness keys sign nothing here and are exempt.
"""

from fieldpost import cbor
from fieldpost.keys import PublicKey
from fieldpost.ledger.authority import check_signatures, check_sound, take_keys
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.links import extend_chain
from fieldpost.ledger.reading import check_claims, find_link, read_board, read_payload
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.records import identifiers, map_keys
from fieldpost.records.board import Admission, BoardRecord
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record
from fieldpost.records.policy import DevicePolicy


def decide_maker_register(read: Reader, post: Post, ctx: Context) -> Writes:
    """The first record of a maker whose device policy names this board.

    Raises Rejected or Malformed; `unsupported` for a record that carries earlier links.
    """
    record = read_payload(post, decode_maker_record)
    maker_id = identifiers.maker_id(
        [entry.key for entry in record.root.keys], record.root.threshold
    )
    check_claims(post, issuer=maker_id.hex(), subject=subjects.of_maker(maker_id))
    if record.earlier_links:
        raise refusal(Code.UNSUPPORTED, "a maker that comes from another board")
    writes = extend_chain(
        read,
        post,
        ctx,
        record_key=map_keys.maker(maker_id),
        epoch=record.epoch,
        previous=record.previous,
    )
    board = read_board(read)
    keys = {
        entry.key.thumbprint(): (entry.key, role)
        for role in Role
        for entry in record.keys_of(role).keys
    }
    _check_signers(post, ctx, {kid: key for kid, (key, _) in keys.items()}, board)
    writes |= take_keys(
        read,
        ((key, role.name.lower()) for key, role in keys.values()),
        holder=maker_id.hex(),
    )
    _check_exempt_keys(record)
    _check_policy(read, ctx, record.policy, board)
    writes[map_keys.maker_classes(maker_id)] = cbor.encode([])
    return writes


def _check_signers(
    post: Post, ctx: Context, keys: dict[bytes, PublicKey], board: BoardRecord
) -> None:
    governance = {op.governance_key.thumbprint(): op.governance_key for op in board.operators}
    check_signatures(post, governance | keys, ctx)
    signers = {signature.kid for signature in post.signatures}
    missing = set(keys) - signers
    if missing:
        raise refusal(Code.POSSESSION, f"key {min(missing).hex()} has not signed")
    if board.admission is Admission.ENDORSED and signers.isdisjoint(governance):
        raise refusal(Code.NOT_ENDORSED, "ask an operator of this board to sign as well")


def _check_exempt_keys(record: MakerRecord) -> None:
    if record.report_key is not None:
        check_sound(record.report_key, "report key")
    if record.successor is not None:
        for entry in record.successor.keys.keys:
            check_sound(entry.key, "successor's key")


def _check_policy(read: Reader, ctx: Context, policy: DevicePolicy, board: BoardRecord) -> None:
    if policy.board != ctx.board:
        raise refusal(Code.BAD_POLICY, f"the device policy must name {ctx.board}")
    link = find_link(read, map_keys.board())
    assert link is not None  # genesis wrote it
    if policy.board_epoch > link.epoch:
        raise refusal(Code.BAD_POLICY, f"the board is at epoch {link.epoch}")
    # Digests of earlier links are not in the map; devices follow the chain from theirs or fail.
    if policy.board_epoch == link.epoch and policy.board_link != link.digest:
        raise refusal(Code.BAD_POLICY, f"the board's link is {link.digest.hex()}")
    # Genesis refuses operators' keys as witnesses, so the board's own witnesses are safe to name.
    strange = set(policy.witnesses) - {witness.key for witness in board.witnesses}
    if strange:
        names = ", ".join(sorted(key.name for key in strange))
        raise refusal(Code.BAD_POLICY, f"no witnesses of this board: {names}")
