# SPDX-License-Identifier: Apache-2.0
"""A quota on the scratch folder says nothing of the databases that were to be copied there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.sqlite_faults import built
from tests.unit.cli.cli_world import cli_world

pytestmark = pytest.mark.crash


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    with cli_world(root) as world:
        world.with_maker()
        world.publish("1.0")
        world.call("release", "list", "bulb:r1")
    return root / "node"


def told(data: Path, scratch: Path, error: str) -> list[str | list[str]]:
    library = built(scratch)
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.fsck_faults", str(data), error, "--step", "23"],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "LD_PRELOAD": str(library)},
    )
    found: list[str | list[str]] = json.loads(done.stdout)
    return found


def test_a_quota_that_ends_anywhere_is_told_as_a_want_of_room(data: Path, tmp_path: Path) -> None:
    """SQLite calls it a failed write, as it does on a broken disk."""
    *refused, last = told(data, tmp_path, "EDQUOT")
    assert last == []
    assert refused.count("DiskFull") > 3
    # Some writes SQLite can do without.
    assert all(one in ("DiskFull", []) for one in refused)


def test_a_broken_scratch_disk_is_no_damage_of_the_folder(data: Path, tmp_path: Path) -> None:
    """The control: writes fail for good, and room would not help."""
    *refused, last = told(data, tmp_path, "EIO")
    assert last == []
    assert refused.count("Unavailable") > 3
    # The index of a write-ahead log that cannot grow is a full disk to SQLite, whatever it was.
    assert all(one in ("Unavailable", "DiskFull", []) for one in refused)
