# SPDX-License-Identifier: Apache-2.0
"""Every system call that SQLite makes by itself fails once: for a node, a fleet service, a witness.

    python -m tests.crash.sqlite_faults node --share 4 --seed 7        one call of four, as JSON

`failing.c` is preloaded into this process, and lets one call about one database fail: before it
took effect, as on a broken disk or on a full one, or after it. Whoever was refused tries again, as
everybody does. Then what is there is judged twice, as a kill leaves it and as a calm end does: all
that was acknowledged is there, and a start goes on.
"""

import argparse
import ctypes
import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from shutil import Error as CopyFailed
from shutil import copytree, rmtree, which
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

import pytest

from fieldpost import cbor
from fieldpost.durable import OS
from fieldpost.errors import FieldpostError
from fieldpost.fleet.database import FleetDb
from fieldpost.testing.volatile_disk import VolatileDisk
from fieldpost.watch.witness.keys import make_keys
from tests.crash.node_line import NodeLine
from tests.crash.node_line import judge as judge_node
from tests.crash.test_fleet_power_cuts import seen
from tests.crash.test_witness_power_cuts import LOGS, ask, known, opened
from tests.unit.fleet.test_fleet_service import LEAVES, LOT, SIGNERS, open_fleet, report, take
from tests.unit.watch.witness_world import NAME

SOURCE: Final = Path(__file__).with_name("failing.c")
_COMPILE: Final = ("-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-w")
# The error, and whether the call took effect all the same.
FAULTS: Final = ((errno.EIO, 0), (errno.ENOSPC, 0), (errno.EIO, 1))
_TRIES: Final = 4
T = TypeVar("T")
Judge = Callable[[Path], None]


@dataclass
class Found:
    """What came of one campaign: by call and fault how often it failed, and what was broken."""

    calls: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Campaign:
    """One program, of which `prepare` makes what a life begins with."""

    database: str

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()

    def prepare(self, folder: Path) -> None:
        """What is there before anything fails."""
        raise NotImplementedError

    def live(self, folder: Path) -> AbstractContextManager[Judge]:
        """A life in `folder`; inside of the block it has not ended. How to judge what it left."""
        raise NotImplementedError

    def insist(self, act: Callable[[], T]) -> T:
        """Do it again where it was refused. Raises what is said the last time."""
        for _ in range(_TRIES):
            try:
                return act()
            except FieldpostError as error:
                self.refused[f"{type(error).__name__}: {error}"] += 1
        return act()


class OfNode(Campaign):
    """state.db, from one start of a node to the next."""

    database = "/state.db"

    def prepare(self, folder: Path) -> None:
        self._line = line = NodeLine(folder, OS)
        line.create()
        line.start()
        line.post(line.world.maker.registration())
        line.post(line.world.maker.class_set())
        maker = line.world.maker
        self._posts = [maker.lot_enrol(count=1, root=bytes([n]) * 32) for n in range(3)]
        line.stop()

    @contextmanager
    def live(self, folder: Path) -> Iterator[Judge]:
        line = self._line.again(folder, OS)

        def judge(left: Path) -> None:
            for _ in judge_node(line, left, disk=VolatileDisk(left)):
                pass

        self.insist(line.start)
        try:
            self.insist(lambda: line.post(self._posts[0]))
            self.insist(line.recosign)
            self.insist(lambda: line.post(*self._posts[1:]))
            yield judge
        finally:
            line.stop()


class OfFleet(Campaign):
    """fleet.db, from nothing to leaves and reports, and a second start."""

    database = "/fleet.db"

    def prepare(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)

    def acknowledged(self, act: Callable[[], None]) -> None:
        """A report is sent until it is taken."""
        self.insist(act)

    @contextmanager
    def live(self, folder: Path) -> Iterator[Judge]:
        promised: dict[bytes, tuple[int, int]] = {}
        lots: list[bytes] = []

        def judge(left: Path) -> None:
            found = seen(left)
            for device, order in promised.items():
                assert found.get(device, (0, 0)) >= order, f"{order} is lost: {found.get(device)}"
            db = FleetDb(left / "fleet.db")
            try:
                assert all(db.has_lot(lot) for lot in lots), "leaves are lost"
            finally:
                db.close()

        for boot in (1, 2):
            fleet = self.insist(lambda: open_fleet(folder))
            try:
                self.insist(lambda: fleet.store_leaves(LOT, [cbor.encode(LEAVES)]))  # noqa: B023 - called at once
                lots[:] = [LOT]
                for number in range(2):
                    body = report(number, order=(boot, 1))
                    self.acknowledged(lambda: take(fleet, body))  # noqa: B023 - called at once
                    promised[SIGNERS[number].public_key.thumbprint()] = boot, 1
                if boot == 2:
                    yield judge
            finally:
                fleet.close()


class OfUnheedingFleet(OfFleet):
    """The control: a report is acknowledged whatever became of it."""

    def acknowledged(self, act: Callable[[], None]) -> None:
        with suppress(FieldpostError):
            act()


class OfWitness(Campaign):
    """The database of a witness, which must never forget what it cosigned."""

    database = "/witness.db"

    def prepare(self, folder: Path) -> None:
        make_keys(folder, NAME, post_quantum=False)

    @contextmanager
    def live(self, folder: Path) -> Iterator[Judge]:
        promised: dict[str, int] = {}

        def judge(left: Path) -> None:
            sizes = {origin: head.size for origin, head in known(left).items()}
            for origin, size in promised.items():
                assert sizes.get(origin, 0) >= size, f"{origin}: size {size} was given out"

        with ExitStack() as stack:
            # A context that failed to begin is not begun again.
            witness = self.insist(lambda: stack.enter_context(opened(folder)))
            for old, size in ((0, 1), (1, 7), (7, 256)):
                for log in LOGS:
                    self.insist(lambda: _cosigned(witness, log.request, old, size))  # noqa: B023 - called at once
                    promised[log.origin] = size
            yield judge


