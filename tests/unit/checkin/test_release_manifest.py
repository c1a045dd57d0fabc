# SPDX-License-Identifier: Apache-2.0
"""A release's manifest, judged by the maker's keys alone."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost.checkin.manifests import verify_release
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey, Scope
from fieldpost.suit.manifest import Manifest
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_keys import MakerKeys

BOARD = PaperBoard(maker=MakerKeys(releases=3, release_threshold=2))
OFFER = BOARD.release(11)
ENVELOPE = BOARD.envelope(11).encode()


def judged(envelope: bytes = ENVELOPE, **changes: Any) -> Manifest:
    given: dict[str, Any] = {
        "maker": BOARD.maker_record,
        "maker_id": BOARD.maker_id,
        "class_id": BOARD.class_id,
        "limits": DeviceLimits(),
    }
    return verify_release(envelope, OFFER, **(given | changes))


def scoped(scope: Scope) -> MakerRecord:
    keys = tuple(RoleKey(signer.public_key, scope) for signer in BOARD.keys.release)
    return replace(BOARD.maker_record, roles={Role.RELEASE: KeySet(2, keys)})


def test_the_offered_release_is_accepted() -> None:
    manifest = judged()
    assert (manifest.sequence, manifest.class_id) == (11, BOARD.class_id)


def test_too_few_release_keys_are_not_enough() -> None:
    one = BOARD.envelope(11, signers=BOARD.keys.release[:1])
    with pytest.raises(Untrusted, match="manifest-threshold"):
        judged(one.encode())


def test_another_manifest_blames_the_source() -> None:
    with pytest.raises(Untrusted, match="wrong-digest"):
        judged(BOARD.envelope(12).encode())


def test_another_makers_class_is_refused() -> None:
    with pytest.raises(Untrusted, match="wrong-vendor"):
        judged(maker_id=bytes(16))
    with pytest.raises(Untrusted, match="wrong-class"):
        judged(class_id=bytes(16))


def test_keys_count_only_for_the_classes_in_their_scope() -> None:
    judged(maker=scoped(Scope(classes=(BOARD.class_id,))))
    judged(maker=scoped(Scope(channels=("beta",))))
    with pytest.raises(Untrusted, match="manifest-threshold"):
        judged(maker=scoped(Scope(classes=(bytes(16),))))


def test_a_maker_without_release_keys_releases_nothing() -> None:
    with pytest.raises(Untrusted, match="manifest-threshold"):
        judged(maker=replace(BOARD.maker_record, roles={}))


def test_what_the_device_cannot_take_is_refused() -> None:
    with pytest.raises(Malformed):
        judged(limits=DeviceLimits(envelope_bytes=256))
    with pytest.raises(Untrusted, match="unsupported"):
        judged(limits=DeviceLimits(image_bytes=len(b"image") - 1))
    with pytest.raises(Untrusted, match="manifest-threshold"):
        judged(limits=DeviceLimits(algorithms=(Algorithm.ESP256,)))
