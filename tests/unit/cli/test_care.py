# SPDX-License-Identifier: Apache-2.0
"""What a maker does after a release is out, and what anybody can prove of one device."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.checkin.belief import believe
from fieldpost.checkin.offline_bundle import read_offline_bundle
from fieldpost.checkin.verify import verify_bundle
from fieldpost.errors import Conflict, Misconfigured, NotFound, Rejected, Unavailable, Untrusted
from fieldpost.identity.challenge import sign_challenge
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm
from fieldpost.records import map_keys
from fieldpost.records.release import decode_release_record
from fieldpost.suit.envelope import decode_envelope
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.cli.cli_world import CliWorld


def enrol(world: CliWorld, count: int = 3, *, fleet_url: str | None = None) -> list[str]:
    """A lot of devices; their ids."""
    keys = [DeterministicSigner(Algorithm.ED25519, f"device {n}").public_key for n in range(count)]
    leaves = [
        DeviceLeaf(f"SN{n:04}", key, bytes.fromhex(world.class_id)).encode()
        for n, key in enumerate(keys)
    ]
    path = world.root / "leaves.cbor"
    path.write_bytes(cbor.encode(leaves))
    elsewhere = ["--fleet", fleet_url] if fleet_url else []
    world.call("lot", "enrol", "bulb:r1", "--leaves", str(path), *elsewhere)
    return [key.thumbprint().hex() for key in keys]


def offered(world: CliWorld) -> list[tuple[int, int]]:
    head = world.check_in().head
    assert head is not None
    return [(offer.sequence, offer.threshold) for offer in head.offers]


def check(world: CliWorld, device: str, *options: str) -> tuple[int, Any]:
    return world.code(
        "device", "check", device, "--provisioning", str(world.provisioning), *options
    )


# --- releases ---


def test_a_withdrawn_release_is_offered_to_nobody(world: CliWorld) -> None:
    world.publish("1.0")
    world.publish("1.1")
    world.offer("2=50%", "1=100%")
    world.call("release", "withdraw", "bulb:r1", "2", "--reason", "radio stops")
    assert offered(world) == [(1, 2**32)]
    with pytest.raises(Rejected, match="withdrawn"):
        world.call("release", "withdraw", "bulb:r1", "2", "--reason", "again")


def test_a_floor_removes_what_lies_below(world: CliWorld) -> None:
    world.publish("1.0")
    world.publish("1.1")
    world.offer("2=100%", "1=100%")
    assert world.call("release", "floor", "bulb:r1", "2")["floor"] == 2
    assert offered(world) == [(2, 2**32)]


def test_a_halt_and_a_resumption_keep_everything_else(world: CliWorld) -> None:
    world.publish("1.0")
    world.publish("1.1")
    world.offer("2=25%", "1=100%")
    halted = world.call("rollout", "halt", "bulb:r1", "--sequence", "2")
    assert "2=0%" in halted["offers"], "shares are said as they are given"
    assert offered(world) == [(2, 0), (1, 2**32)]
    with pytest.raises(Conflict):
        world.call("rollout", "halt", "bulb:r1", "--sequence", "2")
    world.call("rollout", "resume", "bulb:r1", "--sequence", "2")
    assert offered(world) == [(2, 2**30), (1, 2**32)]


def test_a_release_signed_elsewhere_can_be_signed_again_by_hand(world: CliWorld) -> None:
    world.publish("1.0")
    for path in (world.home / "manifests").iterdir():
        path.unlink()
    world.call("maker", "rotate-keys", "--role", "release", "--no-passphrase")
    with pytest.raises(NotFound, match="no release 7"):
        world.call("release", "sign", "bulb:r1", "7", "--yes")
    assert world.call("release", "sign", "bulb:r1", "1", "--yes")["sequence"] == 1


def test_a_class_promises_longer_and_offers_more_channels(world: CliWorld) -> None:
    changed = world.call(
        *("class", "set", "bulb:r1", "--support-end", "2040-01-01", "--add-channel", "beta")
    )
    assert changed["channels"] == ["stable", "beta"]
    assert changed["support_end"] == "2040-01-01 23:59:59 UTC"
    with pytest.raises(Rejected, match="support-shortened"):
        world.call("class", "set", "bulb:r1", "--support-end", "2030-01-01")
    with pytest.raises(Misconfigured, match="nothing would change"):
        world.call("class", "set", "bulb:r1", "--add-channel", "beta")


def test_advisories_are_listed_with_the_proof_that_there_are_no_others(
    world: CliWorld, tmp_path: Path
) -> None:
    world.publish("1.0")
    world.publish("1.1")
    document = tmp_path / "csaf.json"
    document.write_text("{}")
    publish = ("advisory", "publish", "bulb:r1", "--document", str(document))
    assert world.call("advisory", "list", "bulb:r1") == []
    first = world.call(*publish, "--affected", "1", "--severity", "high", "--cve", "CVE-2027-10001")
    assert first["number"] == 1
    world.call(*publish, "--revise", "1", "--affected", "1", "--severity", "low", "--fixed-in", "2")

    rows = world.call("advisory", "list", "bulb:r1", "--sequence", "1")

    assert [(row["number"], row["severity"], row["fixed_in"]) for row in rows] == [(1, "low", 2)]
    assert world.call("advisory", "list", "bulb:r1", "--sequence", "2") == []


# --- devices ---


def test_an_enrolled_device_is_checked_against_a_provisioning_record(world: CliWorld) -> None:
    device, *_ = enrol(world)
    world.publish("1.0")
    world.offer("1=100%")
    code, found = check(world, device, "--running", "1")
    assert code == 0, found
    answers = ("enrolled", "valid", "supported", "newest_secure_release", "fresh")
    assert {found[name] for name in answers} == {"yes"}
    assert found["serial"].startswith("SN")
    assert found["genuine"].startswith("not asked")


def test_a_pinned_board_id_is_enough(world: CliWorld) -> None:
    device, *_ = enrol(world)
    where = ("--board", world.url, "--board-id", world.board)
    assert world.code("device", "check", device, *where)[0] == 0
    other = world.board[:-1] + ("0" if world.board[-1] != "0" else "1")
    with pytest.raises(Untrusted, match="another genesis"):
        world.call("device", "check", device, "--board", world.url, "--board-id", other)


def test_leaves_may_be_kept_elsewhere(world: CliWorld) -> None:
    """Who keeps them is not believed either, and one that has none leaves it unproven."""
    device, *_ = enrol(world)
    assert check(world, device, "--fleet", world.url)[0] == 0
    where = ("--provisioning", str(world.provisioning), "--fleet", "http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        world.call("device", "check", device, *where)


def test_a_stranger_is_unproven_and_not_refused(world: CliWorld) -> None:
    """Nobody can prove that a device is in no lot."""
    code, found = check(world, "ab" * 32)
    assert (code, found["enrolled"]) == (3, "unproven")


@pytest.mark.parametrize("verb", ["revoke", "suspend", "decommission"])
def test_a_device_that_was_taken_out_fails_its_check(world: CliWorld, verb: str) -> None:
    device, other, _ = enrol(world)
    world.call("device", verb, device)
    code, found = check(world, device)
    assert (code, found["valid"]) == (1, "no")
    assert found["status"].startswith(verb[:6])
    assert check(world, other)[0] == 0


def test_only_roots_bring_a_suspended_device_back(world: CliWorld) -> None:
    device, *_ = enrol(world)
    world.call("device", "suspend", device)
    kept = {path: path.read_bytes() for path in (world.home / "keys").glob("root-*")}
    for path in kept:
        path.unlink()
    with pytest.raises(Misconfigured, match="2 of 3 root keys"):
        world.call("device", "reinstate", device)
    for path, data in kept.items():
        path.touch(0o600)
        path.write_bytes(data)
    world.call("device", "reinstate", device)
    assert check(world, device)[0] == 0


def test_a_device_on_a_release_with_an_advisory_is_not_up_to_date(
    world: CliWorld, tmp_path: Path
) -> None:
    device, *_ = enrol(world)
    world.publish("1.0")
    world.publish("1.1")
    world.offer("2=100%")
    document = tmp_path / "csaf.json"
    document.write_text("{}")
    world.call(
        *("advisory", "publish", "bulb:r1", "--document", str(document)),
        *("--affected", "1", "--severity", "high", "--fixed-in", "2"),
    )
    code, found = check(world, device, "--running", "1")
    assert (code, found["newest_secure_release"]) == (1, "no")
    assert found["against"] == [
        "advisory 1 (high) affects it",
        "release 2 is offered to all",
    ]
    assert check(world, device, "--running", "2")[0] == 0
    assert check(world, device, "--running", "3")[1]["against"] == ["release 3 was never published"]


def test_old_proof_is_no_proof(world: CliWorld) -> None:
    """With nothing older accepted than a moment in the future, every answer stays unproven."""
    device, *_ = enrol(world)
    code, found = check(world, device, "--max-age-days", "-1")
    assert (code, found["fresh"]) == (3, "unproven")


def test_a_unit_is_genuine_only_when_it_signs_what_was_asked(world: CliWorld) -> None:
    """Another unit's answer, and an answer to another challenge, leave it unproven."""
    device, *_ = enrol(world)
    challenge = world.call("device", "challenge")["challenge"]
    assert challenge != world.call("device", "challenge")["challenge"]

    def answer(unit: int, asked: str) -> str:
        signer = DeterministicSigner(Algorithm.ED25519, f"device {unit}")
        return sign_challenge(bytes.fromhex(asked), board=world.board, signer=signer).hex()

    def ask(proof: str) -> tuple[int, str]:
        code, found = check(world, device, "--challenge", challenge, "--proof", proof)
        return code, found["genuine"]

    assert ask(answer(0, challenge)) == (0, "yes")
    assert ask(answer(1, challenge)) == (3, "unproven")
    assert ask(answer(0, "00" * 32)) == (3, "unproven")
    assert ask("00") == (3, "unproven")
    with pytest.raises(Misconfigured, match="go together"):
        world.call("device", "check", device, "--proof", "00")


