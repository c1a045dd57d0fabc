# SPDX-License-Identifier: Apache-2.0
"""A lot whose leaves hold salted hashes: no serial leaves the maker, who can show each one."""

import stat
from pathlib import Path

import pytest

from fieldpost.cli.hashed_serials import HashedSerials, hash_serials
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.identity.leaf import DeviceLeaf, decode_leaf
from tests.unit.cli.cli_world import CliWorld
from tests.unit.cli.test_care import check
from tests.unit.cli.test_lot_gathering import leaf, signer, write_requests


def hashed_of(serials: HashedSerials, *leaves: DeviceLeaf) -> list[DeviceLeaf]:
    done: list[int] = []
    made = hash_serials([item.encode() for item in leaves], serials, done.append)
    assert len(done) == len(leaves)
    return [decode_leaf(item) for item in made]


def test_a_hash_stands_for_a_serial_and_the_file_tells_which(tmp_path: Path) -> None:
    path = tmp_path / "serials.csv"
    serials = HashedSerials()
    odd = leaf(2, serial='SN "2", east')
    first, second = hashed_of(serials, leaf(1), odd)
    assert isinstance(first.serial, bytes)
    assert (first.key, first.class_id) == (leaf(1).key, leaf(1).class_id)
    serials.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    known = HashedSerials.load(path)
    assert [known.serial_of(item) for item in (first, second)] == ["SN1", odd.serial]
    assert HashedSerials().serial_of(first) is None
    assert known.serial_of(DeviceLeaf(b"x" * 32, first.key, first.class_id)) is None


def test_the_same_devices_get_the_same_hashes_again(tmp_path: Path) -> None:
    path = tmp_path / "serials.csv"
    serials = HashedSerials.load(path)
    before = hashed_of(serials, leaf(1))
    serials.save(path)
    assert hashed_of(HashedSerials.load(path), leaf(1)) == before
    assert hashed_of(HashedSerials(), leaf(1)) != before
    assert hashed_of(HashedSerials(), *before) == before


def test_equal_serials_cannot_be_seen_to_be_equal() -> None:
    one, other = hashed_of(HashedSerials(), leaf(1, serial="SN"), leaf(2, serial="SN"))
    assert one.serial != other.serial


def test_another_serial_for_a_known_device_is_refused() -> None:
    serials = HashedSerials()
    hashed_of(serials, leaf(1))
    with pytest.raises(Misconfigured, match="'SN7' here and 'SN1'"):
        hashed_of(serials, leaf(1, serial="SN7"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "serial,key\n",
        "device,serial,salt\nzz,SN1,00\n",
        f"device,serial,salt\n00,SN1,{'00' * 15}\n",
        f"device,serial,salt\n00,,{'00' * 16}\n",
        "device,serial,salt\n00,SN1\n",
        'device,serial,salt\n00,"SN1\n',
        "device,serial,salt\n00,SÑ1,00\n",
    ],
)
def test_what_is_no_file_of_salts_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "serials.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Malformed, match="device,serial,salt"):
        HashedSerials.load(path)


def test_no_serial_leaves_the_maker_and_its_device_is_still_found(world: CliWorld) -> None:
    class_id = bytes.fromhex(world.class_id)
    items = [(n, leaf(n, serial=f"SECRET-{n}", class_id=class_id)) for n in range(3)]
    requests, salts = write_requests(world.root / "r", *items), world.root / "serials.csv"
    words = ("lot", "enrol", "bulb:r1", "--requests", str(requests), "--hash-serials", str(salts))
    made = world.call(*words)
    again = world.call(*words)
    assert (again["lot"], again["index"]) == (made["lot"], None)
    world.publish("1.0")
    device = signer(1).public_key.thumbprint().hex()
    with HttpClient(world.url) as http:
        proof = http.fetch(f"/v1/devices/{device}", most_bytes=16_384)
    assert b"SECRET" not in proof
    assert not [f for f in world.data.glob("fleet.db*") if b"SECRET" in f.read_bytes()]
    code, blind = check(world, device)
    assert (code, blind["enrolled"], blind["serial"]) == (0, "yes", "hashed")
    _, seeing = check(world, device, "--serials", str(salts))
    assert seeing["serial"] == "SECRET-1"


def test_without_hashing_the_serial_does_leave_the_maker(world: CliWorld) -> None:
    """The control of the test above: what is looked for there can be found."""
    item = leaf(1, serial="SECRET-1", class_id=bytes.fromhex(world.class_id))
    requests = write_requests(world.root / "r", (1, item))
    world.call("lot", "enrol", "bulb:r1", "--requests", str(requests))
    with HttpClient(world.url) as http:
        proof = http.fetch(f"/v1/devices/{item.device.hex()}", most_bytes=16_384)
    assert b"SECRET-1" in proof
    assert [f for f in world.data.glob("fleet.db*") if b"SECRET" in f.read_bytes()]
