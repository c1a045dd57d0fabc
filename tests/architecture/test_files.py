# SPDX-License-Identifier: Apache-2.0
"""Small files with one purpose, a stated licence, and a project that speaks of itself alone."""

import ast
import re
import statistics
from functools import cache
from pathlib import Path

import fieldpost

REPOSITORY = Path(__file__).resolve().parents[2]

LINES_AT_MOST = 400
MEDIAN_AT_MOST = 150
# Below this many files a median says nothing.
MEDIAN_COUNTS_FROM = 20

# Folders that are made here and not written here.
MADE = {
    *(".git", ".venv", ".cache", ".hypothesis", "build", "dist", "__pycache__", "node_modules"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", ".benchmarks"),
}

# Names that say nothing about what is inside, so that anything ends up there.
GRAB_BAGS = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "shared"}

# What belongs to one machine or to one way of fetching packages. Written so that this very
# file does not contain what it forbids.
FOREIGN = {
    "a path of one machine": re.compile(r"(?<![\w.])/(?:work|root|home/\w+)" + r"/"),
    "a package registry's host": re.compile(
        r"\b(?:files\.python" + r"hosted\.org|pypi" + r"\.org/simple|registry" + r"\.npmjs\.org"
        r"|(?<!no-emit)-index" + r"-url|proxy" + r"\.golang\.org)\b"
    ),
}


@cache
def written_files() -> tuple[Path, ...]:
    """Every file of the project that somebody wrote."""
    return tuple(
        path
        for path in sorted(REPOSITORY.rglob("*"))
        if path.is_file()
        and not MADE & set(path.relative_to(REPOSITORY).parts)
        and not path.name.endswith((".pyc", ".egg-info"))
    )


def sources(*folders: str) -> list[Path]:
    """Python, C and shell sources below the named folders."""
    return [
        path
        for path in written_files()
        if path.relative_to(REPOSITORY).parts[0] in folders
        and (path.suffix in {".py", ".c", ".h", ".sh"} or path.parent.name == ".ci")
    ]


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def relative(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(REPOSITORY)) for path in paths]


def test_no_file_is_over_400_lines() -> None:
    long = [
        f"{path.relative_to(REPOSITORY)}: {lines(path)}"
        for path in sources("src", "tests", "tools", "device", "vectors", "benchmarks")
        if lines(path) > LINES_AT_MOST
    ]
    assert not long, f"split by purpose (at most {LINES_AT_MOST} lines): {long}"


def test_the_median_source_file_is_at_most_150_lines() -> None:
    counts = [lines(path) for path in sources("src")]
    assert counts
    if len(counts) >= MEDIAN_COUNTS_FROM:
        assert statistics.median(counts) <= MEDIAN_AT_MOST, "files grow: split by purpose"


def test_no_file_or_folder_is_a_grab_bag() -> None:
    found = [
        path
        for path in sources("src", "tests", "tools")
        if GRAB_BAGS & {part.removesuffix(".py") for part in path.relative_to(REPOSITORY).parts}
    ]
    assert not found, f"name the thing inside, or move it to its one caller: {relative(found)}"


def test_every_source_file_states_its_licence_first() -> None:
    """First line, or second after a `#!` line."""
    folders = ("src", "tests", "tools", "device", "vectors", "benchmarks", "conformance", ".ci")
    found = sources(*folders)
    silent = [
        path
        for path in found
        if not any(
            "SPDX-License-Identifier: Apache-2.0" in line
            for line in path.read_text().splitlines()[:2]
        )
    ]
    assert found
    assert not silent, f"first line `# SPDX-License-Identifier: Apache-2.0`: {relative(silent)}"


def test_every_module_says_what_it_is() -> None:
    silent = [
        path
        for path in sources("src", "tests", "tools")
        if path.suffix == ".py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent, f"a module begins with its purpose in a docstring: {relative(silent)}"


def test_no_source_file_is_left_unfinished() -> None:
    marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImplemented" + r"Error)\b")
    found = [path for path in sources("src", "tools", "device") if marks.search(path.read_text())]
    assert not found, f"finish it, or leave it out: {relative(found)}"


def test_the_project_speaks_of_itself_alone() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}: {what}: {match.group()}"
        for path in written_files()
        for what, pattern in FOREIGN.items()
        if (match := pattern.search(path.read_text(errors="replace")))
    ]
    assert not found, f"take out what belongs to one machine or one fetcher: {found}"


def test_no_two_tests_share_a_file_name() -> None:
    """Tests are no packages, so a name that is used twice hides one of them from some tools."""
    names = [path.name for path in sources("tests") if path.name.startswith("test_")]
    twice = sorted({name for name in names if names.count(name) > 1})
    assert not twice, f"give each its own name: {twice}"


def test_the_public_names_are_exactly_all_of_fieldpost() -> None:
    """`from fieldpost import *` and what the first page of the code offers are the same."""
    tree = ast.parse((REPOSITORY / "src" / "fieldpost" / "__init__.py").read_text())
    # Imported for type checkers alone: each name is loaded when it is first used.
    offered = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("fieldpost.")
        for alias in node.names
    }
    public = {name for name in offered if not name.startswith("_")}
    declared = list(getattr(fieldpost, "__all__", ()))
    assert sorted(set(declared)) == sorted(declared), "a name stands twice in __all__"
    assert public == set(declared) - {"__version__"}, "__all__ and the imports disagree"
    assert all(hasattr(fieldpost, name) for name in declared)
