# SPDX-License-Identifier: Apache-2.0
"""The overview is quick, every noun is found, and no way out of `main` lacks its exit code."""

import io
import json
import subprocess
import sys

import click
import pytest

from fieldpost.cli import main as program
from fieldpost.errors import Conflict

HEAVY = {
    *("cryptography", "zstandard", "starlette", "uvicorn", "uvloop", "httptools", "rich"),
    *("sqlite3", "asyncio", "http.client", "ssl", "fieldpost.keys", "fieldpost.node"),
}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["no-such-noun"]])
def test_the_overview_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from fieldpost.cli.main import main\n"
        f"sys.argv = ['fieldpost', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(['modules:', *sys.modules]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    modules = set(done.stdout.partition("modules:\n")[2].split())
    assert "fieldpost.cli.main" in modules
    assert not HEAVY & modules


@pytest.mark.parametrize("noun", list(program.NOUNS))
def test_every_noun_of_the_overview_is_there_under_its_name(noun: str) -> None:
    command = program.fieldpost.get_command(click.Context(program.fieldpost), noun)
    assert command is not None
    assert command.name == noun


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["fieldpost", *arguments])
    with pytest.raises(SystemExit) as left:
        program.main()
    code = left.value.code
    assert isinstance(code, int)
    return code


def test_a_wrong_command_line_is_64_and_json_for_scripts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "lot", "enrol", "--json") == 64
    facts = json.loads(capsys.readouterr().err)
    assert facts["error"] == "usage"
    assert "fieldpost lot enrol --help" in facts["next"]


def raising(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    return click.Command("fieldpost", callback=fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Conflict("somebody"), 2),
        (PermissionError(13, "Permission denied", "x"), 78),
        (OSError(28, "No space left on device"), 75),
        (click.Abort(), 130),
        (click.exceptions.Exit(9), 9),
        (RuntimeError("oops"), 70),
    ],
)
def test_whatever_happens_has_its_exit_code(
    error: BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(program, "fieldpost", raising(error))
    assert run(monkeypatch) == code
    assert capsys.readouterr().out == ""


def test_a_name_that_is_no_text_is_printed_and_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(screen, encoding="ascii"))
    assert run(monkeypatch, "verify", "nö-\udcff.bin") == 64
    sys.stderr.flush()
    assert b"does not exist" in screen.getvalue()
