# SPDX-License-Identifier: Apache-2.0
"""The reference has every command, variable and code; pages and hints name what exists."""

import re
from pathlib import Path

import pytest

from fieldpost.cli.failures import BUG, FAMILIES, STOPPED, USAGE
from tools.write_reference import ENVIRONMENT, PAGE, commands

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = PAGE.read_text(encoding="utf-8")
COMMANDS = dict(commands())
SOURCES = sorted((REPOSITORY / "src").rglob("*.py"))
OPERATIONS = sorted((REPOSITORY / "docs" / "operations").glob("*.md"))
CITED = re.compile(r"\bdocs/[a-z0-9_/-]+\.[a-z]+\b")
SPOKEN = re.compile(r"\bfieldpost((?: [a-z][a-z-]*)+)")


def leaf_commands() -> dict[str, object]:
    return {name: item for name, item in COMMANDS.items() if not hasattr(item, "commands")}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_reference(name: str) -> None:
    assert re.search(rf"^#+ {re.escape(name)}$", REFERENCE, re.MULTILINE), "run: make docs"


@pytest.mark.parametrize("name", leaf_commands())
def test_every_command_speaks_json_and_its_help_teaches(name: str) -> None:
    command = COMMANDS[name]
    assert any("--json" in param.opts for param in command.params)
    assert len((command.help or "").split(".")[0]) > 10
    for param in command.params:
        if param.param_type_name == "option" and not getattr(param, "hidden", False):
            assert getattr(param, "help", None), f"{name} {param.opts} says nothing"


def test_every_exit_code_is_in_the_reference() -> None:
    for code in {code for code, _ in FAMILIES.values()} | {0, USAGE, BUG, STOPPED}:
        assert f"\n| {code} | " in REFERENCE


def test_every_environment_variable_is_in_the_reference() -> None:
    used = {
        name
        for path in SOURCES
        for name in re.findall(r"\"(FIELDPOST_[A-Z_]+)\"", path.read_text(encoding="utf-8"))
    }
    assert used
    assert used <= set(ENVIRONMENT), "describe it in tools/write_reference.py"


def test_every_page_that_the_source_cites_exists() -> None:
    missing = {
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in (*SOURCES, *(REPOSITORY / "tools").glob("*.py"))
        for name in CITED.findall(path.read_text(encoding="utf-8"))
        if not (REPOSITORY / name).exists()
    }
    assert not missing, f"cited and not written: {sorted(missing)}"


def spoken(text: str) -> set[str]:
    """Commands that a text names in code, as far as they are words."""
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    return {words.strip() for part in code for words in SPOKEN.findall(part)}


@pytest.mark.parametrize(
    "page",
    [
        *("README.md", "docs/tutorial.md", "docs/glossary.md"),
        *(f"docs/operations/{page.name}" for page in OPERATIONS),
    ],
)
def test_commands_that_a_page_names_exist(page: str) -> None:
    nouns = {name.removeprefix("fieldpost ") for name in COMMANDS}
    unknown = {
        words
        for words in spoken((REPOSITORY / page).read_text(encoding="utf-8"))
        if " ".join(words.split()[:2]) not in nouns and words.split()[0] not in {"verify", "demo"}
    }
    assert not unknown


def test_targets_that_the_first_page_names_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([a-z]+)", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert targets
    for target in targets:
        assert f"\n{target}:" in makefile


def test_hints_in_messages_name_commands_that_exist() -> None:
    """A next step that does not exist is worse than none."""
    words = r"([a-z][a-z-]*)((?: [a-z][a-z-]*)?)"
    hint = re.compile(rf"(?:`|next: )fieldpost {words}")
    nouns = {name.removeprefix("fieldpost ") for name in COMMANDS}
    wrong = set()
    for path in SOURCES:
        for noun, verb in hint.findall(path.read_text(encoding="utf-8")):
            known = f"{noun}{verb}" in nouns
            if not known and not (
                noun in nouns and not hasattr(COMMANDS[f"fieldpost {noun}"], "commands")
            ):
                wrong.add(f"{path.name}: {noun}{verb}")
    assert not wrong
