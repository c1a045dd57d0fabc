# SPDX-License-Identifier: Apache-2.0
"""The demonstration attacks itself: hostile servers in front of the node, real agents behind them.

What counts is what the agent stored and runs afterwards, read back from its disk. An attack is
refused only if the agent said why and nothing moved; a device that heard nothing proves nothing.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fieldpost.demo.devices import Device, stand
from fieldpost.demo.processes import Event, Processes
from fieldpost.demo.story import Scene
from fieldpost.errors import Unavailable

_ON_PATH: Final = "between device and board"
_STOLEN: Final = "has stolen the release key as well"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One attack and what became of it. `reason` is "" if nothing was refused.

    `before` and `after` say what the device stored and ran, or how many devices were counted.
    """

    attack: str
    attacker: str
    reason: str
    before: dict[str, Any]
    after: dict[str, Any]
    afterwards: str
    refused: bool

    def value(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def attack_all(
    scene: Scene, *, victims: list[Device], updated: Device, stranger: Device, recorded: bytes
) -> list[Verdict]:
    """Every attack of the demonstration, each with its own hostile process and its own device."""
    attacks = _attacks(scene, recorded)
    verdicts: list[Verdict] = []
    with scene.screen.counted("six attackers try", len(attacks) + 1) as counter:
        for (name, attacker, plan), victim in zip(attacks, [*victims, updated], strict=True):
            verdicts.append(_attack(scene, name, attacker, victim, plan))
            counter.show(len(verdicts))
        verdicts.append(_impostor(scene, stranger))
        counter.show(len(verdicts))
    return verdicts


def _attacks(scene: Scene, recorded: bytes) -> list[tuple[str, str, dict[str, str]]]:
    """(name, what the attacker has, plan); the last is for a device that is up to date."""
    evil = scene.root / "evil.bin"
    evil.write_bytes(b"not the maker's firmware" * 512)
    replay = scene.root / "recorded.cbor"
    replay.write_bytes(recorded)
    own = {
        "attack": "own-board",
        "class": scene.class_id,
        "channel": "stable",
        "maker": scene.maker,
        "origin": (scene.board or {})["origin"],
        "image": str(evil),
        "stolen_key": str(scene.home / "keys" / "release-1.pem"),
    }
    older = {"attack": "replayed-checkin", "recorded": str(replay)}
    return [
        ("the genuine release, one bit turned", _ON_PATH, {"attack": "tampered-image"}),
        ("his own release, cosignatures forged", _STOLEN, own | {"cosigning": "forged"}),
        ("his own release, too few cosignatures", _STOLEN, own | {"cosigning": "none"}),
        ("his own release, his own board of that name", _STOLEN, own | {"cosigning": "own-keys"}),
        ("the older release, genuine in its day", _ON_PATH, older),
    ]


def _attack(
    scene: Scene, name: str, attacker: str, victim: Device, plan: dict[str, str]
) -> Verdict:
    processes = scene.processes
    before = stand(processes, victim)
    events = be_attacked(processes, victim, plan | {"node": scene.url})
    after = stand(processes, victim)
    reason = refusal(events)
    # Behind a genuine check-in the device may learn how far the board is, and no more.
    moved = after.runs != before.runs if _is_genuine(plan) else after != before
    return Verdict(
        attack=name,
        attacker=attacker,
        reason=reason,
        before=asdict(before),
        after=asdict(after),
        afterwards=f"runs release {after.sequence}",
        refused=bool(reason) and not moved,
    )


def _is_genuine(plan: dict[str, str]) -> bool:
    return plan["attack"] == "tampered-image"


def be_attacked(
    processes: Processes,
    victim: Device,
    plan: dict[str, str],
    program: tuple[str, ...] = ("fieldpost.cli",),
) -> list[Event]:
    """One run of the victim's agent behind a hostile server of its own; what the agent said.

    `program` is the module of the agent's command line, and what stands before the noun.
    """
    path = victim.home / "attack.json"
    path.write_text(json.dumps(plan))
    attacker = processes.start(
        str(path), module="fieldpost.demo.attacker", log=f"attacker-{victim.serial}"
    )
    try:
        victim.point_to(attacker.wait_for(lambda event: event.get("event") == "ready")["url"])
        return run_once(processes, victim, program)
    finally:
        processes.stop(attacker)


def run_once(
    processes: Processes, device: Device, program: tuple[str, ...] = ("fieldpost.cli",)
) -> list[Event]:
    """The events of one `agent once`, however it ended. Raises Unavailable if there are none."""
    module, *options = program
    done = processes.run(*options, "agent", "once", "--home", str(device.home), module=module)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not events:
        words = done.stderr.strip().splitlines() or ["it said nothing"]
        raise Unavailable(f"the agent of {device.serial} did not run: {words[-1]}")
    return events


def refusal(events: list[Event]) -> str:
    """The reason of the last refusal that an agent told, "" if it told none."""
    reasons = [str(event["reason"]) for event in events if event.get("event") == "refused"]
    return reasons[-1] if reasons else ""


def _impostor(scene: Scene, stranger: Device) -> Verdict:
    """A device that is in no lot wants to be counted as one of the fleet."""
    before = counted(scene.maker_call("fleet", "status", scene.class_name))
    events = run_once(scene.processes, stranger)
    after = counted(scene.maker_call("fleet", "status", scene.class_name))
    refused = [event for event in events if event.get("delivery") == "not-enrolled"]
    reason = str(refused[-1]["detail"]).partition(":")[0] if refused else ""
    return Verdict(
        attack="a report from a device that is in no lot",
        attacker="has the software and a key of his own",
        reason=reason,
        before={"counted": before},
        after={"counted": after},
        afterwards="is not counted" if before == after else "is counted",
        refused=bool(reason) and before == after,
    )


def counted(view: dict[str, Any]) -> int:
    """Of how many devices a fleet view tells anything."""
    return int(view["devices"]) - int(view["never_seen"])


def keep_evidence(verdicts: list[Verdict], path: Path) -> None:
    """Write the verdicts where a person can look at them."""
    path.write_text(json.dumps([verdict.value() for verdict in verdicts], indent=2) + "\n")
