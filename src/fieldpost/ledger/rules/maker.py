# SPDX-License-Identifier: Apache-2.0
"""Makers: `maker.register`, `maker.set`, `maker.attest` (docs/spec/rules.md, maker).

A first registration is signed by **every** key that its roles name: root threshold and proof of
possession in one. A maker from another board brings its chain of links instead, signed by the root
threshold of the last one; a later registration that extends the recorded chain replaces it. A
change is signed by old and new root threshold and by every key that it adds.

Governance keys of operators may sign beside a registration, as an endorsement; where the board
admits only endorsed makers, one must. Report, successor and witness keys are exempt.
"""

from fieldpost import cbor
from fieldpost.keys import PublicKey
from fieldpost.ledger.authority import (
    check_operators,
    check_signatures,
    check_sound,
    take_keys,
    take_operator_nonce,
)
from fieldpost.ledger.class_algorithms import check_algorithms
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Overlay, Reader, Writes
from fieldpost.ledger.domains import attest
from fieldpost.ledger.heads import relink_heads
from fieldpost.ledger.links import extend_chain
from fieldpost.ledger.maker_chain import (
    ChainLink,
    added_keys,
    check_root,
    held_keys,
    read_chain,
)
from fieldpost.ledger.quota import OPERATOR, charge, charge_registration, charge_reserve
from fieldpost.ledger.reading import (
    check_claims,
    find_link,
    read_board,
    read_class,
    read_classes_of,
    read_maker,
    read_payload,
)
from fieldpost.posts import subjects
from fieldpost.posts.attestation import decode_maker_attest
from fieldpost.posts.envelope import Post
from fieldpost.records import identifiers, map_keys
from fieldpost.records.board import Admission, BoardRecord
from fieldpost.records.counters import Link
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record
from fieldpost.records.policy import DevicePolicy


def decide_maker_register(read: Reader, post: Post, ctx: Context) -> Writes:
    """The first record of a maker on this board, or its chain so far.

    Raises Rejected or Malformed.
    """
    record = read_payload(post, decode_maker_record)
    if record.earlier_links:
        return _register_chain(read, post, ctx, record)
    maker_id = identifiers.maker_id(
        [entry.key for entry in record.root.keys], record.root.threshold
    )
    check_claims(post, issuer=maker_id.hex(), subject=subjects.of_maker(maker_id))
    writes = extend_chain(
        read,
        post,
        ctx,
        record_key=map_keys.maker(maker_id),
        epoch=record.epoch,
        previous=record.previous,
    )
    board = read_board(read)
    writes |= _admit(read, post, ctx, maker_id, board)
    keys = held_keys(record)
    check_signatures(post, board.governance | _public(keys), ctx)
    _check_possession(post, keys)
    if record.policy.board != ctx.board:
        raise refusal(Code.BAD_POLICY, f"the device policy must name {ctx.board}")
    _check_record(read, ctx, record, board)
    return writes | _take(read, maker_id, keys)


def decide_maker_set(read: Reader, post: Post, ctx: Context) -> Writes:
    """The maker record replaced as a whole, and every head of the maker put under it.

    Raises Rejected or Malformed.
    """
    record = read_payload(post, decode_maker_record)
    maker_id = _read_subject(post)
    before = read_maker(read, maker_id).record
    check_claims(post, issuer=maker_id.hex(), subject=subjects.of_maker(maker_id))
    added = added_keys(before, record)
    roots = before.root.by_kid() | record.root.by_kid()
    check_signatures(post, roots | _public(added), ctx)
    signers = {signature.kid for signature in post.signatures}
    check_root(before, signers, "old")
    check_root(record, signers, "new")
    _check_possession(post, added)
    if record.earlier_links:
        raise refusal(Code.BAD_CHAIN, "earlier links stand only where a maker registers")
    if before.policy.board != ctx.board:
        raise refusal(Code.MOVED, f"the policy names {before.policy.board}: post the link there")
    writes = extend_chain(
        read,
        post,
        ctx,
        record_key=map_keys.maker(maker_id),
        epoch=record.epoch,
        previous=record.previous,
    )
    writes |= charge_reserve(read, ctx, maker_id.hex(), Role.ROOT)
    _check_record(read, ctx, record, read_board(read))
    writes |= _take(read, maker_id, added)
    return writes | _move_classes(Overlay(read, writes), maker_id)


def decide_maker_attest(read: Reader, post: Post, ctx: Context) -> Writes:
    """Operators saw that a maker controls a domain. Raises Rejected or Malformed.

    ⌊(n-1)/3⌋+1 operators sign, so one of them at least is honest; see `domains` for taking over.
    """
    payload = read_payload(post, decode_maker_attest)
    board = read_board(read)
    needed = (len(board.operators) - 1) // 3 + 1
    issuer = check_operators(post, ctx, board, needed=needed)
    check_claims(post, issuer=issuer.name, subject=subjects.of_maker(payload.maker))
    writes = take_operator_nonce(read, issuer, payload.nonce)
    writes |= charge(read, ctx, issuer.name, OPERATOR)
    epoch = read_maker(read, payload.maker).link(read).epoch
    if payload.epoch != epoch:
        raise refusal(Code.MAKER_EPOCH, f"epoch {payload.epoch}; the maker is at {epoch}")
    is_quorum = len(post.signatures) >= board.quorum
    return writes | attest(read, payload, time=ctx.time, is_quorum=is_quorum)


# --- a maker from another board ---


