# SPDX-License-Identifier: Apache-2.0
"""One lie after the other, told by real liars to everybody who looks at the board.

    outcome = tell(rig, Case("two-heads", members=3))

Each is told first to a device that can ask nobody else, then the same device reaches an honest
node; a monitor and a mirror have both as sources; a witness that cosigned the true head is asked by
the liar; another operator asks it for its line.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.testing.liar_lies import LIES
from tests.liars.programs import Program, liar, program
from tests.liars.rig import OPERATORS, Rig
from tests.liars.watchers import (
    Seen,
    ask_as_peer,
    ask_device,
    evidence_of_device,
    follow_as_mirror,
    look_of_monitor,
)

QUORUM: Final = 3


@dataclass(frozen=True, slots=True, order=True)
class Case:
    """A lie, told by so many of the four operators together."""

    lie: str
    members: int = 1

    @property
    def name(self) -> str:
        """For folders and tables."""
        return f"{self.lie}-{self.members}"


CASES: Final = tuple(
    Case(name, members)
    for name, lie in LIES.items()
    for members in (range(1, OPERATORS) if lie.signs else (1,))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a lie, in the words of `expected.Expected`; `head` is the size that the
    device knew after it was told it, `liars` who told it."""

    alone: str
    head: int
    deceived: bool
    first: int
    later: str
    runs: int
    device: Seen
    monitor: Seen
    mirror: Seen
    witness: Seen
    peer: Seen

    @property
    def evidence(self) -> dict[str, tuple[Path, ...]]:
        """Evidence files by who has them."""
        named = {
            "device": self.device,
            "monitor": self.monitor,
            "mirror": self.mirror,
            "witness": self.witness,
        }
        return {name: seen.files for name, seen in named.items() if seen.files}


@contextmanager
def lying(rig: Rig, case: Case) -> Iterator[tuple[str, Program | None]]:
    """The liar's URL, and its process; the stale one was there all the time."""
    if case.lie == "stale":
        yield rig.stale, None
        return
    words = ("--lie", case.lie, "--node", rig.honest, "--witness", rig.witness)
    journal = rig.folder / f"{case.name}.log"
    with program(liar(*words, *rig.keys(case.members)), journal) as process:
        yield process.event("ready")["url"], process


def tell(rig: Rig, case: Case, *, mirror_keeps: bool) -> Outcome:
    """Tell one lie to everybody. `mirror_keeps`: until the mirror has evidence of it."""
    known = set((rig.folder / "witness" / "evidence").glob("*.evidence"))
    with lying(rig, case) as (url, process):
        home = rig.device(case.name)
        alone, memory = ask_device(home, url)
        head, first = memory.belief.size, memory.running
        deceived = memory.belief.root not in {rig.before.root, rig.now.root}
        # Whoever believed it reaches an honest node; whoever did not asks both, the liar first.
        urls = [url, rig.honest] if alone and not deceived else [rig.honest]
        later, memory = ask_device(home, *urls)
        device = Seen("split-view" if later == "split-view" else "", evidence_of_device(home), 1)
        monitor = look_of_monitor(rig, case.name, url, rig.honest)
        mirror = follow_as_mirror(rig, case.name, url, rig.honest, keeps=mirror_keeps)
        peer = ask_as_peer(rig, url)
        said = "not asked" if process is None else str(process.event("witness")["said"])
    new = set((rig.folder / "witness" / "evidence").glob("*.evidence")) - known
    witness = Seen(said.partition(":")[0], tuple(sorted(new)), 1 if new else 0)
    return Outcome(
        alone=alone,
        head=head,
        deceived=deceived,
        first=first,
        later=later,
        runs=memory.running,
        device=device,
        monitor=monitor,
        mirror=mirror,
        witness=witness,
        peer=peer,
    )
