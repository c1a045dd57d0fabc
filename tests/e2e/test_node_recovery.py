# SPDX-License-Identifier: Apache-2.0
"""Backup, loss, restore, missing tail and rebuild, as an operator does it: real processes alone."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.maker_cli import Maker, make_maker, running_node

pytestmark = pytest.mark.e2e


def size(data: Path) -> int:
    return int((data / "log" / "checkpoint").read_bytes().split(b"\n")[1])


def test_a_node_comes_back_from_an_old_backup_with_everything_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    data, mirror, new = tmp_path / "data", tmp_path / "mirror", tmp_path / "new"
    operator = Maker(tmp_path / "operator")
    with running_node(data) as url:
        maker = make_maker(tmp_path / "maker", url)
        made = operator.must("node", "backup", "--data", data, "--to", tmp_path / "old")
        assert made["keys"].startswith("not in the backup")
        maker.must("class", "add", "lamp", "--support-end", "2035-01-01")
        operator.must("node", "backup", "--data", data, "--to", mirror)
        in_use = operator("node", "rebuild", "--data", data, "--json")
        assert "in use by another node" in in_use.error["detail"]
    before = size(data)
    shutil.move(data / "keys", tmp_path / "keys")
    shutil.rmtree(data)  # the machine is lost; keys were kept apart

    restored = operator.must(
        *("node", "restore", "--from", tmp_path / "old", "--data", new),
        *("--keys", tmp_path / "keys"),
    )
    assert restored["next"].endswith("--mirror FOLDER|URL")
    refused = operator("node", "run", "--data", new, "--json")
    assert "--mirror" in refused.error["detail"]
    with running_node(new, "--mirror", str(mirror)) as url:
        maker.ask_at(url)
        assert size(new) == before
        assert len(maker.must("maker", "show")["classes"]) == 2
        maker.must("class", "add", "torch", "--support-end", "2035-01-01")
    assert size(new) > before
    (new / "state.db").write_bytes(b"not a database")
    damaged = operator("node", "run", "--data", new, "--json")
    assert "fieldpost node rebuild" in damaged.error["detail"]
    assert operator.must("node", "rebuild", "--data", new)["entries"] == size(new)
    with running_node(new):
        pass
