# SPDX-License-Identifier: Apache-2.0
"""Which devices become a lot: each proved its key, each is of the class, none is there twice."""

from pathlib import Path

import pytest

from fieldpost import cbor
from fieldpost.cli.lot import gather
from fieldpost.errors import Malformed, Untrusted
from fieldpost.identity.enrolment import encode_request
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner

BULB = b"\x01" * 16


def signer(number: int) -> DeterministicSigner:
    return DeterministicSigner(Algorithm.ED25519, f"device {number}")


def leaf(number: int, *, serial: str = "", class_id: bytes = BULB) -> DeviceLeaf:
    return DeviceLeaf(serial or f"SN{number}", signer(number).public_key, class_id)


def write_requests(folder: Path, *leaves: tuple[int, DeviceLeaf]) -> Path:
    folder.mkdir(exist_ok=True)
    for number, item in leaves:
        name = f"{item.serial!s}.enrol"
        (folder / name).write_bytes(encode_request(item, signer(number)))
    return folder


def write_leaves(path: Path, *leaves: DeviceLeaf) -> Path:
    path.write_bytes(cbor.encode([item.encode() for item in leaves]))
    return path


def test_requests_and_leaves_make_one_lot_in_one_order(tmp_path: Path) -> None:
    requests = write_requests(tmp_path / "r", (1, leaf(1)), (2, leaf(2)))
    (requests / "notes.txt").write_text("not a request")
    leaves = write_leaves(tmp_path / "l.cbor", leaf(4), leaf(3))
    found = gather(requests, leaves, BULB, as_json=True)
    assert found == sorted(leaf(number).encode() for number in (1, 2, 3, 4))


def test_one_request_file_is_enough(tmp_path: Path) -> None:
    folder = write_requests(tmp_path / "r", (1, leaf(1)))
    assert gather(folder / "SN1.enrol", None, BULB, as_json=True) == [leaf(1).encode()]


def test_a_forged_request_is_named_and_nothing_is_gathered(tmp_path: Path) -> None:
    folder = write_requests(tmp_path / "r", (1, leaf(1)), (2, leaf(2)))
    data = bytearray((folder / "SN2.enrol").read_bytes())
    data[-1] ^= 1
    (folder / "SN2.enrol").write_bytes(data)
    with pytest.raises(Untrusted, match=r"SN2\.enrol.*request again"):
        gather(folder, None, BULB, as_json=True)


@pytest.mark.parametrize("data", [b"", b"junk", b"\x00" * 9000])
def test_a_file_that_is_no_request_is_named(tmp_path: Path, data: bytes) -> None:
    folder = write_requests(tmp_path / "r", (1, leaf(1)))
    (folder / "bad.enrol").write_bytes(data)
    with pytest.raises(Malformed, match=r"bad\.enrol"):
        gather(folder, None, BULB, as_json=True)


def test_a_device_of_another_class_is_named(tmp_path: Path) -> None:
    leaves = write_leaves(tmp_path / "l.cbor", leaf(1), leaf(2, class_id=b"\x02" * 16))
    with pytest.raises(Malformed, match="'SN2' is of another class, 0202"):
        gather(None, leaves, BULB, as_json=True)


def test_one_key_under_two_serials_is_one_device(tmp_path: Path) -> None:
    """Otherwise one device could report as two, and the count of the lot would be a lie."""
    leaves = write_leaves(tmp_path / "l.cbor", leaf(1), leaf(1, serial="SN1-again"))
    with pytest.raises(Malformed, match="occurs twice"):
        gather(None, leaves, BULB, as_json=True)


@pytest.mark.parametrize("data", [b"", b"\xa0", cbor.encode([1]), cbor.encode([b"no leaf"])])
def test_a_file_without_leaves_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "l.cbor").write_bytes(data)
    with pytest.raises(Malformed):
        gather(None, tmp_path / "l.cbor", BULB, as_json=True)


def test_an_empty_folder_says_what_requests_are_called(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=r"\*\.enrol"):
        gather(tmp_path, None, BULB, as_json=True)
