# SPDX-License-Identifier: Apache-2.0
"""A process is killed while it makes a log's first folders, and later the power fails."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from fieldpost.store.log_recovery import open_log
from fieldpost.testing.survivors import survivors
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.unit.store.test_log_files import batch

pytestmark = pytest.mark.crash


class Killed(BaseException):
    """No handler runs after it."""


def test_names_that_a_killed_process_left_unsynced_are_durable_before_entries_count(
    tmp_path: Path,
) -> None:
    """Killed after every change of the first batch; the next process goes on; the power fails."""
    entries = batch(0, 2)
    for kill_at in count():
        root = tmp_path / str(kill_at)
        root.mkdir()
        changes = count()

        def kill(_change: str, changes: Iterator[int] = changes, kill_at: int = kill_at) -> None:
            if next(changes) >= kill_at:
                raise Killed

        disk = VolatileDisk(root, on_change=kill)
        try:
            open_log(root, disk=disk).append(entries)
        except Killed:
            pass
        else:
            break
        disk.on_change = lambda _: None
        log = open_log(root, disk=disk)
        if not log.size:
            log.append(entries)
        for number, survivor in enumerate(survivors(disk, chance=Random(kill_at))):
            left = tmp_path / f"{kill_at}-{number}"
            survivor.write_to(left)
            assert open_log(left).read_entries(0, 3) == entries, (kill_at, number)
            shutil.rmtree(left)
    assert kill_at > 10
