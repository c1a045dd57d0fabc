# SPDX-License-Identifier: Apache-2.0
"""Boards on the disk, and copies that follow them from folders as if these were sources."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fieldpost.durable import OS, Disk
from fieldpost.engines.mirrors import Mirror
from fieldpost.engines.verifiers import Verifiers
from fieldpost.node.mirrors import open_mirror
from fieldpost.store.log_files import read_checkpoint
from fieldpost.watch.mirror_copy import BoardCopy
from fieldpost.watch.mirror_follow import BoardFollower


def note_of(data: Path) -> bytes:
    """The checkpoint that a data folder publishes."""
    note = read_checkpoint(data / "log")
    assert note is not None
    return note


@contextmanager
def opened(
    folder: Path,
    *,
    board: str | None = None,
    disk: Disk = OS,
    go_on: Callable[[], bool] = lambda: True,
    at_once: int = 4_096,
) -> Iterator[BoardFollower]:
    """A follower over the copy in `folder`, which verifies on this thread."""
    copy = BoardCopy(folder, disk=disk)
    try:
        yield BoardFollower(copy, Verifiers(0), board=board, go_on=go_on, at_once=at_once)
    finally:
        copy.close()


def step(follower: BoardFollower, data: Path, *, source: Mirror | None = None) -> bool:
    """One step by what lies in a data folder."""
    return follower.step(source or open_mirror(str(data)), note_of(data))


def follow(folder: Path, data: Path) -> None:
    """Bring the copy in `folder` to where `data` is."""
    with opened(folder) as follower:
        step(follower, data)
