# SPDX-License-Identifier: Apache-2.0
"""The shipped unit: systemd reads it, finds it well sandboxed, and it runs commands that exist."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldpost.cli.main import fieldpost
from fieldpost.cli.node_settings import Sources

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "fieldpost.service"
DROP_IN = DEPLOY / "systemd" / "operator.conf"
WITNESS = DEPLOY / "systemd" / "fieldpost-witness.service"
READERS = [WITNESS.with_name(f"fieldpost-{name}.service") for name in ("mirror", "monitor")]
WATCHERS = [WITNESS, *READERS]
PROGRAM = "/opt/fieldpost/bin/fieldpost"
EXPOSURE = 20  # tenths; systemd calls 0 to 20 "OK"


def analyze(*words: str) -> "subprocess.CompletedProcess[str]":
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: run  make system-deps")
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is here, since systemd looks for it."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(PROGRAM, "/bin/true"))
    return copy


def test_systemd_reads_the_unit_without_a_word(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")
    unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHouse=yes"))
    assert "ProtectHouse" in analyze("verify", "--man=no", str(unit)).stderr


def test_the_sandbox_leaves_little(unit: Path) -> None:
    words = ["security", "--offline=yes", f"--threshold={EXPOSURE}", "--no-pager"]
    done = analyze(*words, str(unit))
    assert done.returncode == 0, done.stdout[-400:]
    unit.write_text(
        unit.read_text()
        .replace("ProtectSystem=strict\n", "")
        .replace("PrivateUsers=yes\n", "")
        .replace("SystemCallFilter=@system-service\n", "")
        .replace("RestrictNamespaces=yes\n", "")
    )
    assert analyze(*words, str(unit)).returncode != 0


def test_its_command_is_ours_and_takes_the_shipped_settings() -> None:
    (line,) = re.findall(rf"^Exec\w*={PROGRAM} (.*)$", UNIT.read_text(), re.MULTILINE)
    words = shlex.split(line)
    assert words == ["node", "run", "--config", "/etc/fieldpost/node.toml"]
    check = ["node", "config", "check", "--config", str(DEPLOY / "node.toml")]
    assert CliRunner().invoke(fieldpost, check).exit_code == 0


def test_exit_codes_that_no_restart_mends_are_not_restarted() -> None:
    from fieldpost.cli.failures import FAMILIES, USAGE
    from fieldpost.errors import Misbehaviour, Misconfigured

    misbehaved = FAMILIES[Misbehaviour][0]
    never = {USAGE, FAMILIES[Misconfigured][0]}
    for unit, more in ((UNIT, set()), (WITNESS, set()), *((u, {misbehaved}) for u in READERS)):
        text = unit.read_text()
        (line,) = re.findall(r"^RestartPreventExitStatus=(.*)$", text, re.MULTILINE)
        assert set(map(int, line.split())) == never | more
        # systemd heeds the list for the main process, which must therefore be all there is.
        assert "ExecStartPre" not in text


def test_an_operator_changes_what_is_run_and_leaves_the_sandbox(unit: Path) -> None:
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    text = DROP_IN.read_text().replace(PROGRAM, "/bin/true")
    (folder / DROP_IN.name).write_text(text)
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")
    settings = {line.partition("=")[0] for line in text.splitlines() if re.match(r"\w+=", line)}
    assert settings == {"ExecStart", "Environment", "KillMode"}


def test_an_operators_commands_are_ours_and_take_the_shipped_settings() -> None:
    commands = re.findall(rf"^Exec\w+={PROGRAM} (.*)$", DROP_IN.read_text(), re.MULTILINE)
    (run,) = map(shlex.split, commands)
    assert run[:2] == ["operator", "run"]
    assert CliRunner().invoke(fieldpost, [*run[:2], "--help"]).exit_code == 0
    assert run[-1] == "/etc/fieldpost/operator.toml"
    # The settings are right; the board of the example nobody has founded.
    assert Sources(DEPLOY / "operator.toml", {}).load().config.engine == "cometbft"
    words = ["node", "config", "check", "--config", str(DEPLOY / "operator.toml")]
    assert "genesis.json is missing" in CliRunner().invoke(fieldpost, words).stderr


@pytest.mark.parametrize("other", WATCHERS, ids=lambda path: path.stem)
def test_who_watches_runs_in_the_nodes_sandbox(tmp_path: Path, other: Path) -> None:
    text = other.read_text()
    copy = tmp_path / other.name
    copy.write_text(text.replace(PROGRAM, "/bin/true"))
    done = analyze("verify", "--man=no", str(copy))
    assert (done.returncode, done.stderr) == (0, "")
    boxes = [
        page[page.index("LimitNOFILE") : page.index("[Install]")]
        for page in (UNIT.read_text(), text)
    ]
    assert boxes[0] == boxes[1]


@pytest.mark.parametrize("other", WATCHERS, ids=lambda path: path.stem)
def test_a_watchers_command_is_ours(other: Path) -> None:
    (line,) = re.findall(rf"^ExecStart={PROGRAM} (.*)$", other.read_text(), re.MULTILINE)
    words = shlex.split(line.rpartition("$")[0] + "--help")
    assert words[1] == "run"
    assert CliRunner().invoke(fieldpost, words).exit_code == 0


def test_every_unit_tells_systemd_when_it_serves() -> None:
    """What that is worth is tried by `make deploy-try`."""
    units = set((DEPLOY / "systemd").glob("*.service"))
    assert units == {UNIT, *WATCHERS}
    for unit in units:
        assert "\nType=notify\n" in unit.read_text()
