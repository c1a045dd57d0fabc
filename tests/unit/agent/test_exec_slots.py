# SPDX-License-Identifier: Apache-2.0
"""Images are handed to real commands; whatever those do, an unproven image never stays for good."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fieldpost.agent.config import parse_config
from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.loop import open_agent, run_once
from fieldpost.agent.slots.base import Boot
from fieldpost.agent.slots.exec import Commands, ExecSlots
from fieldpost.agent.status import read_status
from fieldpost.agent.world import World
from fieldpost.durable import OS, Disk
from fieldpost.errors import Conflict, Misconfigured, Unavailable, Untrusted
from fieldpost.identity.outcome import Outcome
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.faults import FaultyDisk, PowerCut
from fieldpost.testing.images import filled, release_of
from fieldpost.testing.paper_node import PaperNode

NEW = b"new image" * 10_000
VERSION = "../../etc/passwd; touch pwned"
IMAGE = release_of(2, NEW, version=VERSION)


class Rebooted(BaseException):
    """The machine went down."""


@dataclass
class Machine:
    """Two partitions and a boot loader that tries `next` once: all in shell, as on a device."""

    root: Path
    number: int = 0
    scripts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir()
        for name, text in {"a": "old", "current": "a", "kept": "a"}.items():
            (self.root / name).write_text(text)
        self.scripts = {
            "install": 'cp "$FIELDPOST_IMAGE" b && env | grep ^FIELDPOST_ > told',
            "activate": "echo b > next",
            "confirm": "cp current kept",
            "revert": "rm -f next; echo a > kept",
            "state": "cat current",
        }

    def commands(self, **changes: str) -> Commands:
        scripts: dict[str, Any] = {
            name: ("/bin/sh", "-c", f"cd '{self.root}'; {text}")
            for name, text in (self.scripts | changes).items()
        }
        return Commands(timeout_s=10, install_timeout_s=10, **scripts)

    def slots(self, disk: Disk = OS, **changes: str) -> ExecSlots:
        return ExecSlots(
            self.root / "slots",
            self.commands(**changes),
            boot=self.boot,
            boot_id=lambda: str(self.number),
            disk=disk,
        )

    def boot(self) -> NoReturn:
        self.power_cycle()
        raise Rebooted

    def boot_anew(self) -> NoReturn:
        raise Rebooted

    def power_cycle(self) -> None:
        self.number += 1
        wanted = self.root / "next"
        source = wanted if wanted.exists() else self.root / "kept"
        (self.root / "current").write_text(source.read_text())
        wanted.unlink(missing_ok=True)

    @property
    def current(self) -> str:
        return (self.root / "current").read_text().strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def reach_trial(machine: Machine) -> ExecSlots:
    slots = machine.slots()
    assert slots.start() is Boot.CONFIRMED
    slots.install(IMAGE, filled(NEW))
    assert slots.holds(IMAGE)
    slots.begin_trial()
    with pytest.raises(Rebooted):
        slots.reboot()
    slots = machine.slots()
    assert slots.start() is Boot.TRIAL
    return slots


def boots_until_settled(machine: Machine, act: Callable[[ExecSlots], object]) -> Boot:
    """`act` on a started agent; again after every boot that it asks for."""
    for _ in range(5):
        slots = machine.slots()
        try:
            boot = slots.start()
            act(slots)
        except Rebooted:
            continue
        return boot
    raise AssertionError("it boots for ever")


def test_a_confirmed_trial_stays(machine: Machine) -> None:
    slots = reach_trial(machine)
    assert (machine.root / "b").read_bytes() == NEW
    assert slots.environment()["FIELDPOST_SLOT"] == "b"
    slots.confirm()
    machine.power_cycle()
    assert machine.slots().start() is Boot.CONFIRMED
    assert machine.current == "b"
    assert machine.slots().running() == IMAGE


def test_the_commands_are_told_by_environment_and_no_word_of_a_release_is_part_of_a_path(
    machine: Machine,
) -> None:
    reach_trial(machine)
    told = dict(line.split("=", 1) for line in (machine.root / "told").read_text().splitlines())
    assert told["FIELDPOST_VERSION"] == VERSION
    assert told["FIELDPOST_IMAGE"] == str(machine.root / "slots" / "handed" / "image")
    assert told["FIELDPOST_DIGEST"] == sha256(NEW).hexdigest()
    assert told["FIELDPOST_SEQUENCE"] == "2"
    assert not list(machine.root.rglob("pwned"))
    names = {path.name for path in (machine.root / "slots").rglob("*")}
    assert names == {"handed", "image", "slot.cbor", "trial.cbor"}


def test_all_images_of_a_release_are_handed_over_together(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "machine")
    machine.scripts["install"] = (
        'i=0; while [ $i -lt "$FIELDPOST_COMPONENTS" ]; do '
        'eval cp \\"\\$FIELDPOST_IMAGE_$i\\" \\"b.\\$FIELDPOST_COMPONENT_$i\\"; '
        "i=$((i + 1)); done"
    )
    slots = ExecSlots(
        machine.root / "slots",
        replace(machine.commands(), components=("radio", "image")),
        boot=machine.boot,
        boot_id=lambda: "1",
    )
    release = release_of(2, NEW, radio=b"radio")
    slots.check_fits(release)
    slots.install(release, filled(NEW, b"radio"))
    slots.begin_trial()
    assert (machine.root / "b.image").read_bytes() == NEW
    assert (machine.root / "b.radio").read_bytes() == b"radio"


def test_a_trial_that_dies_is_put_back(machine: Machine) -> None:
    """By this agent, where the boot loader does not fall back by itself."""
    reach_trial(machine)
    (machine.root / "next").write_text("b")
    machine.power_cycle()
    assert boots_until_settled(machine, lambda _: None) is Boot.REVERTED
    assert machine.current == "a"


def test_a_boot_loader_that_falls_back_by_itself_is_noticed(machine: Machine) -> None:
    reach_trial(machine)
    machine.power_cycle()
    assert machine.slots().start() is Boot.REVERTED
    assert machine.slots().start() is Boot.CONFIRMED


def test_a_reverted_trial_is_over(machine: Machine) -> None:
    slots = reach_trial(machine)
    slots.revert()
    with pytest.raises(Rebooted):
        slots.reboot()
    assert machine.slots().start() is Boot.REVERTED
    assert machine.current == "a"
    with pytest.raises(Conflict):
        machine.slots().confirm()


def test_a_revert_that_changes_nothing_is_not_tried_for_ever(machine: Machine) -> None:
    reach_trial(machine)
    for _ in range(3):
        (machine.root / "next").write_text("b")
        machine.power_cycle()
        with pytest.raises(Rebooted):
            machine.slots(revert="true").start()
    (machine.root / "next").write_text("b")
    machine.power_cycle()
    with pytest.raises(Unavailable, match="runs still"):
        machine.slots(revert="true").start()


@pytest.mark.parametrize("broken", ["install", "activate"])
def test_a_command_that_fails_leaves_what_ran_and_the_image_for_the_next_time(
    machine: Machine, broken: str
) -> None:
    machine.scripts[broken] = "echo b > next; exit 3"
    slots = machine.slots()
    slots.start()
    slots.install(IMAGE, filled(NEW))
    with pytest.raises(Unavailable, match=f"{broken} command ended with status 3"):
        slots.begin_trial()
    machine.power_cycle()
    assert machine.current == "a"
    again = machine.slots()
    assert again.start() is Boot.CONFIRMED
    assert again.holds(IMAGE)


def test_a_command_that_hangs_is_ended(machine: Machine) -> None:
    commands = machine.commands()
    slow = Commands(
        install=("/bin/sh", "-c", "exec sleep 60"),
        activate=commands.activate,
        confirm=commands.confirm,
        revert=commands.revert,
        state=commands.state,
        install_timeout_s=1,
    )
    slots = ExecSlots(machine.root / "slots", slow, boot=machine.boot)
    slots.install(IMAGE, filled(NEW))
    with pytest.raises(Unavailable, match="took more than 1 s"):
        slots.begin_trial()


@pytest.mark.parametrize("says", ["exit 1", "true", "echo a; echo b", "printf '%0100d' 1"])
def test_a_state_that_names_nothing_is_an_error(machine: Machine, says: str) -> None:
    slots = machine.slots(state=says)
    slots.install(IMAGE, filled(NEW))
    with pytest.raises(Unavailable, match="state command"):
        slots.begin_trial()


def test_bytes_that_are_not_the_image_are_never_handed_over(machine: Machine) -> None:
    slots = machine.slots()
    with pytest.raises(Untrusted, match="wrong-digest"):
        slots.install(IMAGE, filled(NEW[:-1] + b"?"))
    with pytest.raises(Conflict):
        slots.begin_trial()
    assert not (machine.root / "b").exists()


def test_an_image_that_was_altered_on_the_disk_is_not_held(machine: Machine) -> None:
    slots = machine.slots()
    slots.install(IMAGE, filled(NEW))
    (machine.root / "slots" / "handed" / "image").write_bytes(NEW[:-1] + b"?")
    assert not slots.holds(IMAGE)


def test_an_agent_that_is_started_before_the_machine_went_down_asks_for_it_again(
    machine: Machine,
) -> None:
    slots = machine.slots(reboot="echo down >> reboots")
    slots.start()
    slots.install(IMAGE, filled(NEW))
    slots.begin_trial()
    for _ in range(2):
        with pytest.raises(SystemExit):
            slots.start()
    assert (machine.root / "reboots").read_text() == "down\n" * 2
    machine.power_cycle()
    assert slots.start() is Boot.TRIAL


def test_a_power_cut_at_any_disk_call_ends_with_an_image_that_was_proven(tmp_path: Path) -> None:
    """Either the new one, after a confirm, or the one before; never an unproven one for good."""
    for cut in range(200):
        machine = Machine(tmp_path / f"cut{cut}")
        disk = FaultyDisk(fail_at=cut, power_cut=True)
        confirmed = False
        try:
            slots = machine.slots(disk)
            slots.start()
            slots.install(IMAGE, filled(NEW))
            slots.begin_trial()
            machine.power_cycle()
            assert slots.start() is Boot.TRIAL
            slots.confirm()
            confirmed = True
        except PowerCut:
            machine.power_cycle()
        for _ in range(4):
            boots_until_settled(machine, lambda _: None)
            machine.power_cycle()
        kept = (machine.root / "kept").read_text().strip()
        assert machine.current == kept
        assert kept == ("b" if confirmed else "a") or machine.slots().running() == IMAGE
        if confirmed:
            break
    assert cut > 15


def test_an_agent_updates_through_commands(tmp_path: Path, machine: Machine) -> None:
    """From the check-in to the report, with the image that the board's maker signed."""
    home = Home(tmp_path / "device")
    scripts = machine.scripts | {"activate": "echo b > current", "revert": "echo a > current"}
    lines = ["[slot]", 'kind = "exec"']
    for name, text in scripts.items():
        lines.append(f"{name} = {json.dumps(['/bin/sh', '-c', f'cd {machine.root}; {text}'])}")
    with PaperNode(PaperBoard()) as node:
        node.publish(2, NEW)
        home.root.mkdir()
        home.config.write_text("\n".join([f'urls = ["{node.url}"]', *lines]))
        (tmp_path / "old").write_bytes(b"old")
        base = Base(images={"image": tmp_path / "old"}, sequence=1, version="1")
        enrol(home, provisioning=node.board.provisioning(), serial="one", base=base)
        rebooted = False
        world = World(emit=lambda *_: None, clock=lambda: node.board.time)
        while True:
            try:
                with open_agent(home, world=world, boot=machine.boot_anew) as agent:
                    run_once(agent, world, rebooted=rebooted)
                break
            except Rebooted:
                rebooted = True
        assert [(r.outcome, r.components[0].sequence) for r in node.reports] == [
            (Outcome.CONFIRMED, 2)
        ]
    assert (machine.root / "b").read_bytes() == NEW
    assert read_status(home)["slot"] == "b"


