# SPDX-License-Identifier: Apache-2.0
"""Every threat of the table has a test and a control that exist, and every attack has its row."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldpost.testing.defences import Defence

REPOSITORY = Path(__file__).resolve().parents[2]
TESTS = REPOSITORY / "tests"
PAGE = (REPOSITORY / "docs" / "threat-model.md").read_text(encoding="utf-8")
HEADER = "| threat | defence | test | control | what remains |"
QUOTED = re.compile(r"`([^`]+)`")
ROOM = re.compile(r"^[a-z]+(\.[a-z_]+)*$")


@dataclass(frozen=True)
class Attack:
    """A test function, with the constants of its module that it mentions."""

    nodes: tuple[ast.AST, ...]

    def defences(self) -> set[str]:
        """The defences that it names: `Defence.NAME`, or as a program's command line has them."""
        found: set[str] = set()
        for node in self.nodes:
            match node:
                case ast.Attribute(value=ast.Name(id="Defence"), attr=name):
                    found.add(name)
                case ast.Constant(value=str(word)):
                    found.add(word.upper().replace("-", "_"))
        return found & Defence.__members__.keys()


def find_tests(folder: Path) -> dict[str, list[Attack]]:
    """Test functions by name."""
    found: dict[str, list[Attack]] = {}
    for path in sorted(folder.rglob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            target.id: node
            for node in module.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for function in module.body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                own = list(ast.walk(function))
                names = {node.id for node in own if isinstance(node, ast.Name)}
                shared = [
                    part for name in names & constants.keys() for part in ast.walk(constants[name])
                ]
                found.setdefault(function.name, []).append(Attack((*own, *shared)))
    return found


EVERY = find_tests(TESTS)
ATTACKS = find_tests(TESTS / "attacks")


@dataclass(frozen=True)
class Row:
    """One threat."""

    threat: str
    defence: str
    tests: tuple[str, ...]
    controls: tuple[str, ...]


def rows() -> list[Row]:
    found, inside = [], False
    for line in PAGE.splitlines():
        if line == HEADER:
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == 5, f"five cells, not {len(cells)}: {cells[0]}"
            tests, controls = (tuple(QUOTED.findall(cell)) for cell in cells[2:4])
            found.append(Row(cells[0], cells[1], tests, controls))
    return found


ROWS = rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.threat[:60])
def test_a_row_names_tests_and_controls_that_exist(row: Row) -> None:
    assert row.tests, "no test"
    assert row.controls, "no control"
    missing = [name for name in row.tests if name not in EVERY]
    missing += [
        name
        for name in row.controls
        if (name not in EVERY if name.startswith("test_") else name not in Defence.__members__)
    ]
    assert not missing, f"these do not exist: {missing}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.threat[:60])
def test_a_rows_controls_are_switched_off_in_its_tests(row: Row) -> None:
    """A defence that no test of the row switches off shows nothing about it."""
    used = {
        defence
        for name in (*row.tests, *row.controls)
        for attack in EVERY.get(name, ())
        for defence in attack.defences()
    }
    idle = {name for name in row.controls if not name.startswith("test_")} - used
    assert not idle, f"no test of this row switches these off: {idle}"


def test_every_attack_stands_in_a_row() -> None:
    named = {name for row in ROWS for name in (*row.tests, *row.controls)}
    assert ATTACKS
    lost = sorted(set(ATTACKS) - named)
    assert not lost, f"in no row of docs/threat-model.md: {lost}"


def test_every_defence_that_can_be_switched_off_is_somebodys_control() -> None:
    named = {name for row in ROWS for name in row.controls}
    assert not set(Defence.__members__) - named


def test_the_page_names_rooms_that_exist() -> None:
    """`checkin.verify` is src/fieldpost/checkin/verify.py, `agent` a room."""
    source = REPOSITORY / "src" / "fieldpost"
    for row in ROWS:
        for name in filter(ROOM.match, QUOTED.findall(row.defence)):
            path = source / name.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_the_page_says_that_nobody_audited_it_and_what_is_not_stopped() -> None:
    assert "Unaudited" in PAGE
    assert "## What we do not stop" in PAGE
