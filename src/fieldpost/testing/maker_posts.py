# SPDX-License-Identifier: Apache-2.0
"""What a maker posts after its releases are out: rotation, floors, withdrawals, care of devices.

    world.accept(maker_set(world.maker, contact="security@acme.example"))
    world.accept(release_withdraw(world.maker, 11))

As with the methods of `MakerActor`, everything is right but what the arguments change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from fieldpost.keys import Signer
from fieldpost.posts import subjects
from fieldpost.posts.device import DeviceStatusSet
from fieldpost.posts.fleet import FleetSummary
from fieldpost.posts.release import ReleaseFloor, ReleaseSign, ReleaseWithdraw
from fieldpost.records import map_keys
from fieldpost.records.advisory import Advisory, DocumentType, Severity
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey, decode_maker_record
from fieldpost.records.release import decode_release_record
from fieldpost.suit.envelope import AuthenticationBlock, sig_structure
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.signers import DeterministicSigner

NewKeys = Mapping[Role, tuple[int, Sequence[DeterministicSigner]]]


def record_of(maker: MakerActor) -> MakerRecord:
    """The maker's record in its world's state."""
    value = maker.world.state.map.value(map_keys.maker(maker.id))
    assert value is not None, "the maker is not registered"
    return decode_maker_record(value)


def key_set(threshold: int, signers: Sequence[Signer]) -> KeySet:
    """Keys of a role, without scopes."""
    return KeySet(threshold, tuple(RoleKey(signer.public_key) for signer in signers))


def maker_set(
    maker: MakerActor,
    *,
    keys: NewKeys | None = None,
    signers: Sequence[Signer] | None = None,
    claims: dict[str, str] | None = None,
    **changes: Any,
) -> bytes:
    """`maker.set`: other `keys` in some roles, `changes` to the rest of the record.

    Signed by the old root quorum, all new roots, and every other new key. The actor goes on with
    its old keys until it is told to `adopt` the new ones.
    """
    keys = keys or {}
    before = record_of(maker)
    link = maker.link_of(map_keys.maker(maker.id))
    sets = {role: key_set(threshold, new) for role, (threshold, new) in keys.items()}
    record = replace(
        before.without_earlier_links(),
        epoch=link.epoch + 1,
        previous=link.digest,
        root=sets.get(Role.ROOT, before.root),
        roles={**before.roles, **{r: s for r, s in sets.items() if r is not Role.ROOT}},
    )
    record = replace(record, **changes)
    if signers is None:
        added = [
            signer
            for role, (_, new) in keys.items()
            for signer in new
            if role is Role.ROOT
            or signer.public_key.thumbprint() not in before.keys_of(role).by_kid()
        ]
        everybody = [*maker.quorum(Role.ROOT), *added]
        signers = list({s.public_key.thumbprint(): s for s in everybody}.values())
    subject = subjects.of_maker(maker.id)
    return maker.post("maker.set", subject, record.encode(), signers, **(claims or {}))


def chain_registration(
    maker: MakerActor,
    links: Sequence[bytes],
    record: MakerRecord,
    *,
    signers: Sequence[Signer] | None = None,
    **claims: Any,
) -> bytes:
    """`maker.register` on a further board, with the chain so far, whose last record is `record`."""
    payload = replace(record, earlier_links=tuple(links)).encode()
    signers = maker.quorum(Role.ROOT) if signers is None else signers
    return maker.post("maker.register", subjects.of_maker(maker.id), payload, signers, **claims)


def release_floor(
    maker: MakerActor, floor: int, *, signers: Sequence[Signer] | None = None, **changes: Any
) -> bytes:
    """`release.floor` of the class `tracker`."""
    signers = maker.quorum(Role.RELEASE) if signers is None else signers
    nonce = maker.next_nonce(Role.RELEASE, signers) if "nonce" not in changes else 0
    payload = ReleaseFloor(nonce=nonce, class_id=maker.class_id("tracker"), floor=floor)
    payload = replace(payload, **changes)
    subject = subjects.of_release(payload.class_id, payload.floor)
    return maker.post("release.floor", subject, payload.encode(), signers)


def release_sign(
    maker: MakerActor,
    sequence: int,
    by: Sequence[Signer],
    *,
    signers: Sequence[Signer] | None = None,
    **changes: Any,
) -> bytes:
    """`release.sign`: blocks of `by` over the manifest of a release of `tracker`."""
    signers = maker.quorum(Role.RELEASE) if signers is None else signers
    nonce = maker.next_nonce(Role.RELEASE, signers) if "nonce" not in changes else 0
    class_id = maker.class_id("tracker")
    value = maker.world.state.map.value(map_keys.release(class_id, sequence))
    manifest = bytes(32) if value is None else decode_release_record(value).manifest
    payload = ReleaseSign(
        nonce=nonce,
        class_id=class_id,
        sequence=sequence,
        blocks=tuple(
            sorted((block_over(manifest, signer) for signer in by), key=lambda block: block.kid)
        ),
    )
    payload = replace(payload, **changes)
    subject = subjects.of_release(payload.class_id, payload.sequence)
    return maker.post("release.sign", subject, payload.encode(), signers)


def block_over(manifest: bytes, signer: Signer) -> AuthenticationBlock:
    """A signer's block over a manifest of which only the digest is known."""
    key = signer.public_key
    unsigned = AuthenticationBlock(key.thumbprint(), int(key.algorithm), b"")
    signature = signer.sign(sig_structure(unsigned.protected(), manifest))
    return replace(unsigned, signature=signature)


