# SPDX-License-Identifier: Apache-2.0
"""A maker's machine loses its power, or its disk is full, at any write of any command.

No key is lost that the board knows, no post that the board has, no ceremony is half a file; and the
same command again brings the maker to where it wanted to be.
"""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from fieldpost import durable
from fieldpost.cli.failures import FAMILIES
from fieldpost.cli.maker_home import MakerHome
from fieldpost.errors import Unavailable
from fieldpost.testing.faults import FaultyDisk, PowerCut
from fieldpost.testing.power_cuts import PowerCuts
from fieldpost.testing.survivors import survivors
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.crash.maker_line import KEYLESS, MakerLine
from tests.e2e.maker_cli import running_node

pytestmark = pytest.mark.crash

UNAVAILABLE = FAMILIES[Unavailable][0]
Step = tuple[str | Path, ...]
BEGIN: list[Step] = [
    ("maker", "init", "--name", "Acme", *KEYLESS),
    ("maker", "register", "--yes"),
    ("class", "add", "bulb", "--support-end", "2036-12-31"),
]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running_node(tmp_path / "node") as address:
        yield address


def work(folder: Path, name: str) -> list[Step]:
    """What a maker does who has a class: a release, a rollout, a ceremony, a rotation."""
    image = folder / f"{name}.bin"
    image.write_bytes(name.encode() * 900)
    return [
        ("release", "publish", "bulb", image, "--version", name),
        ("rollout", "set", "bulb", "--offer", "1=100%"),
        ("class", "add", f"lamp:{name}", "--support-end", "2036-12-31"),
        ("maker", "rotate-keys", "--role", "release", *KEYLESS),
    ]


def live(line: MakerLine, folder: Path, disk: VolatileDisk, cuts: PowerCuts) -> None:
    """One life, which is cut at every change; after each command what it told is promised."""
    for step in (*BEGIN, *work(folder, "first")):
        line.must(*step, disk=disk)
        cuts.promise()


def cut_lives(
    line: MakerLine, memory: Path, disk_over: Callable[[Path], VolatileDisk] = VolatileDisk
) -> PowerCuts:
    """A life that is cut at every change of its disk."""
    line.home.mkdir()
    disk = disk_over(line.home)
    (memory / "left").mkdir()
    cuts = PowerCuts(disk, memory / "left", line.judge, chance=Random(5), by_lot=1)
    live(line, memory, disk, cuts)
    return cuts


def test_no_power_cut_loses_a_key_or_a_post_that_the_board_has(memory: Path, url: str) -> None:
    cuts = cut_lives(MakerLine(memory / "home", url), memory)
    assert cuts.failures == []
    assert cuts.judged > 150


@pytest.mark.parametrize("skipped", ["a post in the outbox", "a key file"])
def test_a_file_that_is_not_waited_for_is_missed(
    memory: Path, url: str, monkeypatch: pytest.MonkeyPatch, skipped: str
) -> None:
    """The control: one kind of file written as most programs do, without an fsync."""

    def carelessly(path: Path, data: bytes, **_: object) -> None:
        fd = durable.OS.open(path, 0o101, 0o600)  # O_WRONLY | O_CREAT
        durable.OS.write(fd, memoryview(data))
        durable.OS.close(fd)

    if skipped == "a key file":
        monkeypatch.setattr("fieldpost.signers.keyfile.create_file", carelessly)
    else:
        monkeypatch.setattr(MakerHome, "keep", _keep(carelessly))
    cuts = cut_lives(MakerLine(memory / "home", url), memory)
    assert cuts.failures, f"nothing notices that {skipped} is not on the disk"


def _keep(write: Callable[..., None]) -> Callable[[MakerHome, str, bytes], Path]:
    def keep(home: MakerHome, name: str, post: bytes) -> Path:
        durable.make_dirs(home.path / "outbox")
        path = home.path / "outbox" / f"{len(home._numbered()) + 1:06d}-{name}.cose"
        write(path, post)
        return path

    return keep


def test_after_a_cut_the_same_command_again_brings_the_maker_there(memory: Path, url: str) -> None:
    """At every few calls of `class add`, whatever survives, also where the board has the post."""
    line = MakerLine(memory / "home", url)
    line.home.mkdir()
    for step in BEGIN:
        line.must(*step)
    at = done = 0
    was_cut = True
    while was_cut:
        add = ("class", "add", f"lamp:{at}", "--support-end", "2036-12-31")
        home = line.copied(memory / f"home-{at}")
        medium = VolatileDisk(home)
        disk = FaultyDisk(fail_at=at, power_cut=True, disk=medium)
        try:
            line.run(*add, disk=disk, home=home)
            was_cut = False
        except PowerCut:
            pass
        states = list(survivors(medium, chance=Random(at), by_lot=1))
        homes = [memory / f"left-{at}-{number}" for number in range(len(states))]
        for state, left in zip(states, homes, strict=True):
            state.write_to(left)
            line.judge(left)
        for left in homes:
            code, said = line.run(*add, home=left)
            assert code == 0 or "lamp" in str(line.must("class", "show", add[2], home=left)), said
            done += 1
        at += 4
    assert done > 20


def finish(line: MakerLine, step: Step) -> None:
    """The same command again; a rotation that was begun is finished as it says itself."""
    if (line.home / "rotation.json").exists():
        line.must("maker", "rotate-keys")
    else:
        line.must(*step)


def test_a_full_disk_costs_a_command_and_nothing_else(memory: Path, url: str) -> None:
    """ENOSPC at every call of every command in turn; then there is room, and it is run again."""
    line = MakerLine(memory / "home", url)
    line.home.mkdir()
    for step in BEGIN:
        line.must(*step)
    refused = 0
    for number in range(len(work(memory, "first"))):
        at, is_reached = 0, True
        while is_reached:
            step = work(memory, f"1.{at}")[number]
            disk = FaultyDisk(fail_at=at, error=errno.ENOSPC, disk=VolatileDisk(line.home))
            code, said = line.run(*step, disk=disk)
            refused += code != 0
            assert code in (0, UNAVAILABLE), said
            assert code == 0 or "the disk is full" in said, said
            line.judge(line.home)
            if code:
                finish(line, step)
            at, is_reached = at + 13, len(disk.calls) > at
    assert refused > 8
