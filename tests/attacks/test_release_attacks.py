# SPDX-License-Identifier: Apache-2.0
"""Releases put together from others' parts, for somebody else, or from the wrong starting point.

The manifest decides, signed by the maker; each test ends with what a device takes from it.
"""

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from fieldpost.checkin.manifests import verify_release
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records import identifiers
from fieldpost.records.device_class import DeviceLimits
from fieldpost.suit.envelope import Envelope, sign_manifest, verify_envelope
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_keys import MakerKeys
from fieldpost.testing.signers import DeterministicSigner
from tests.attacks.paper_device import Device

KEY = DeterministicSigner(Algorithm.ED25519, "acme/release/0")
KEYS = {KEY.public_key.thumbprint(): KEY.public_key}
VENDOR, CLASS = b"v" * 16, b"c" * 16


def release(sequence: int, *names: str) -> Manifest:
    """A release of a boot loader and an application, which belong together."""
    components = tuple(
        Component((name.encode(),), sha256(f"{name} {sequence}".encode()).digest(), 100)
        for name in names or ("boot", "app")
    )
    return Manifest(sequence, VENDOR, CLASS, components)


def signed(manifest: Manifest) -> Envelope:
    data = encode_manifest(manifest)
    return Envelope(data, (sign_manifest(data, KEY),))


def believe(envelope: Envelope) -> Manifest:
    return verify_envelope(envelope.encode(), keys=KEYS, threshold=1, most_bytes=16_384)[1]


@pytest.fixture
def board() -> PaperBoard:
    board = PaperBoard(operators=4)
    board.offer(board.release(11))
    return board


@pytest.fixture
def device(board: PaperBoard) -> Device:
    device = Device(board)
    device.check_in(board.bundle())
    return device


# --- mix and match ---


@pytest.mark.parametrize("signatures_of", [12, 13])
def test_parts_of_two_releases_do_not_make_a_third(signatures_of: int) -> None:
    """A new application over an old boot loader with a hole in it: both genuine, never together."""
    twelve, thirteen = release(12), release(13)
    mixed = replace(thirteen, components=(twelve.components[0], thirteen.components[1]))
    blocks = signed(twelve if signatures_of == 12 else thirteen).blocks
    forged = Envelope(encode_manifest(mixed), blocks)
    with pytest.raises(Untrusted, match="bad-signature"):
        believe(forged)
    with without(Defence.MANIFEST_SIGNATURE):
        assert believe(forged).components[0] == twelve.components[0]


def test_a_dropped_component_is_noticed() -> None:
    """A partial bundle: the fix for the boot loader never arrives, the rest does."""
    whole = signed(release(13))
    partial = Envelope(encode_manifest(release(13, "app")), whole.blocks)
    with pytest.raises(Untrusted, match="bad-signature"):
        believe(partial)
    with without(Defence.MANIFEST_SIGNATURE):
        assert len(believe(partial).components) == 1


def test_an_injected_component_is_noticed() -> None:
    """An extraneous dependency beside what the maker signed."""
    whole = signed(release(13))
    more = Envelope(encode_manifest(release(13, "boot", "app", "spy")), whole.blocks)
    with pytest.raises(Untrusted, match="bad-signature"):
        believe(more)
    with without(Defence.MANIFEST_SIGNATURE):
        assert len(believe(more).components) == 3


def test_an_envelope_of_another_release_is_not_taken_for_the_offered_one(
    board: PaperBoard, device: Device
) -> None:
    """A mirror answers with a manifest that the maker did sign, of the same sequence."""
    offered, other = board.envelope(12, image=b"good"), board.envelope(12, image=b"withdrawn")
    board.offer(board.release(12, manifest=offered.digest))
    offer = device.chosen(device.check_in(board.bundle()))
    assert offer is not None
    with pytest.raises(Untrusted, match="wrong-digest"):
        device.manifest(other.encode(), offer)
    with without(Defence.MANIFEST_DIGEST):
        assert device.manifest(other.encode(), offer).sequence == 12


# --- for somebody else ---


def test_a_release_under_another_makers_class_id_is_refused(
    board: PaperBoard, device: Device
) -> None:
    """One release key in two makers' records, as of a shared contractor: vendors differ."""
    vendor = identifiers.vendor_id(b"\x0f" * 16)
    foreign = board.envelope(12, vendor=vendor)
    board.offer(board.release(12, manifest=foreign.digest))
    offer = device.chosen(device.check_in(board.bundle()))
    assert offer is not None
    with pytest.raises(Untrusted, match="wrong-vendor"):
        device.manifest(foreign.encode(), offer)
    with without(Defence.MANIFEST_TARGET):
        assert device.manifest(foreign.encode(), offer).vendor == vendor


def test_another_makers_release_for_a_class_of_the_same_name_is_refused(
    board: PaperBoard, device: Device
) -> None:
    """Names are nobody's; ids follow from the maker's root keys."""
    other = PaperBoard(maker=MakerKeys(name="acme-inc"))
    assert other.class_id != board.class_id
    foreign = other.envelope(12)
    board.offer(board.release(12, manifest=foreign.digest))
    offer = device.chosen(device.check_in(board.bundle()))
    assert offer is not None
    with pytest.raises(Untrusted, match="manifest-threshold"):
        device.manifest(foreign.encode(), offer)


def test_an_image_larger_than_the_device_is_refused_before_a_byte_is_fetched(
    board: PaperBoard, device: Device
) -> None:
    image = b"larger than this device's slots"
    large = board.envelope(12, image=image)
    board.offer(board.release(12, manifest=large.digest))
    offer = device.chosen(device.check_in(board.bundle()))
    assert offer is not None
    given: Any = {
        "maker": device.belief.maker_view(),
        "maker_id": board.maker_id,
        "class_id": board.class_id,
    }
    small = DeviceLimits(image_bytes=len(image) - 1)
    with pytest.raises(Untrusted, match="unsupported"):
        verify_release(large.encode(), offer, **given, limits=small)
    enough = DeviceLimits(image_bytes=len(image))
    assert verify_release(large.encode(), offer, **given, limits=enough).sequence == 12


# --- from the wrong starting point ---


def test_a_release_is_not_taken_from_the_wrong_precursor(board: PaperBoard, device: Device) -> None:
    """12 migrates what only 11 wrote; a device on 10 must go through 11 first."""
    board.offer(board.release(12, from_range=(11, 11)), board.release(11))
    verified = device.check_in(board.bundle())
    offer = device.chosen(verified)
    assert offer is not None
    assert offer.sequence == 11
    device.running = 11
    onward = device.chosen(verified)
    assert onward is not None
    assert onward.sequence == 12
    device.running = 10
    with without(Defence.NEWER_OFFER):
        skipped = device.chosen(verified)
    assert skipped is not None
    assert skipped.sequence == 12


@pytest.mark.parametrize("running", [11, 12, 2**40])
def test_a_release_that_is_not_newer_is_never_taken(
    board: PaperBoard, device: Device, running: int
) -> None:
    """Whatever range an offer claims, the running sequence only grows."""
    board.offer(board.release(11, from_range=(0, 2**63 - 1)))
    device.running = running
    verified = device.check_in(board.bundle())
    assert device.chosen(verified) is None
    with without(Defence.NEWER_OFFER):
        assert device.chosen(verified) is not None


def test_an_offer_for_other_lots_is_not_taken(board: PaperBoard, device: Device) -> None:
    board.offer(board.release(12, lots=(b"\x01" * 16,)))
    assert device.chosen(device.check_in(board.bundle())) is None