def release_withdraw(
    maker: MakerActor,
    sequence: int,
    *,
    signers: Sequence[Signer] | None = None,
    **changes: Any,
) -> bytes:
    """`release.withdraw` of a release of `tracker`."""
    signers = maker.quorum(Role.RELEASE) if signers is None else signers
    nonce = maker.next_nonce(Role.RELEASE, signers) if "nonce" not in changes else 0
    payload = ReleaseWithdraw(
        nonce=nonce,
        class_id=maker.class_id("tracker"),
        sequence=sequence,
        reason="bricks revision b",
    )
    payload = replace(payload, **changes)
    subject = subjects.of_release(payload.class_id, payload.sequence)
    return maker.post("release.withdraw", subject, payload.encode(), signers)


def advisory_publish(
    maker: MakerActor, *, signers: Sequence[Signer] | None = None, **changes: Any
) -> bytes:
    """`advisory.publish`: number 1 of `tracker`, sequence 1 affected, not fixed."""
    signers = maker.quorum(Role.RELEASE) if signers is None else signers
    nonce = maker.next_nonce(Role.RELEASE, signers) if "nonce" not in changes else 0
    payload = Advisory(
        nonce=nonce,
        class_id=maker.class_id("tracker"),
        number=1,
        cves=("CVE-2027-10001",),
        affected=((1, 1),),
        severity=Severity.HIGH,
        exploited=False,
        document_type=DocumentType.CSAF,
        document=sha256(b"advisory").digest(),
    )
    payload = replace(payload, **changes)
    subject = subjects.of_advisory(payload.class_id, payload.number)
    return maker.post("advisory.publish", subject, payload.encode(), signers)


def device_status(
    maker: MakerActor,
    *changed: tuple[int, int],
    signers: Sequence[Signer] | None = None,
    **changes: Any,
) -> bytes:
    """`device.status` in the lot of `lot_enrol`: (index, status)…; root signs what reinstates."""
    role = Role.ROOT if any(status == 0 for _, status in changed) else Role.CARE
    signers = maker.quorum(role) if signers is None else signers
    nonce = maker.next_nonce(role, signers) if "nonce" not in changes else 0
    payload = DeviceStatusSet(nonce=nonce, lot=maker.lot_id(), changes=changed)
    payload = replace(payload, **changes)
    return maker.post("device.status", subjects.of_lot(payload.lot), payload.encode(), signers)


def fleet_summary(
    maker: MakerActor,
    start: int,
    end: int,
    *,
    signers: Sequence[Signer] | None = None,
    **changes: Any,
) -> bytes:
    """`fleet.summary` of `tracker` from `start` to `end`."""
    signers = maker.quorum(Role.ROLLOUT) if signers is None else signers
    nonce = maker.next_nonce(Role.ROLLOUT, signers) if "nonce" not in changes else 0
    payload = FleetSummary(
        nonce=nonce,
        class_id=maker.class_id("tracker"),
        start=start,
        end=end,
        reports=12,
        root=sha256(b"reports").digest(),
    )
    payload = replace(payload, **changes)
    subject = subjects.of_class(payload.class_id)
    return maker.post("fleet.summary", subject, payload.encode(), signers)
