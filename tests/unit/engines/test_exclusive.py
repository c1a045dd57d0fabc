# SPDX-License-Identifier: Apache-2.0
"""Root's files do not end the next start of a service that has a user of its own."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldpost.engines.exclusive import DirectoryLock, check_owner
from fieldpost.engines.rebuild import rebuild_board
from fieldpost.engines.restore import restore
from fieldpost.errors import Misconfigured
from fieldpost.testing.boards import BoardOnDisk

_SOMEBODY = 8_470
_NOBODYS = 60_123


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_root_is_told_whom_the_folder_belongs_to_before_anything_is_written(tmp_path: Path) -> None:
    made = BoardOnDisk(tmp_path / "data")
    made.open().close()
    before = sorted(path.name for path in made.data.rglob("*"))
    os.chown(made.data, _NOBODYS, -1)
    refused = r"belongs to \+60123, who could not read what root writes .* runuser -u \+60123"
    commands: tuple[Callable[[], object], ...] = (
        lambda: DirectoryLock(made.data),
        lambda: rebuild_board(made.data),
        lambda: restore(tmp_path / "backup", made.data),
    )
    for command in commands:
        with pytest.raises(Misconfigured, match=refused):
            command()
    assert sorted(path.name for path in made.data.rglob("*")) == before
    os.chown(made.data, 0, -1)
    DirectoryLock(made.data).release()


def test_whoever_is_not_root_is_judged_by_the_system_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: _SOMEBODY)
    check_owner(tmp_path)
