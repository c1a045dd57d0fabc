# SPDX-License-Identifier: Apache-2.0
"""Ceremonies of several holders, each of whom may lose the power at any write.

A request is exported, carried to two sticks, signed on each, and the signatures are brought back:
no key, signature or post is lost, and whoever does the same again gets there.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from shutil import copytree

import pytest

from fieldpost.durable import OS, Disk
from fieldpost.testing.faults import FaultyDisk, PowerCut
from fieldpost.testing.forgetful import ForgetfulDisk, fsync_sites
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.survivors import survivors
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.crash.ceremony_line import CeremonyLine
from tests.crash.maker_line import KEYLESS
from tests.e2e.maker_cli import running_node

pytestmark = pytest.mark.crash

CONTACT = b"security@acme.example"
Act = Callable[[Disk], None]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running_node(tmp_path / "node") as address:
        yield address


@dataclass(frozen=True)
class Ceremony:
    """One request, from the command that exports it to the import that posts it."""

    line: CeremonyLine
    command: tuple[str, ...]
    name: str

    def acts(self) -> list[Act]:
        """What people do, one after the other."""
        return [
            self.export,
            *(lambda disk, h=h: self.sign(h, disk) for h in ("anna", "ben")),
            *(lambda disk, h=h: self.bring_back(h, disk) for h in ("anna", "ben")),
        ]

    @property
    def _unsigned(self) -> Path:
        return self.line.root / f"{self.name}.unsigned"

    def export(self, disk: Disk = OS) -> None:
        """On the desk, which has none of the keys."""
        self.line.must(*self.command, "--export-unsigned", self._unsigned, disk=disk)
        self.line.promise(self._unsigned)

    def sign(self, holder: str, disk: Disk = OS) -> None:
        """The file is carried to a holder, who signs it there."""
        stick = self.line.root / holder
        mine = stick / self._unsigned.name
        self.line.hand_over(self._unsigned, mine, disk=disk)
        (key,) = (path for path in stick.glob("root-*.pem"))
        out = stick / f"{self.name}.signatures"
        words = ("maker", "sign", mine, "--key", key, "--out", out, "--yes")
        self.line.must(*words, disk=disk)
        self.line.promise(out)

    def bring_back(self, holder: str, disk: Disk = OS) -> None:
        """The signatures of a holder, on the desk."""
        signatures = self.line.root / holder / f"{self.name}.signatures"
        self.line.must("maker", "import", signatures, disk=disk)
        self.line.promise_signatures(signatures)


def contact(line: CeremonyLine) -> Ceremony:
    return Ceremony(line, ("maker", "set-policy", "--contact", CONTACT.decode()), "contact")


def new_roots(line: CeremonyLine) -> Ceremony:
    return Ceremony(line, ("maker", "rotate-keys", "--role", "root", *KEYLESS), "roots")


def cut_ceremonies(
    line: CeremonyLine, memory: Path, disk_over: Callable[[Path], VolatileDisk] = VolatileDisk
) -> PowerCuts:
    """A change of contact and a change of root keys, cut at every change of their disk."""
    line.begin()
    disk = disk_over(line.root)
    (memory / "left").mkdir()
    cuts = PowerCuts(disk, memory / "left", line.judge, chance=Random(6), by_lot=1)
    for act in (*contact(line).acts(), *new_roots(line).acts()):
        act(disk)
        cuts.promise()
    line.must("maker", "rotate-keys", disk=disk)
    line.promise(line.home / "recovery.txt")
    line.promise(line.home / "maker.json")
    cuts.promise()
    line.hand_out("root-{}.e2.pem", disk=disk)
    cuts.promise()
    return cuts


def test_no_power_cut_in_a_ceremony_loses_a_key_a_signature_or_a_post(
    memory: Path, url: str
) -> None:
    """Whoever of the holders it meets, and between the places that files are carried to."""
    line = CeremonyLine(memory / "places", url)
    cuts = cut_ceremonies(line, memory)
    assert cuts.failures == []
    assert cuts.judged > 100
    assert line.has_posted(CONTACT)
    assert "root-1.e2.pem" in (line.home / "recovery.txt").read_text()


def test_a_signature_that_nobody_waits_for_is_missed(memory: Path, url: str) -> None:
    """The control: files are put in place without the fsync of their content."""
    (site,) = (site for site in fsync_sites() if site.function.startswith("_write_temporary"))
    line = CeremonyLine(memory / "places", url)
    cuts = cut_ceremonies(line, memory, lambda root: ForgetfulDisk(root, site))
    assert cuts.failures, "nothing notices that a file of a ceremony is not on the disk"


def test_after_a_cut_whoever_does_the_same_again_gets_there(memory: Path, url: str) -> None:
    """At every few calls of each act, whatever survives, also where the board has the post."""
    line = CeremonyLine(memory / "places", url)
    line.begin()
    done = 0
    for number, act in enumerate(contact(line).acts()):
        for at in range(number, 1_000, 5):
            copy = memory / f"{number}-{at}"
            medium = VolatileDisk(Path(copytree(line.root, copy)))
            if not cut_off(contact(CeremonyLine(copy, url)).acts()[number], medium, at):
                break
            for survivor in survivors(medium, chance=Random(at), by_lot=1):
                left = memory / f"{number}-{at}-{done}"
                survivor.write_to(left)
                rest = contact(CeremonyLine(left, url)).acts()[number:]
                # Once one copy has posted it, no other one would be exported any more.
                finish(rest if number else rest[:-1], line)
                done += 1
        assert line.has_posted(CONTACT) == (number > 0)
        act(OS)
    assert done > 20


def cut_off(act: Act, medium: VolatileDisk, at: int) -> bool:
    """Whether the power went at a call of the act's, before it was through."""
    try:
        act(FaultyDisk(fail_at=at, power_cut=True, disk=medium))
    except PowerCut:
        return True
    return False


def finish(acts: list[Act], board: CeremonyLine) -> None:
    """The same again, and the rest; what the board has may be refused, since it was put away."""
    for act in acts:
        with suppress(AssertionError) if board.has_posted(CONTACT) else nullcontext():
            act(OS)
