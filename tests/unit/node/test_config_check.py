# SPDX-License-Identifier: Apache-2.0
"""What is said of the world around right settings, before a node starts with them."""

from pathlib import Path
from typing import Any

import pytest

from fieldpost.engines.cometbft.home import (
    comet_home,
    key_path,
    make_keys,
    signed_path,
    write_genesis,
)
from fieldpost.node import config_check
from fieldpost.node.comet_config import CometbftConfig
from fieldpost.node.config import NodeConfig, TlsConfig
from fieldpost.node.config_check import look_around
from tests.unit.node.running_node import running


def test_a_new_folder_and_a_board_s_folder_are_both_fine(tmp_path: Path) -> None:
    assert not list(look_around(NodeConfig(data=tmp_path / "deep" / "new")))
    assert not (tmp_path / "deep").exists()
    with running(tmp_path / "board"):
        pass
    assert not list(look_around(NodeConfig(data=tmp_path / "board")))


def test_a_key_that_others_may_read_is_named(tmp_path: Path) -> None:
    with running(tmp_path):
        pass
    key = tmp_path / "keys" / "log.pem"
    key.chmod(0o640)
    (trouble,) = look_around(NodeConfig(data=tmp_path))
    assert f"chmod 600 {key}" in trouble


def test_a_file_where_a_folder_should_be_and_a_full_disk_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (trouble,) = look_around(NodeConfig(data=tmp_path / "file"))
    assert "is no folder" in trouble
    monkeypatch.setattr(config_check, "LEAST_FREE_BYTES", 2**70)
    (trouble,) = look_around(NodeConfig(data=tmp_path))
    assert "MiB left" in trouble


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    tls = TlsConfig(certificate=tmp_path / "none.pem", key=tmp_path / "none.key")
    (trouble,) = look_around(NodeConfig(data=tmp_path, tls=tls))
    assert trouble.startswith("tls: cannot read ")


def test_an_operator_is_told_before_the_start_what_its_cometbft_lacks(tmp_path: Path) -> None:
    program = tmp_path / "program"
    config = NodeConfig(
        data=tmp_path, engine="cometbft", cometbft=CometbftConfig(program=str(program))
    )
    assert [trouble.partition(":")[0] for trouble in look_around(config)] == [
        "cometbft.program",
        "data",
        "data",
    ]
    home = comet_home(tmp_path)
    make_keys(home)
    write_genesis(home, b"{}")
    program.write_bytes(
        b"path\tgithub.com/cometbft/cometbft/cmd/cometbft\n"
        b"mod\tgithub.com/cometbft/cometbft\tv0.40.0\t"
    )
    assert not list(look_around(config))
    key_path(home).chmod(0o644)
    (trouble,) = look_around(config)
    assert "chmod 600" in trouble
    signed_path(home).unlink()
    assert any("voting twice" in each for each in look_around(config))
    assert not list(look_around(NodeConfig(data=tmp_path / "embedded")))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"mirrors": ("ftp://copy.example",)}, "mirrors: 'ftp://copy.example' is no http or"),
        ({"mirrors": ("/nowhere/at/all",)}, "mirrors: there is no folder /nowhere/at/all"),
        ({"witness_policy": Path("/nowhere")}, "witness_policy: /nowhere cannot be read"),
        ({"listen": ("1.2.3.4.5:80",)}, "listen: '1.2.3.4.5' is no address"),
        ({"metrics_listen": "1.2.3.4.5:81"}, "metrics_listen: '1.2.3.4.5' is no address"),
    ],
)
def test_what_a_start_would_refuse_is_said_by_the_check(
    tmp_path: Path, setting: dict[str, Any], words: str
) -> None:
    (trouble,) = look_around(NodeConfig(data=tmp_path, **setting))
    assert trouble.startswith(words)


def test_a_mirrors_folder_and_url_are_not_asked(tmp_path: Path) -> None:
    mirrors = (str(tmp_path), "http://127.0.0.1:1", "https://copy.invalid/log")
    assert not list(look_around(NodeConfig(data=tmp_path, mirrors=mirrors)))
