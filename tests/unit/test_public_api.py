# SPDX-License-Identifier: Apache-2.0
"""`import fieldpost`: what other people's programs may lean on."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fieldpost

REPOSITORY = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_public_name_exists_and_is_documented() -> None:
    for name in fieldpost.__all__:
        assert name == "__version__" or getattr(fieldpost, name).__doc__, name


def test_type_checkers_and_the_interpreter_are_told_the_same() -> None:
    tree = ast.parse((REPOSITORY / "src/fieldpost/__init__.py").read_text())
    told = {
        alias.asname or alias.name: (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = {
        name: (f"fieldpost.{room}", inner) for name, (room, inner) in fieldpost._PLACES.items()
    }
    assert told == found
    assert sorted({*told, "__version__"}) == sorted(fieldpost.__all__)


def test_importing_loads_nothing_and_everything_loads_no_server() -> None:
    listing = "print(*sorted(m for m in sys.modules if m.startswith('fieldpost.')))"
    assert run(f"import sys, fieldpost; {listing}") == ""
    everything = "[getattr(fieldpost, name) for name in fieldpost.__all__]"
    rooms = {
        m.split(".")[1] for m in run(f"import sys, fieldpost; {everything}; {listing}").split()
    }
    core = {"cbor", "checkin", "errors", "identity", "keys", "posts", "records", "statemap"}
    assert rooms == core | {"suit", "tlog"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        fieldpost.nonsense  # noqa: B018


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert fieldpost.__version__ == project["version"]
