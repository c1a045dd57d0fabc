# SPDX-License-Identifier: Apache-2.0
"""Manifests after a rotation: what a node takes, and what it gives to devices."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldpost.client.publisher import upload_manifest
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.node.manifests import NamedRelease, served, verify_upload
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.maker import KeySet, Role, RoleKey, Scope
from fieldpost.suit.envelope import Envelope, decode_envelope, sign_manifest
from fieldpost.testing.maker_posts import maker_set, release_sign
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.node.running_node import Published, Running, publish, running, with_class

NEW = [DeterministicSigner(Algorithm.ED25519, f"new release {n}") for n in range(3)]


def rotate(node: Running, world: MirroredBoard, threshold: int) -> None:
    node.post(world, maker_set(world.maker, keys={Role.RELEASE: (threshold, NEW)}))
    world.maker.adopt(Role.RELEASE, NEW, threshold)


def shown(node: Running, release: Published) -> Envelope:
    path = f"/v1/manifests/{release.record.manifest.hex()}"
    return decode_envelope(node.http.fetch(path))


def kids(signers: Sequence[DeterministicSigner]) -> list[bytes]:
    return sorted(signer.public_key.thumbprint() for signer in signers)


def test_signatures_that_were_posted_are_served_without_another_upload(tmp_path: Path) -> None:
    """A node whose upload is from before the rotation gives devices what they count now."""
    with running(tmp_path) as node:
        world = with_class(node)
        release = publish(node, world)
        upload_manifest(node.http, release.envelope, digest=release.record.manifest)
        rotate(node, world, 1)
        assert shown(node, release).blocks == ()

        node.post(world, release_sign(world.maker, release.record.sequence, NEW[:1]))

        assert [block.kid for block in shown(node, release).blocks] == kids(NEW[:1])
        # Also the envelope of then is taken again, since the log has what it lacks.
        upload_manifest(node.http, release.envelope, digest=release.record.manifest)
        assert [block.kid for block in shown(node, release).blocks] == kids(NEW[:1])


def test_a_raised_threshold_makes_a_larger_envelope_that_is_taken(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        world = with_class(node)
        release = publish(node, world)
        rotate(node, world, 3)
        manifest = decode_envelope(release.envelope).manifest
        larger = Envelope(manifest, tuple(sign_manifest(manifest, signer) for signer in NEW))
        assert len(larger.encode()) > release.record.envelope_bytes

        upload_manifest(node.http, larger.encode(), digest=release.record.manifest)

        assert [block.kid for block in shown(node, release).blocks] == kids(NEW)
        two = Envelope(manifest, larger.blocks[:2]).encode()
        with pytest.raises(Untrusted, match="manifest-threshold"):
            upload_manifest(node.http, two, digest=release.record.manifest)


def named(release: Published, keys: KeySet, limits: DeviceLimits) -> NamedRelease:
    return NamedRelease(record=release.record, maker=bytes(16), keys=keys, limits=limits, posted=())


def test_devices_that_read_little_get_the_signatures_that_count(tmp_path: Path) -> None:
    """Three keys of today signed, two fit: not the one that is for another class."""
    with running(tmp_path) as node:
        release = publish(node, with_class(node))
    manifest = decode_envelope(release.envelope).manifest
    envelope = Envelope(manifest, tuple(sign_manifest(manifest, signer) for signer in NEW))
    elsewhere = Scope(classes=(bytes(16),))
    keys = [RoleKey(signer.public_key) for signer in NEW]
    for number in range(3):
        scoped = [RoleKey(k.key, elsewhere if k is keys[number] else None) for k in keys]
        small = DeviceLimits(envelope_bytes=len(envelope.encode()) - 1)
        kept = served(envelope, named(release, KeySet(2, tuple(scoped)), small))
        others = [signer for signer in NEW if signer is not NEW[number]]
        assert [block.kid for block in kept.blocks] == kids(others)
    whole = served(envelope, named(release, KeySet(2, tuple(keys)), DeviceLimits()))
    assert whole == envelope


def test_what_devices_of_the_class_cannot_read_is_not_taken(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        release = publish(node, with_class(node))
    manifest = decode_envelope(release.envelope).manifest
    envelope = Envelope(manifest, tuple(sign_manifest(manifest, signer) for signer in NEW))
    keys = KeySet(3, tuple(RoleKey(signer.public_key) for signer in NEW))
    tiny = DeviceLimits(envelope_bytes=len(envelope.encode()) - 1)
    with pytest.raises(Malformed, match="at most"):
        verify_upload(envelope.encode(), named(release, keys, tiny))
