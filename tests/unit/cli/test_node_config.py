# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node config`: what operators see of their settings before a node starts with them."""

import json
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fieldpost.cli import main as program
from fieldpost.cli.main import fieldpost
from fieldpost.errors import Misconfigured


def call(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(
        fieldpost, ["node", "config", *words], env=environment, catch_exceptions=False
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text('data = "board"\nlisten = ["127.0.0.1:1"]\n[limits]\ndrain_s = 5\n')
    return path


def test_right_settings_are_said_to_be_right(file: Path) -> None:
    assert call("check", "--config", str(file)).exit_code == 0
    assert json.loads(call("check", "--json", FIELDPOST_NODE_CONFIG=str(file)).stdout)["ok"]


def test_every_wrong_setting_is_a_line_and_the_exit_code_is_that_of_settings(file: Path) -> None:
    file.write_text("datas = 1\n[limits]\ndrain_s = 0\n")
    result = call("check", "--config", str(file))
    assert result.exit_code == 78
    assert result.stderr.count("wrong: ") == 3
    assert "did you mean data?" in result.stderr
    assert len(json.loads(call("check", "--config", str(file), "--json").stdout)["wrong"]) == 3


def test_each_setting_is_shown_with_where_it_comes_from(file: Path) -> None:
    shown = call(
        "show", "--config", str(file), "--data", "d", "--json", FIELDPOST_NODE_ORIGIN="b.example/1"
    )
    rows = {row["setting"]: (row["value"], row["from"]) for row in json.loads(shown.stdout)}
    assert rows["data"] == ("d", "--data")
    assert rows["origin"] == ("b.example/1", "FIELDPOST_NODE_ORIGIN")
    assert rows["listen"] == (["127.0.0.1:1"], str(file))
    assert rows["limits.drain_s"] == (5, str(file))
    assert rows["limits.post_bytes"] == (65_535, "default")
    assert "limits.drain_s" in call("show", "--config", str(file)).stdout


def test_a_node_does_not_start_with_a_wrong_setting(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text('data = "board"\nlimits.drain = 1\n')
    monkeypatch.setattr(sys, "argv", ["fieldpost", "node", "run", "--config", str(file)])
    with pytest.raises(SystemExit) as left:
        program.main()
    assert left.value.code == 78
    assert "did you mean limits.drain_s?" in capsys.readouterr().err
    assert not (file.parent / "board").exists()


@pytest.mark.parametrize("option", ["--listen", "--metrics-listen"])
def test_an_address_that_is_taken_leaves_no_board_behind(tmp_path: Path, option: str) -> None:
    """A board's name and keys are for ever; the port is a slip."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        words = ["node", "run", "--data", str(tmp_path / "board"), "--listen", "127.0.0.1:0"]
        result = CliRunner().invoke(fieldpost, [*words, option, address])
    assert isinstance(result.exception, Misconfigured)
    assert f"cannot listen on {address}" in str(result.exception)
    assert not (tmp_path / "board").exists()
