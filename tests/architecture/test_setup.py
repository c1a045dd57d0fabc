# SPDX-License-Identifier: Apache-2.0
"""Where setting up cannot work, one line says why and what to do, before anything is made."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = REPOSITORY / "tools" / "check_python.py"

WORLDS = {
    "too old": ("sys.version_info = (3, 9, 2, 'final', 0)", "needs Python 3.11 or newer"),
    "no venv": ("sys.modules['venv'] = None", "cannot make virtual environments"),
    "no ensurepip": ("sys.modules['ensurepip'] = None", "cannot make virtual environments"),
}


def run_check(preparation: str) -> subprocess.CompletedProcess[str]:
    program = f"import runpy, sys\n{preparation}\nrunpy.run_path({str(SCRIPT)!r}, None, '__main__')"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("world", WORLDS)
def test_setup_refuses_an_interpreter_that_cannot_work_and_names_the_way_out(world: str) -> None:
    preparation, complaint = WORLDS[world]
    result = run_check(preparation)
    assert result.returncode == 1
    assert complaint in result.stderr
    assert "make PYTHON=" in result.stderr
    assert "Traceback" not in result.stderr


def test_setup_says_nothing_to_this_interpreter() -> None:
    result = run_check("")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_the_check_itself_parses_on_interpreters_that_are_too_old() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
