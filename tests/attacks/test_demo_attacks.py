# SPDX-License-Identifier: Apache-2.0
"""The demonstration's attacks on real agent processes, behind hostile servers, and their controls.

Each test asserts what the agent stored and runs afterwards, and the reason it gave. Then the one
defence is left out, only by `fieldpost.testing`, and the same attack succeeds.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fieldpost.client.transport import HttpClient
from fieldpost.demo.attacks import be_attacked, refusal, run_once
from fieldpost.demo.devices import Device, Standing, stand
from fieldpost.demo.processes import Event, Processes, Program

pytestmark = pytest.mark.e2e

# No compression helps with such bytes, so an image travels as it is.
OLD, NEW, EVIL = (
    b"".join(sha256(bytes((seed, block))).digest() for block in range(90)) for seed in (1, 2, 3)
)
UNDEFENDED = "fieldpost.testing.undefended"
DEVICES = ("tampered", "half-defended", "forged", "uncosigned", "twin", "updated", "member")


def digest(image: bytes) -> str:
    return sha256(image).hexdigest()


@dataclass(slots=True)
class Line:
    """A node, a maker with two releases, and devices that left the factory with release 1."""

    folder: Path
    processes: Processes
    node: Program
    url: str
    facts: dict[str, Any] = field(default_factory=dict)
    recorded: bytes = b""

    def call(self, *arguments: str) -> dict[str, Any]:
        return self.processes.call(*arguments, "--home", str(self.folder / "maker"))

    def checkin(self) -> bytes:
        with HttpClient(self.url) as http:
            return http.fetch(f"/v1/checkin/{self.facts['class']}/stable")

    def fleet(self) -> dict[str, Any]:
        with HttpClient(self.url) as http:
            view = http.send("GET", f"/v1/fleet/{self.facts['class']}").json()
        assert isinstance(view, dict)
        return view

    def device(self, serial: str) -> Device:
        home = self.folder / "devices" / serial
        (home / "agent.toml").write_text("")
        return Device(serial, home)

    def stand(self, device: Device) -> Standing:
        return stand(self.processes, device)

    def attack(self, device: Device, plan: dict[str, str], *without: str) -> list[Event]:
        """One run of the agent behind the attacker, without these defences."""
        whole = plan | {"node": self.url}
        return be_attacked(self.processes, device, whole, _program(*without))

    def update(self, device: Device) -> list[Event]:
        """One run of the agent against the node itself."""
        device.point_to(self.url)
        return run_once(self.processes, device)

    def own_board(self, cosigning: str) -> dict[str, str]:
        return {
            "attack": "own-board",
            "class": self.facts["class"],
            "channel": "stable",
            "maker": self.facts["maker"],
            "origin": self.facts["origin"],
            "image": str(self.folder / "evil.bin"),
            "stolen_key": str(self.folder / "maker" / "keys" / "release-1.pem"),
            "cosigning": cosigning,
        }

    def restart_node(self, *without: str) -> None:
        """The same board, served without these defences."""
        self.processes.stop(self.node)
        self.node, self.url = start_node(self.processes, self.folder, *without)


def _program(*without: str) -> tuple[str, ...]:
    flags = [word for name in without for word in ("--without", name)]
    return (UNDEFENDED, *flags) if without else ("fieldpost.cli",)


def start_node(processes: Processes, folder: Path, *without: str) -> tuple[Program, str]:
    module, *flags = _program(*without)
    data = str(folder / "node")
    words = ["node", "run", "--data", data, "--listen", "127.0.0.1:0", "--json"]
    node = processes.start(*flags, *words, module=module, log="node")
    ready = node.wait_for(lambda event: event.get("event") == "ready", timeout_s=120)
    return node, ready["url"]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("line")
    # Attackers inherit the passphrase as they stole it with the key file.
    environment = os.environ | {"FIELDPOST_PASSPHRASE": "a test's"}
    with Processes(folder / "logs", environment) as processes:
        node, url = start_node(processes, folder)
        made = Line(folder, processes, node, url)
        prepare(made)
        yield made


def prepare(line: Line) -> None:
    folder = line.folder
    for name, image in (("old", OLD), ("new", NEW), ("evil", EVIL)):
        (folder / f"{name}.bin").write_bytes(image)
    # One key that may do everything but the roots' part: fewer passphrases to stretch.
    line.facts = line.call("maker", "init", "--name", "acme", "--roots", "1-of-1")
    line.call("maker", "register", "--board", line.url, "--yes")
    added = line.call(
        "class", "add", "bulb", "--support-end", "2035-01-01", "--least-interval", "1"
    )
    line.facts["class"] = added["class"]
    line.facts["origin"] = line.processes.call("board", "show", "--board", line.url)["origin"]
    trust = folder / "bulb.prov"
    line.call("class", "trust", "bulb", "--out", str(trust))
    requests = folder / "requests"
    requests.mkdir()
    base = ["--base", str(folder / "old.bin"), "--base-sequence", "1", "--base-version", "1.0"]
    for serial in (*DEVICES, "stranger"):
        home = folder / "devices" / serial
        known = ["--provisioning", str(trust), "--serial", serial]
        line.processes.call("agent", "enrol", "--home", str(home), *known, *base)
        if serial in DEVICES:
            (requests / f"{serial}.enrol").write_bytes((home / f"{serial}.enrol").read_bytes())
    line.call("lot", "enrol", "bulb", "--requests", str(requests))
    line.call("release", "publish", "bulb", str(folder / "old.bin"), "--version", "1.0")
    line.call("rollout", "set", "bulb", "--interval", "1", "--offer", "1=100%")
    line.recorded = line.checkin()
    line.call("release", "publish", "bulb", str(folder / "new.bin"), "--version", "2.0")
    line.call("rollout", "set", "bulb", "--interval", "1", "--offer", "2=100%")


def running(fleet: dict[str, Any], sequence: int) -> int:
    return int(fleet["releases"].get(str(sequence), {}).get("running", 0))


def names(events: list[Event]) -> list[str]:
    return [event["event"] for event in events]


# --- the image ---


def test_a_tampered_image_is_not_installed(line: Line) -> None:
    victim, plan = line.device("tampered"), {"attack": "tampered-image"}
    events = line.attack(victim, plan)
    assert refusal(events) == "wrong-bytes"
    assert line.stand(victim).runs == (1, digest(OLD))
    # The control: nobody compares the stored bytes, nor the image in its slot, with their digests.
    events = line.attack(victim, plan, "stored-bytes", "image")
    assert "confirmed" in names(events)
    middle = len(NEW) // 2
    flipped = NEW[:middle] + bytes((NEW[middle] ^ 1,)) + NEW[middle + 1 :]
    assert line.stand(victim).runs == (2, digest(flipped))


def test_a_tampered_image_that_passes_as_stored_bytes_is_refused_by_its_slot(line: Line) -> None:
    """Two defences stand one behind the other; the second also judges what was unpacked."""
    victim = line.device("half-defended")
    events = line.attack(victim, {"attack": "tampered-image"}, "stored-bytes")
    assert refusal(events) == "wrong-digest"
    assert line.stand(victim).runs == (1, digest(OLD))


# --- the attacker's own release, signed with the stolen key ---


@pytest.mark.parametrize(
    ("serial", "cosigning", "reason", "defence"),
    [
        ("forged", "forged", "bad-signature", "cosignature"),
        ("uncosigned", "none", "no-quorum", "quorum"),
        ("twin", "own-keys", "no-quorum", "quorum"),
    ],
)
def test_a_release_on_a_board_that_the_quorum_did_not_cosign_is_not_believed(
    line: Line, serial: str, cosigning: str, reason: str, defence: str
) -> None:
    """Cosignatures forged, none at all, or by the keys of a board of the same origin."""
    victim, plan = line.device(serial), line.own_board(cosigning)
    before = line.stand(victim)
    events = line.attack(victim, plan)
    assert refusal(events) == reason
    assert "checkin" not in names(events)
    assert line.stand(victim) == before
    assert before.runs == (1, digest(OLD))
    # The control, without that one defence: the agent runs the attacker's image and keeps it.
    events = line.attack(victim, plan, defence)
    assert "confirmed" in names(events)
    assert line.stand(victim).runs == (3, digest(EVIL))


# --- the past ---


def test_an_older_genuine_check_in_does_not_take_an_updated_agent_back(
    line: Line, tmp_path: Path
) -> None:
    victim = line.device("updated")
    (tmp_path / "recorded.cbor").write_bytes(line.recorded)
    plan = {"attack": "replayed-checkin", "recorded": str(tmp_path / "recorded.cbor")}
    line.update(victim)
    before = line.stand(victim)
    assert before.runs == (2, digest(NEW))
    events = line.attack(victim, plan)
    assert refusal(events) == "not-newer"
    assert line.stand(victim) == before
    # The control: neither the board's size nor the release's sequence is compared.
    events = line.attack(victim, plan, "size", "newer-offer")
    assert "confirmed" in names(events)
    after = line.stand(victim)
    assert after.digest == digest(OLD)
    assert after.size < before.size


def test_an_older_check_in_alone_offers_an_updated_agent_nothing(
    line: Line, tmp_path: Path
) -> None:
    """Where sizes are not compared, the sequence still holds the device on what it runs."""
    victim = line.device("member")
    (tmp_path / "recorded.cbor").write_bytes(line.recorded)
    plan = {"attack": "replayed-checkin", "recorded": str(tmp_path / "recorded.cbor")}
    line.update(victim)
    events = line.attack(victim, plan, "size")
    assert "checkin" in names(events)
    assert "offer" not in names(events)
    assert line.stand(victim).runs == (2, digest(NEW))


# --- the fleet ---


def test_a_device_in_no_lot_is_not_counted(line: Line) -> None:
    stranger = line.device("stranger")
    before = line.fleet()
    (report,) = (event for event in line.update(stranger) if event["event"] == "report")
    assert report["delivery"] == "not-enrolled"
    assert report["detail"].startswith("unknown-device")
    assert line.fleet() == before
    try:
        # Taken for a member, it still lacks the key that stands in the member's leaf.
        line.restart_node("membership")
        (report,) = (event for event in line.update(stranger) if event["event"] == "report")
        assert (report["delivery"], report["detail"][:12]) == ("refused", "wrong-device")
        # The control: the lot is asked neither who belongs to it nor for the key.
        line.restart_node("membership", "report-signature")
        (report,) = (event for event in line.update(stranger) if event["event"] == "report")
        assert report["delivery"] == "sent"
        assert running(line.fleet(), 2) == running(before, 2) + 1
    finally:
        line.restart_node()
