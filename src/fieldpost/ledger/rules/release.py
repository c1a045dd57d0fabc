# SPDX-License-Identifier: Apache-2.0
"""Releases: `release.publish|floor|sign|withdraw` (docs/spec/rules.md, release).

Signed by the release threshold. A release is a sequence that only grows and a manifest digest that
is used once; publishing offers it to nobody. What no device of the class could take is refused.
A floor and a withdrawal take offers out of heads in the same apply; a further signature only tells
the devices that saw too few to look again.
"""

from collections.abc import Mapping
from dataclasses import replace

from fieldpost import cbor
from fieldpost.errors import Untrusted
from fieldpost.keys import PublicKey
from fieldpost.ledger.authority import Reach, check_role, take_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.heads import keep_offers, read_heads, touch_heads
from fieldpost.ledger.quota import charge, charge_reserve
from fieldpost.ledger.reading import (
    Maker,
    check_claims,
    read_class,
    read_class_counters,
    read_maker,
    read_payload,
    read_release,
)
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.posts.release import (
    block_value,
    decode_release_floor,
    decode_release_sign,
    decode_release_withdraw,
    read_block,
)
from fieldpost.records import map_keys
from fieldpost.records.counters import ReleaseCounters
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.head import Offer
from fieldpost.records.limits import FULL_THRESHOLD
from fieldpost.records.maker import Role
from fieldpost.records.release import Artifact, ReleaseRecord, decode_release_record
from fieldpost.suit.envelope import AuthenticationBlock, sig_structure


def decide_release_publish(read: Reader, post: Post, ctx: Context) -> Writes:
    """A new release of a class. Raises Rejected or Malformed."""
    record = read_payload(post, decode_release_record)
    class_id, sequence = record.class_id, record.sequence
    maker = _check_signers(read, post, ctx, class_id, sequence)
    writes = take_nonce(read, post, maker, Role.RELEASE, record.nonce)
    writes |= charge(read, ctx, maker.id.hex(), Role.RELEASE)
    device_class = read_class(read, class_id)
    counters = read_class_counters(read, class_id)
    _check_sequence(sequence, counters.newest, counters.newest + device_class.sequence_window)
    if read.value(map_keys.manifest(class_id, record.manifest)) is not None:
        raise refusal(Code.MANIFEST_TAKEN, f"manifest {record.manifest.hex()} is published")
    _check_limits(record, device_class.limits)
    return writes | {
        map_keys.release(class_id, sequence): post.statement.payload,
        map_keys.release_counters(class_id, sequence): ReleaseCounters().encode(),
        map_keys.class_counters(class_id): replace(counters, newest=sequence).encode(),
        map_keys.manifest(class_id, record.manifest): cbor.encode(sequence),
    }


def decide_release_floor(read: Reader, post: Post, ctx: Context) -> Writes:
    """Nothing below the floor is offered any more, steps towards it apart.

    Raises Rejected or Malformed.
    """
    floor = read_payload(post, decode_release_floor)
    maker = _check_signers(read, post, ctx, floor.class_id, floor.floor)
    writes = take_nonce(read, post, maker, Role.RELEASE, floor.nonce)
    writes |= charge(read, ctx, maker.id.hex(), Role.RELEASE)
    counters = read_class_counters(read, floor.class_id)
    highest = _highest_floor(read, floor.class_id)
    if not counters.floor < floor.floor <= highest:
        raise refusal(
            Code.FLOOR,
            f"{floor.floor}; it is {counters.floor}, and what every channel offers to all "
            f"its devices carries it to {highest}",
        )

    def is_kept(offer: Offer) -> bool:
        return offer.sequence >= floor.floor or offer.is_step_to(floor.floor)

    return (
        writes
        | {map_keys.class_counters(floor.class_id): replace(counters, floor=floor.floor).encode()}
        | keep_offers(read, floor.class_id, is_kept)
    )


def decide_release_sign(read: Reader, post: Post, ctx: Context) -> Writes:
    """Further signatures over a published manifest, by current release keys.

    Raises Rejected or Malformed.
    """
    sign = read_payload(post, decode_release_sign)
    maker = _check_signers(read, post, ctx, sign.class_id, sign.sequence)
    writes = take_nonce(read, post, maker, Role.RELEASE, sign.nonce)
    writes |= charge(read, ctx, maker.id.hex(), Role.RELEASE)
    record, counters = read_release(read, sign.class_id, sign.sequence)
    if counters.withdrawn is not None:
        raise refusal(Code.WITHDRAWN, f"sequence {sign.sequence}: {counters.withdrawn}")
    keys = {
        kid: entry.key
        for kid, entry in maker.keys[Role.RELEASE].items()
        # Devices do not count a key whose scope leaves their class out.
        if entry.scope is None
        or entry.scope.classes is None
        or sign.class_id in entry.scope.classes
    }
    for block in sign.blocks:
        _check_block(block, record.manifest, keys, ctx)
    key = map_keys.release_blocks(sign.class_id, sign.sequence)
    blocks = {block.kid: block for block in _read_blocks(read, key) if block.kid in keys}
    blocks |= {block.kid: block for block in sign.blocks}
    return (
        writes
        | {key: cbor.encode([block_value(blocks[kid]) for kid in sorted(blocks)])}
        | touch_heads(read, sign.class_id, sign.sequence)
    )


