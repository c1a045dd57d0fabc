# SPDX-License-Identifier: Apache-2.0
"""The demonstration attacks itself: hostile servers in front of the node, real agents behind them.

What counts is what the agent stored and runs afterwards, read back from its disk. An attack is
refused only if the agent said why and nothing moved; a device that heard nothing proves nothing.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from fieldpost.demo.devices import Device, stand
from fieldpost.demo.processes import Event, Processes
from fieldpost.demo.retired import post_release
from fieldpost.demo.scene import Scene
from fieldpost.errors import Unavailable

# Attackers and victims have nothing in common, so two cores need not wait for each other.
_AT_ONCE: Final = 3
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
    scene: Scene,
    *,
    victims: list[Device],
    updated: Device,
    stranger: Device,
    recorded: bytes,
    stolen: Path,
) -> list[Verdict]:
    """Every attack of the demonstration, each with its own hostile process and its own device.

    `stolen` is the release key that the maker has replaced since.
    """
    attacks = _attacks(scene, recorded)
    verdicts: list[Verdict] = []
    with scene.screen.counted("eight attackers try", len(attacks) + 2) as counter:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tried = pool.map(partial(_attack, scene), attacks, [*victims, updated])
            for verdict in tried:
                verdicts.append(verdict)
                counter.show(len(verdicts))
        verdicts.append(_retired_key(scene, stolen))
        counter.show(len(verdicts))
        verdicts.append(_impostor(scene, stranger))
        counter.show(len(verdicts))
    return verdicts


@dataclass(frozen=True, slots=True)
class Attack:
    """What is tried, what the attacker has, and the plan for its process."""

    name: str
    attacker: str
    plan: dict[str, str]


def _attacks(scene: Scene, recorded: bytes) -> list[Attack]:
    """The last is for a device that is up to date."""
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
        "stolen_key": str(next((scene.home / "keys").glob("release-*.pem"))),
    }
    older = {"attack": "replayed-checkin", "recorded": str(replay)}
    return [
        Attack("the genuine release, one bit turned", _ON_PATH, {"attack": "tampered-image"}),
        Attack("his own release, cosignatures forged", _STOLEN, own | {"cosigning": "forged"}),
        Attack("his own release, too few cosignatures", _STOLEN, own | {"cosigning": "none"}),
        Attack(
            "his own release, his own board of that name", _STOLEN, own | {"cosigning": "own-keys"}
        ),
        Attack("a key rotation, hidden from a device", _ON_PATH, {"attack": "hidden-links"}),
        Attack("the older release, genuine in its day", _ON_PATH, older),
    ]


def _attack(scene: Scene, attack: Attack, victim: Device) -> Verdict:
    processes = scene.processes
    before = stand(processes, victim)
    events = be_attacked(processes, victim, attack.plan | {"node": scene.url})
    after = stand(processes, victim)
    reason = refusal(events)
    # Behind a genuine check-in the device may learn how far the board is, and no more.
    moved = after.runs != before.runs if _is_genuine(attack.plan) else after != before
    return Verdict(
        attack=attack.name,
        attacker=attack.attacker,
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


def _retired_key(scene: Scene, stolen: Path) -> Verdict:
    """A release signed with the release key that the maker has replaced."""
    before = _releases(scene)
    reason = post_release(scene, stolen)
    after = _releases(scene)
    return Verdict(
        attack="a release posted with the key of before the rotation",
        attacker="has stolen that key",
        reason=reason,
        before={"releases": before},
        after={"releases": after},
        afterwards="is on no board" if before == after else "is on the board",
        refused=bool(reason) and before == after,
    )


def _releases(scene: Scene) -> int:
    listed: object = scene.maker_call("release", "list", scene.class_name)
    return len(listed) if isinstance(listed, list) else 0


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
