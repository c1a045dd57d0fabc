# SPDX-License-Identifier: Apache-2.0
"""A contract manufacturer enrols lots with a key of its own, within what the maker allows."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from fieldpost.errors import Misconfigured, NotFound, Rejected
from fieldpost.identity.enrolment import encode_request
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm
from fieldpost.signers.keyfile import load_key_file
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.cli.cli_world import CliWorld


def factory(world: CliWorld) -> tuple[str, str]:
    return ("--home", str(world.root / "factory"))


def requests(world: CliWorld, *serials: str) -> str:
    folder = world.root / "-".join(serials)
    folder.mkdir()
    for serial in serials:
        signer = DeterministicSigner(Algorithm.ED25519, serial)
        leaf = DeviceLeaf(serial, signer.public_key, bytes.fromhex(world.class_id))
        (folder / f"{serial}.enrol").write_bytes(encode_request(leaf, signer))
    return str(folder)


def enrol(world: CliWorld, *serials: str) -> Any:
    folder = requests(world, *serials)
    return world.call("lot", "enrol", "bulb:r1", "--requests", folder, *factory(world))


def join(world: CliWorld, *limits: str) -> str:
    """The key of a factory that the maker has added with these limits."""
    joined = world.call(
        "maker", "join", str(world.provisioning), "--no-passphrase", *factory(world)
    )
    unsigned, signed = (str(world.root / name) for name in ("add.unsigned", "add.signatures"))
    world.call(
        *("maker", "add-key", "enrol", joined["key"], *limits, "--export-unsigned", unsigned)
    )
    world.call("maker", "sign", unsigned, "--out", signed, "--yes", *factory(world))
    assert world.call("maker", "import", signed)["kind"] == "maker.set"
    key: str = joined["key"]
    return key


def test_a_factory_enrols_what_it_may_and_nothing_beyond(world: CliWorld) -> None:
    join(world, "--class", "bulb:r1", "--devices", "3", "--until", "2036-12-31")
    assert "only for" in world.text("maker", "show"), "whoever looks sees the key and its limits"
    assert enrol(world, "one", "two")["devices"] == 2
    with pytest.raises(Rejected, match="scope"):
        enrol(world, "three", "four")
    assert enrol(world, "three")["devices"] == 1


def test_before_the_roots_added_it_a_key_does_nothing(world: CliWorld) -> None:
    world.call("maker", "join", str(world.provisioning), "--no-passphrase", *factory(world))
    with pytest.raises(Rejected, match="unknown-key"):
        enrol(world, "one")


def test_a_key_that_the_maker_does_not_have_is_not_removed(world: CliWorld) -> None:
    key = DeterministicSigner(Algorithm.ED25519, "elsewhere").public_key
    with pytest.raises(NotFound, match="names 0 of 1"):
        world.call("maker", "remove-key", "enrol", key.thumbprint().hex())


def test_a_removed_key_enrols_nothing_and_what_it_enrolled_stays(world: CliWorld) -> None:
    join(world, "--devices", "3")
    lot = enrol(world, "one")["lot"]
    (signer,) = (world.root / "factory" / "keys").glob("*.pem")
    removed = thumbprint_of(signer)
    world.call("maker", "remove-key", "enrol", removed[:16])
    with pytest.raises(Rejected, match="unknown-key"):
        enrol(world, "two")
    assert world.call("lot", "show", lot)["count"] == 1
    own = thumbprint_of(world.home / "keys" / "enrol-1.pem")
    with pytest.raises(Misconfigured, match="rotate-keys"):
        world.call("maker", "remove-key", "enrol", own)


def thumbprint_of(path: Path) -> str:
    return load_key_file(path, lambda: b"").public_key.thumbprint().hex()


def test_a_key_without_any_limit_is_asked_for_in_so_many_words(world: CliWorld) -> None:
    key = DeterministicSigner(Algorithm.ED25519, "somebody").public_key.raw.hex()
    with pytest.raises(Misconfigured, match="--unlimited"):
        world.call("maker", "add-key", "enrol", key)
    with pytest.raises(Misconfigured, match="--unlimited"):
        world.call("maker", "add-key", "enrol", key, "--devices", "1", "--unlimited")


def test_whoever_holds_the_new_key_must_sign(world: CliWorld) -> None:
    """The maker alone cannot put a key into its record that nobody has shown to hold."""
    key = DeterministicSigner(Algorithm.ED25519, "somebody").public_key.raw.hex()
    with pytest.raises(Misconfigured, match="1 of 1 new key"):
        world.call("maker", "add-key", "enrol", key, "--devices", "1")


def test_a_lot_is_signed_where_the_enrolment_key_is_and_its_leaves_follow(world: CliWorld) -> None:
    folder, unsigned, signed = (str(world.root / name) for name in ("r", "u", "s"))
    Path(requests(world, "one", "two")).rename(folder)
    keys, away = world.home / "keys", world.root / "offline"
    words = ("lot", "enrol", "bulb:r1", "--requests", folder)
    shutil.copytree(world.home, away)
    for key in keys.glob("enrol*"):
        key.unlink()
    with pytest.raises(Misconfigured, match="--export-unsigned"):
        world.call(*words)
    asked = world.call(*words, "--export-unsigned", unsigned)
    assert asked["signed_here"] == 0
    with pytest.raises(NotFound):
        world.call("lot", "show", asked["lot"])
    world.call("maker", "sign", unsigned, "--out", signed, "--yes", "--home", str(away))
    assert world.call("maker", "import", signed)["kind"] == "lot.enrol"
    assert not world.call("lot", "show", asked["lot"])["leaves_stored"]
    made = world.call(*words)
    assert (made["lot"], made["index"]) == (asked["lot"], None)
    assert world.call("lot", "show", asked["lot"])["leaves_stored"]