# --- without network ---


def test_an_exported_update_holds_what_a_device_would_have_fetched(
    world: CliWorld, tmp_path: Path
) -> None:
    """The newest offer, in the smallest form of its image; every link of board and maker."""
    world.publish("1.0")
    world.publish("1.1")
    world.offer("2=100%", "1=100%")
    world.call("maker", "set-policy", "--max-age-days", "3")
    out = tmp_path / "bulb.update"
    exported = world.call("release", "export", "bulb:r1", "--out", str(out))
    data = out.read_bytes()
    assert (exported["sequence"], exported["bytes"]) == (2, len(data))

    update = read_offline_bundle(lambda offset, count: data[offset : offset + count], len(data))

    belief, record = believe(world.provisioning.read_bytes())
    verified = verify_bundle(
        belief,
        update.check_in,
        key=map_keys.head(record.class_id, "stable"),
        now=None,
        maker_links=update.maker_links[1:],
    )
    assert verified.head is not None
    assert verified.moved
    assert decode_envelope(update.envelope).digest == verified.head.offers[0].manifest
    proof = update.release_proof
    assert proof is not None
    key = map_keys.release(record.class_id, 2)
    proven = verify_bundle(verified.belief, proof, key=key, now=None, head=False)
    assert proven.value is not None
    (span,) = update.artifacts
    artifact = data[span.offset : span.offset + span.size]
    release = decode_release_record(proven.value)
    assert sha256(artifact).digest() in {a.digest for a in release.artifacts}
    with pytest.raises(NotFound, match="offers"):
        world.call("release", "export", "bulb:r1", "--out", str(out), "--sequence", "3")
