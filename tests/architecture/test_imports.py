# SPDX-License-Identifier: Apache-2.0
"""The rooms keep their directions, and the contracts that say so would notice if they did not."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "src" / "fieldpost"

# Rooms whose answers may depend on their arguments alone.
CORE = (
    *("errors", "cbor", "keys", "tlog", "statemap", "suit", "records", "posts", "identity"),
    *("checkin", "ledger"),
)


def settings() -> dict[str, Any]:
    text = (REPOSITORY / "pyproject.toml").read_text()
    found: dict[str, Any] = tomllib.loads(text)["tool"]["importlinter"]
    return found


def lint_imports(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = "import sys; from importlinter.cli import lint_imports_command as main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo", "--config", str(config)],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_import_contract_is_kept() -> None:
    result = lint_imports(REPOSITORY / "pyproject.toml", REPOSITORY / "src")
    assert result.returncode == 0, result.stdout + result.stderr


# Where a line is added, the line, and the contract that must break.
OFFENCES = {
    "a clock in the core": ("cbor.py", "import time", "The core touches no world"),
    "a disk in the core": (
        "tlog/extra.py",
        "from pathlib import Path",
        "The core touches no world",
    ),
    "core to shell": ("keys.py", "import fieldpost.durable", "The core touches no world"),
    "upwards": ("errors.py", "import fieldpost.keys", "One way down"),
    "fakes in a shipped program": ("cli/extra.py", "import fieldpost.testing", "One way down"),
    "a new room without a place": ("attic.py", "", "One way down"),
    "a clock in the agent's rules": ("agent/states.py", "import time", "The core touches no world"),
    "device to server": ("agent/extra.py", "import fieldpost.store", "A device carries no server"),
    "device to web server": ("agent/extra.py", "import starlette", "A device carries no server"),
    "node to agent": ("node/extra.py", "import fieldpost.agent", "One way down"),
    "fleet to ledger": ("fleet/extra.py", "import fieldpost.ledger", "needs no operator's rights"),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_an_import_against_the_directions_breaks_its_contract(offence: str, tmp_path: Path) -> None:
    """In an empty copy of the rooms the contracts hold (the control); one bad line breaks them."""
    where, line, contract = OFFENCES[offence]
    package = tmp_path / "fieldpost"
    rooms = ("agent", "cli", "fleet", "ledger", "node", "store", "testing", "tlog")
    for room in ("", *rooms):
        (package / room).mkdir()
        (package / room / "__init__.py").touch()
    for module in ("cbor", "durable", "errors", "keys", "agent/states", "agent/trust"):
        (package / f"{module}.py").touch()
    (package / "durable.py").write_text("import os\n")
    clean = lint_imports(REPOSITORY / "pyproject.toml", tmp_path)
    assert clean.returncode == 0, clean.stdout + clean.stderr

    (package / where).write_text(line + "\n")
    broken = lint_imports(REPOSITORY / "pyproject.toml", tmp_path)

    assert broken.returncode == 1, broken.stdout + broken.stderr
    verdicts = [text for text in broken.stdout.splitlines() if text.endswith(" BROKEN")]
    assert any(contract in text for text in verdicts), broken.stdout


def test_every_core_room_stands_in_the_core_contract() -> None:
    contracts = {contract["id"]: contract for contract in settings()["contracts"]}
    named = {name.rpartition(".")[2] for name in contracts["core"]["source_modules"]}
    missing = {*CORE, "states", "trust"} - named
    assert not missing, f"put into the core contract of pyproject.toml: {sorted(missing)}"


def test_the_core_imports_only_the_libraries_that_a_device_has() -> None:
    """Of the `dependencies` of pyproject.toml, click is the command line's alone."""
    graph = grimp.build_graph("fieldpost", include_external_packages=True)
    present = [f"fieldpost.{room}" for room in CORE if f"fieldpost.{room}" in graph.modules]
    found = {
        name
        for room in present
        for module in (room, *graph.find_descendants(room))
        for name in graph.find_modules_directly_imported_by(module)
        if not name.startswith("fieldpost") and name not in sys.stdlib_module_names
    }
    assert present
    assert found <= {"cryptography", "zstandard"}, f"the core imports {sorted(found)}"


def test_the_drawing_of_the_rooms_shows_the_code() -> None:
    result = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "draw_architecture.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.skipif(not (PACKAGE / "agent").is_dir(), reason="the agent room does not exist yet")
def test_the_process_of_an_agent_holds_no_server_code() -> None:
    """Every module of the agent is imported in a fresh process; then its modules are listed."""
    script = (
        "import importlib, pkgutil, sys\n"
        "import fieldpost.agent as agent\n"
        "for found in pkgutil.walk_packages(agent.__path__, 'fieldpost.agent.'):\n"
        "    importlib.import_module(found.name)\n"
        "print('\\n'.join(sys.modules))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    servers = {
        *(f"fieldpost.{room}" for room in ("ledger", "engines", "store", "node", "fleet")),
        *("starlette", "uvicorn", "uvloop", "httptools", "rich", "http.server", "sqlite3"),
    }
    assert "fieldpost.agent" in loaded
    assert not loaded & servers, f"an agent's process holds {sorted(loaded & servers)}"