GOOD = "\n".join(
    f'{name} = ["/bin/{name}"]' for name in ("install", "activate", "confirm", "revert", "state")
)


def test_the_commands_stand_in_the_settings() -> None:
    config = parse_config(f'[slot]\nkind = "exec"\n{GOOD}\ntimeout_s = 5', channels=("stable",))
    assert config.commands is not None
    assert config.commands.install == ("/bin/install",)
    assert (config.commands.timeout_s, config.commands.reboot) == (5, ())
    named = parse_config(
        f'[slot]\nkind = "exec"\n{GOOD}\ncomponents = ["image", "boot/0x01"]', channels=("stable",)
    )
    assert named.commands is not None
    assert named.commands.components == ("image", "boot/0x01")
    assert parse_config('[slot]\nkind = "files"', channels=("stable",)).commands is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('slot = "exec"', "kind"),
        ('[slot]\nkind = "magic"', "kind"),
        ('[slot]\nkind = "exec"', "needs a command install"),
        (f'[slot]\nkind = "exec"\n{GOOD}\nshell = true', "no setting 'shell'"),
        (f'[slot]\nkind = "exec"\n{GOOD}\ncomponents = ["a//b"]', "names no component"),
        ('[slot]\nkind = "exec"\ninstall = "cp x y"', "list of words"),
    ],
)
def test_bad_slot_settings_are_named(text: str, complaint: str) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        parse_config(text, channels=("stable",))
