# SPDX-License-Identifier: Apache-2.0
"""The demonstration attacks itself: hostile servers in front of the node, real agents behind them.

What counts is what the agent stored and runs afterwards, read back from its disk.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldpost.demo.devices import Device, running_image, status
from fieldpost.demo.processes import Event, Processes
from fieldpost.demo.story import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One attack and what became of it."""

    attack: str
    attacker_has: str
    reason: str
    before: int
    after: int
    image_changed: bool

    @property
    def refused(self) -> bool:
        """Whether the device runs and believes what it did before."""
        return self.before == self.after and not self.image_changed

    def value(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "attack": self.attack,
            "attacker_has": self.attacker_has,
            "reason": self.reason,
            "sequence_before": self.before,
            "sequence_after": self.after,
            "refused": self.refused,
        }


def attack_all(
    scene: Scene, *, victims: list[Device], updated: Device, stranger: Device, recorded: bytes
) -> list[Verdict]:
    """Every attack of the demonstration, each with its own hostile process and its own device."""
    evil = scene.root / "evil.bin"
    evil.write_bytes(b"not the maker's firmware" * 512)
    replay = scene.root / "recorded.cbor"
    replay.write_bytes(recorded)
    stolen = {
        "class": scene.class_id,
        "channel": "stable",
        "maker": scene.maker,
        "origin": (scene.board or {})["origin"],
        "image": str(evil),
        "stolen_key": str(scene.home / "keys" / "release-1.pem"),
    }
    on_path = "the path to the device"
    key = "the path, and the maker's stolen release key"
    return [
        _attack(scene, "an image with one bit turned", on_path, victims[0],
                {"attack": "tampered-image"}),
        _attack(scene, "a release of his own, cosignatures forged", key, victims[1],
                stolen | {"attack": "own-board", "cosigning": "forged"}),
        _attack(scene, "a release of his own, too few cosignatures", key, victims[2],
                stolen | {"attack": "own-board", "cosigning": "none"}),
        _attack(scene, "a release of his own, on a board of his own", key, victims[3],
                stolen | {"attack": "own-board", "cosigning": "own-keys"}),
        _attack(scene, "the older release again, genuine in its time", on_path, updated,
                {"attack": "replayed-checkin", "recorded": str(replay)}),
        _impostor(scene, stranger),
    ]  # fmt: skip


def _attack(scene: Scene, name: str, has: str, victim: Device, plan: dict[str, str]) -> Verdict:
    processes = scene.processes
    path = victim.home / "attack.json"
    path.write_text(json.dumps(plan | {"node": scene.url}))
    before, image = status(processes, victim), running_image(victim)
    attacker = processes.start(
        str(path), module="fieldpost.demo.attacker", log=f"attacker-{victim.serial}"
    )
    try:
        victim.point_to(attacker.wait_for(lambda event: event.get("event") == "ready")["url"])
        reason = _reason(_once(processes, victim))
    finally:
        processes.stop(attacker)
    after = status(processes, victim)
    return Verdict(
        attack=name,
        attacker_has=has,
        reason=reason,
        before=int(before["sequence"]),
        after=int(after["sequence"]),
        image_changed=running_image(victim) != image,
    )


def _once(processes: Processes, device: Device) -> list[Event]:
    done = processes.run("agent", "once", "--home", str(device.home))
    events = []
    for line in done.stdout.splitlines():
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def _reason(events: list[Event]) -> str:
    refusals = [event for event in events if event.get("event") == "refused"]
    return str(refusals[-1]["reason"]) if refusals else "nothing was refused"


def _impostor(scene: Scene, stranger: Device) -> Verdict:
    """A device that is in no lot wants to be counted as one of the fleet."""
    counted = scene.maker_call("fleet", "status", scene.class_name)
    events = _once(scene.processes, stranger)
    after = scene.maker_call("fleet", "status", scene.class_name)
    refused = [e for e in events if e.get("event") == "report"]
    return Verdict(
        attack="a device that is in no lot reports as one of the fleet",
        attacker_has="a copy of the software, and a key of his own",
        reason=str(refused[-1]["detail"]).partition(":")[0] if refused else "nobody asked",
        before=_reports(counted),
        after=_reports(after),
        image_changed=False,
    )


def _reports(view: dict[str, Any]) -> int:
    return sum(int(n) for counts in view["releases"].values() for n in counts.values())


def keep_evidence(verdicts: list[Verdict], path: Path) -> None:
    """Write the verdicts where a person can look at them."""
    path.write_text(json.dumps([verdict.value() for verdict in verdicts], indent=2) + "\n")