def _register_chain(read: Reader, post: Post, ctx: Context, record: MakerRecord) -> Writes:
    board = read_board(read)
    claimed = _read_subject(post)
    recorded = find_link(read, map_keys.maker(claimed))
    counted = _admit(read, post, ctx, claimed, board) if recorded is None else {}
    maker_id, links = read_chain(record.earlier_links, ctx)
    check_claims(post, issuer=maker_id.hex(), subject=subjects.of_maker(maker_id))
    last = links[-1]
    if record.without_earlier_links() != last.record:
        raise refusal(Code.BAD_CHAIN, "the record is not that of the chain's last link")
    check_signatures(post, board.governance | record.root.by_kid(), ctx)
    check_root(record, {signature.kid for signature in post.signatures}, "last")
    _check_extension(links, recorded, ctx)
    _check_record(read, ctx, record, board)
    writes = counted | {
        map_keys.maker(maker_id): post.statement.payload,
        map_keys.link(map_keys.maker(maker_id)): Link(record.epoch, last.digest).encode(),
        **_take(read, maker_id, _not_yet_taken(read, maker_id, record)),
    }
    if recorded is None:
        return writes
    writes |= charge_reserve(read, ctx, maker_id.hex(), Role.ROOT)
    return writes | _move_classes(Overlay(read, writes), maker_id)


def _check_extension(links: tuple[ChainLink, ...], recorded: Link | None, ctx: Context) -> None:
    """The chain goes on from what is recorded, by links that were for other boards."""
    new = links
    if recorded is not None:
        at = recorded.epoch
        if any(link.digest != recorded.digest for link in links[at : at + 1]):
            raise refusal(Code.PREVIOUS_LINK, f"epoch {at} is {recorded.digest.hex()} here")
        new = links[at + 1 :]
        if not new:
            raise refusal(Code.TAKEN, f"the chain is recorded up to epoch {at}")
    if any(link.board == ctx.board for link in new):
        raise refusal(Code.BAD_CHAIN, "a link that is for this board was never posted here")


def _not_yet_taken(
    read: Reader, maker_id: bytes, record: MakerRecord
) -> dict[bytes, tuple[PublicKey, Role]]:
    return {
        kid: (key, role)
        for kid, (key, role) in held_keys(record).items()
        if read.value(map_keys.used_key(kid)) != cbor.encode([maker_id.hex(), role.name.lower()])
    }


# --- what every record must satisfy ---


def _check_record(read: Reader, ctx: Context, record: MakerRecord, board: BoardRecord) -> None:
    if record.report_key is not None:
        check_sound(record.report_key, "report key")
    if record.successor is not None:
        for entry in record.successor.keys.keys:
            check_sound(entry.key, "successor's key")
    # Of a policy for another board nothing can be judged here; devices follow it there or stay.
    if record.policy.board == ctx.board:
        _check_policy(read, record.policy, board)


def _check_policy(read: Reader, policy: DevicePolicy, board: BoardRecord) -> None:
    link = find_link(read, map_keys.board())
    assert link is not None  # genesis wrote it
    if policy.board_epoch > link.epoch:
        raise refusal(Code.BAD_POLICY, f"the board is at epoch {link.epoch}")
    # Digests of earlier links are not in the map; devices follow the chain from theirs or fail.
    if policy.board_epoch == link.epoch and policy.board_link != link.digest:
        raise refusal(Code.BAD_POLICY, f"the board's link is {link.digest.hex()}")
    # No operator's key is ever a witness of the record, so the board's witnesses are safe to name.
    strange = set(policy.witnesses) - {witness.key for witness in board.witnesses}
    if strange:
        names = ", ".join(sorted(key.name for key in strange))
        raise refusal(Code.BAD_POLICY, f"no witnesses of this board: {names}")


def _check_possession(post: Post, keys: dict[bytes, tuple[PublicKey, Role]]) -> None:
    missing = set(keys) - {signature.kid for signature in post.signatures}
    if missing:
        raise refusal(Code.POSSESSION, f"key {min(missing).hex()} has not signed")


def _take(read: Reader, maker_id: bytes, keys: dict[bytes, tuple[PublicKey, Role]]) -> Writes:
    named = ((key, role.name.lower()) for key, role in keys.values())
    return take_keys(read, named, holder=maker_id.hex())


def _admit(read: Reader, post: Post, ctx: Context, maker_id: bytes, board: BoardRecord) -> Writes:
    """What a new maker costs the board, and its empty list of classes.

    Asked before any signature is checked, so strangers cannot keep the board busy once the day's
    registrations are used up. Endorsed is what claims to be; the signature must then be good.
    """
    signers = {signature.kid for signature in post.signatures}
    endorsed = not signers.isdisjoint(board.governance)
    if board.admission is Admission.ENDORSED and not endorsed:
        raise refusal(Code.NOT_ENDORSED, "ask an operator of this board to sign as well")
    counted = charge_registration(read, ctx, endorsed=endorsed)
    return counted | {map_keys.maker_classes(maker_id): cbor.encode([])}


def _move_classes(read: Reader, maker_id: bytes) -> Writes:
    """All heads of the maker under its new record, which every class must be able to verify."""
    maker = read_maker(read, maker_id)
    class_ids = read_classes_of(read, maker_id)
    for class_id in class_ids:
        check_algorithms(read_class(read, class_id), maker)
    return relink_heads(read, class_ids, maker.link(read))


def _public(keys: dict[bytes, tuple[PublicKey, Role]]) -> dict[bytes, PublicKey]:
    return {kid: key for kid, (key, _) in keys.items()}


def _read_subject(post: Post) -> bytes:
    subject = post.statement.subject
    try:
        maker_id = bytes.fromhex(subject)
    except ValueError as error:
        raise refusal(Code.WRONG_SUBJECT, f"{subject} is no maker id") from error
    if len(maker_id) != 16 or maker_id.hex() != subject:
        raise refusal(Code.WRONG_SUBJECT, f"{subject} is no maker id")
    return maker_id