def decide_release_withdraw(read: Reader, post: Post, ctx: Context) -> Writes:
    """A release that no head offers any more, for good. Raises Rejected or Malformed."""
    withdraw = read_payload(post, decode_release_withdraw)
    class_id, sequence = withdraw.class_id, withdraw.sequence
    maker = _check_signers(read, post, ctx, class_id, sequence)
    writes = take_nonce(read, post, maker, Role.RELEASE, withdraw.nonce)
    writes |= charge_reserve(read, ctx, maker.id.hex(), Role.RELEASE)
    _, counters = read_release(read, class_id, sequence)
    if counters.withdrawn is not None:
        raise refusal(Code.WITHDRAWN, f"sequence {sequence}: {counters.withdrawn}")
    withdrawn = replace(counters, withdrawn=withdraw.reason)
    return (
        writes
        | {map_keys.release_counters(class_id, sequence): withdrawn.encode()}
        | keep_offers(read, class_id, lambda offer: offer.sequence != sequence)
    )


def _check_signers(read: Reader, post: Post, ctx: Context, class_id: bytes, sequence: int) -> Maker:
    maker = read_maker(read, read_class(read, class_id).maker)
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_release(class_id, sequence))
    check_role(post, ctx, maker, Role.RELEASE, Reach(class_id=class_id))
    return maker


def _highest_floor(read: Reader, class_id: bytes) -> int:
    """What every channel that offers anything offers to everyone; 0 if one does not, or none."""
    newest = [
        max(
            (
                offer.sequence
                for offer in head.offers
                if offer.threshold == FULL_THRESHOLD and not offer.lots
            ),
            default=0,
        )
        for _, head in read_heads(read, class_id)
        if head.offers
    ]
    return min(newest, default=0)


def _read_blocks(read: Reader, key: bytes) -> tuple[AuthenticationBlock, ...]:
    value = read.value(key)
    if value is None:
        return ()
    match cbor.decode(value):
        case tuple(blocks):
            return tuple(read_block(block) for block in blocks)
    raise AssertionError("blocks that no rule writes")


def _check_block(
    block: AuthenticationBlock, manifest: bytes, keys: Mapping[bytes, PublicKey], ctx: Context
) -> None:
    key = keys.get(block.kid)
    if key is None:
        raise refusal(Code.UNKNOWN_KEY, f"{block.kid.hex()} is no release key of this class")
    if key.algorithm != block.algorithm:
        raise refusal(Code.BAD_SIGNATURE, f"the block of {block.kid.hex()}: another algorithm")
    try:
        ctx.check_signature(key, sig_structure(block.protected(), manifest), block.signature)
    except Untrusted as error:
        raise refusal(Code.BAD_SIGNATURE, f"the block of {block.kid.hex()} is not valid") from error


def _check_sequence(sequence: int, newest: int, last: int) -> None:
    if not newest < sequence <= last:
        raise refusal(Code.SEQUENCE, f"sequence {sequence}; the next one is in {newest + 1}…{last}")


def _check_limits(record: ReleaseRecord, limits: DeviceLimits) -> None:
    if record.envelope_bytes > limits.envelope_bytes:
        raise refusal(
            Code.ENVELOPE_SIZE, f"{record.envelope_bytes} bytes; at most {limits.envelope_bytes}"
        )
    for artifact in record.artifacts:
        _check_artifact(artifact, limits)


def _check_artifact(artifact: Artifact, limits: DeviceLimits) -> None:
    if artifact.encoding not in limits.encodings:
        raise refusal(Code.ENCODING, f"encoding {artifact.encoding.name.lower()}")
    if artifact.delta_format is not None and artifact.delta_format not in limits.delta_formats:
        raise refusal(Code.ENCODING, f"delta format {artifact.delta_format.name.lower()}")
    # A whole artifact is the image itself; the record holds one for every image.
    if artifact.is_whole and artifact.size > limits.image_bytes:
        raise refusal(Code.IMAGE_SIZE, f"{artifact.size} bytes; at most {limits.image_bytes}")