def _cosigned(witness: Any, request: Callable[[int, int], bytes], old: int, size: int) -> None:
    """Ask as a board's node does, which is told the size that the witness knows."""
    answers = ask(witness, request(old, size))
    if not isinstance(answers[0], tuple):
        answers = ask(witness, request(size, size))
    if isinstance(answers[0], FieldpostError):
        raise answers[0]


CAMPAIGNS: Final[dict[str, type[Campaign]]] = {
    "node": OfNode,
    "fleet": OfFleet,
    "fleet-unheeding": OfUnheedingFleet,
    "witness": OfWitness,
}


def make_all(name: str, folder: Path, *, share: int, seed: int, only: str = "") -> Found:
    """One call of `share`, drawn by `seed`, under each fault in turn; with 1 all under all.

    `only`: of the calls of one function.
    """
    library = ctypes.CDLL(None)
    library.failing_last.restype = ctypes.c_char_p
    library.failing_calls.restype = ctypes.c_long
    campaign, found, chance = CAMPAIGNS[name](), Found(), Random(seed)
    campaign.prepare(folder / "prepared")
    library.failing_only(only.encode())

    def arm(part: str, at: int, error: int = 0, after: int = 0) -> None:
        library.failing_arm(part.encode(), ctypes.c_long(at), error, after)

    at = chance.randrange(share)
    while True:
        faults = FAULTS if share == 1 else [FAULTS[at // share % len(FAULTS)]]
        for error, after in faults:
            life, killed = folder / "life", folder / "killed"
            copytree(folder / "prepared", life)
            arm(campaign.database, at, error, after)
            fault = ""
            try:
                with campaign.live(life) as judge:
                    library.failing_hold(1)
                    _copy_moment(life, killed)
                    library.failing_hold(0)
                found.calls = library.failing_calls()
                fault = library.failing_last().decode()
                arm("", -1)
                judge(killed)
                judge(life)
            except Exception as wrong:  # noqa: BLE001 - whatever it is, it is a failure
                fault = fault or library.failing_last().decode()
                arm("", -1)
                found.failures.append(
                    f"call {at}, {fault}, {errno.errorcode[error]}{' after it' * after}: "
                    f"{type(wrong).__name__}: {wrong}"
                )
            if fault:
                found.failed[f"{fault} {errno.errorcode[error]}{' after it' * after}"] += 1
            for path in (life, killed):
                rmtree(path, ignore_errors=True)
        if not fault:
            break
        at += share if share == 1 else 1 + chance.randrange(2 * share - 1)
    found.refused = campaign.refused
    return found


def _copy_moment(folder: Path, target: Path) -> None:
    """What a kill leaves is what was there at one moment: a copy while nothing moved.

    A publisher that tidies up meanwhile moves files; SQLite's calls wait.
    """
    while True:
        before = _as_it_is(folder)
        with suppress(OSError, CopyFailed):
            copytree(folder, target)
            if _as_it_is(folder) == before:
                return
        rmtree(target, ignore_errors=True)


def _as_it_is(folder: Path) -> list[tuple[str, int, int, int]]:
    while True:
        with suppress(FileNotFoundError):
            seen = [(str(path), path.stat()) for path in sorted(folder.rglob("*"))]
            return [(path, at.st_ino, at.st_size, at.st_mtime_ns) for path, at in seen]


def built(scratch: Path) -> Path:
    """The library, to be preloaded. Skips where there is no compiler."""
    if which("cc") is None or not Path("/proc/self/fd").is_dir():
        pytest.skip("no C compiler (cc), or no Linux: calls of SQLite cannot be failed here")
    library = scratch / "failing.so"
    build = ["cc", *_COMPILE, "-o", str(library), str(SOURCE), "-ldl", "-pthread"]
    subprocess.run(build, check=True)
    return library


def run(name: str, scratch: Path, *, share: int, seed: int, only: str = "") -> Found:
    """`make_all` in a process of its own, with the library. Skips where there is no compiler."""
    library = built(scratch)
    words = [
        name,
        "--share",
        str(share),
        "--seed",
        str(seed),
        "--folder",
        str(scratch),
        "--only",
        only,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.sqlite_faults", *words],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "LD_PRELOAD": str(library)},
    )
    said = json.loads(done.stdout)
    return Found(said["calls"], Counter(said["failed"]), Counter(said["refused"]), said["failures"])


def main(words: Sequence[str] | None = None) -> None:
    """One campaign, in the process into which the library was preloaded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("name", choices=sorted(CAMPAIGNS))
    parser.add_argument("--share", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--folder", type=Path, required=True)
    wanted = parser.parse_args(words)
    with TemporaryDirectory(dir=wanted.folder) as folder:
        share, seed = wanted.share, wanted.seed
        found = make_all(wanted.name, Path(folder), share=share, seed=seed, only=wanted.only)
    facts = {"calls": found.calls, "failed": found.failed, "refused": found.refused}
    sys.stdout.write(json.dumps(facts | {"failures": found.failures}) + "\n")


if __name__ == "__main__":
    main()
