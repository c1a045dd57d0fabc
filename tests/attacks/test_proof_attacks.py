# SPDX-License-Identifier: Apache-2.0
"""Proofs that are padded, truncated, reordered, or put together from two states.

For each there is a control: the same attack succeeds where the one defence that stops it is off.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from fieldpost.checkin.bundle import Bundle, decode_bundle, encode_bundle
from fieldpost.errors import Malformed, Untrusted
from fieldpost.records.limits import MAX_EDGE_HASHES, MAX_PROOF_BYTES
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.tlog.proof import prove_inclusion, verify_inclusion
from fieldpost.tlog.tree import MemoryTree
from tests.attacks.paper_device import Device, sequences

Edge = tuple[bytes, ...]
PAD = b"\x66" * 32


@pytest.fixture
def board() -> PaperBoard:
    """A map with other makers' values in it, and an edge of several hashes."""
    others = {sha256(bytes([n])).digest(): b"value %d" % n for n in range(40)}
    board = PaperBoard(operators=4, values=others)
    board.offer(board.release(11))
    while len(board.edge) < 3:
        board.offer(board.release(11))
    return board


@pytest.fixture
def device(board: PaperBoard) -> Device:
    device = Device(board)
    device.check_in(board.bundle())
    assert sequences(device.check_in(board.bundle())) == [11]
    return device


def opened(board: PaperBoard) -> Bundle:
    return decode_bundle(board.bundle(), most_bytes=MAX_PROOF_BYTES)


def is_unbelieved(device: Device, data: bytes) -> bool:
    """The bundle is refused, and nothing changes."""
    before = device.belief
    with pytest.raises((Malformed, Untrusted)):
        device.check_in(data)
    return device.belief == before


# --- the edge: from the state leaf to the cosigned root ---


@pytest.mark.parametrize(
    "change",
    [lambda edge: (*edge, PAD), lambda edge: (PAD, *edge), lambda edge: (*edge, edge[-1])],
    ids=["behind", "before", "repeated"],
)
def test_a_padded_edge_is_refused(
    board: PaperBoard, device: Device, change: Callable[[Edge], Edge]
) -> None:
    """Else anybody could make endless bundles that prove the same, and fill caches with them."""
    board.seal()
    bundle = opened(board)
    assert is_unbelieved(device, encode_bundle(replace(bundle, edge=change(bundle.edge))))
    with without(Defence.EDGE_LENGTH):
        padded = encode_bundle(replace(bundle, edge=(*bundle.edge, PAD)))
        assert device.check_in(padded).belief.root == board.checkpoint.root


@pytest.mark.parametrize("kept", [slice(1, None), slice(None, -1), slice(0, 0)])
def test_a_truncated_edge_is_refused(board: PaperBoard, device: Device, kept: slice) -> None:
    board.seal()
    bundle = opened(board)
    assert is_unbelieved(device, encode_bundle(replace(bundle, edge=bundle.edge[kept])))


def test_a_reordered_edge_leads_to_a_root_that_nobody_signed(
    board: PaperBoard, device: Device
) -> None:
    """Its shape is right, so the signatures judge."""
    board.seal()
    while len(board.edge) < 2:
        board.seal()
    bundle = opened(board)
    turned = encode_bundle(replace(bundle, edge=bundle.edge[::-1]))
    device.refuses(turned, "bad-signature")
    with without(Defence.COSIGNATURE):
        assert device.check_in(turned).belief.root != board.checkpoint.root


def test_an_edge_of_a_million_hashes_is_not_climbed(board: PaperBoard) -> None:
    bundle = opened(board)
    with pytest.raises(Malformed):
        replace(bundle, edge=(PAD,) * (MAX_EDGE_HASHES + 1))


# --- the path: from the value to the map root ---


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path + b"\x00" + PAD,
        lambda path: b"\xff\x01" + PAD + path,
        lambda path: path + b"\x80\x00" + PAD,
        lambda path: path[33:],
        lambda path: path[:-33],
        lambda path: path[:-1],
        lambda path: b"",
        lambda path: path[33:66] + path[:33] + path[66:],
    ],
    ids=[
        "padded behind",
        "padded before",
        "a bit in a long form",
        "truncated before",
        "truncated behind",
        "cut off",
        "none",
        "reordered",
    ],
)
def test_a_padded_truncated_or_reordered_map_path_is_refused(
    board: PaperBoard, device: Device, change: Callable[[bytes], bytes]
) -> None:
    board.seal()
    bundle = opened(board)
    assert len(bundle.path) > 66
    changed = encode_bundle(replace(bundle, path=change(bundle.path)))
    device.refuses(changed, "bad-proof")
    with without(Defence.VALUE_PROOF):
        assert device.check_in(changed).belief.root == board.checkpoint.root


# --- parts of two states ---


@pytest.mark.parametrize("part", ["value", "path", "state_leaf", "edge", "cosignatures"])
def test_parts_of_two_genuine_bundles_do_not_make_a_third(
    board: PaperBoard, device: Device, part: str
) -> None:
    """Every part is the board's own, and was signed; together they were never true."""
    old = opened(board)
    others = (sha256(bytes([n])).digest() for n in range(40))
    board.map = board.map.update(dict.fromkeys(others, b"what other makers did meanwhile"))
    board.offer(board.release(13), board.release(12))
    new = opened(board)
    mixed = replace(new, **{part: getattr(old, part)})
    assert mixed != new
    assert is_unbelieved(device, encode_bundle(mixed))
    assert sequences(device.check_in(board.bundle())) == [13, 12]


def test_control_without_the_proof_an_old_value_rides_on_a_new_state(
    board: PaperBoard, device: Device
) -> None:
    old = opened(board)
    board.offer(board.release(12))
    mixed = encode_bundle(replace(opened(board), value=old.value))
    device.refuses(mixed, "bad-proof")
    with without(Defence.VALUE_PROOF):
        assert sequences(device.check_in(mixed)) == [11]


# --- proofs of lots and receipts ---


@pytest.mark.parametrize("size", [2, 3, 7, 8, 13])
def test_no_padded_truncated_or_reordered_inclusion_proof_holds(size: int) -> None:
    tree = MemoryTree(sha256(bytes([n])).digest() for n in range(size))
    for index in range(size):
        leaf = sha256(bytes([index])).digest()
        path = prove_inclusion(tree, index=index, size=size)
        verify_inclusion(leaf_hash=leaf, index=index, size=size, root=tree.root(), path=path)
        for wrong in ((*path, PAD), (PAD, *path), path[1:], path[:-1], path[::-1]):
            if wrong == path:
                continue
            with pytest.raises((Malformed, Untrusted)):
                verify_inclusion(
                    leaf_hash=leaf, index=index, size=size, root=tree.root(), path=wrong
                )
