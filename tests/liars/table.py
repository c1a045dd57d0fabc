# SPDX-License-Identifier: Apache-2.0
"""The table of docs/operations/liars.md: a row for each lie, from what is expected of it."""

import re
from pathlib import Path
from typing import Final

from fieldpost.testing.liar_lies import LIES
from tests.liars.campaign import Case
from tests.liars.expected import EXPECTED, Expected

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "operations" / "liars.md"
HEADER: Final = (
    "| lie | of 4 | what the device believed | who notices | who has evidence | monitor | mirror |"
)
_RULE: Final = "|---|---|---|---|---|---|---|"
_UNMEASURED: Final = "–"
_NEWEST: Final = 3


def cells(case: Case) -> list[str]:
    """The cells of a row that are no measurement."""
    wanted = EXPECTED[case]
    lie = f"`{case.lie}`: {LIES[case.lie].meaning}" if case.members == 1 else f"`{case.lie}`"
    return [
        lie,
        str(case.members),
        _belief(wanted),
        ", ".join(_noticed(wanted)) or "nobody",
        ", ".join(sorted(wanted.evidence)) or _UNMEASURED,
    ]


def row(case: Case, *, monitor_s: float = 0.0, mirror_s: float = 0.0) -> str:
    """A row; 0 where there was nothing to wait for."""
    measured = [f"{s:.1f} s" if s else _UNMEASURED for s in (monitor_s, mirror_s)]
    return f"| {' | '.join([*cells(case), *measured])} |"


def table(rows: list[str]) -> str:
    """The whole table."""
    return "\n".join([HEADER, _RULE, *rows])


def rows_of_page(text: str) -> list[list[str]]:
    """The cells of every row of the page's table, without its measurements."""
    found = re.search(re.escape(f"{HEADER}\n{_RULE}\n") + r"((?:\|.*\n)+)", text)
    assert found, "the page has no such table"
    lines = found[1].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")][:5] for line in lines]


def _belief(wanted: Expected) -> str:
    if wanted.deceived:
        refused = f"; what it offers is refused (`{wanted.alone}`)" if wanted.alone else ""
        end = "it freezes" if wanted.later else "it goes on"
        return f"the false head{refused}; {_runs(wanted.first)}; at an honest node {end}"
    if wanted.alone:
        return f"nothing of it (`{wanted.alone}`); from the next address release {_NEWEST}"
    if wanted.first < _NEWEST:
        return f"an older true head; {_runs(wanted.first)} until it asks somebody else"
    return f"the truth; {_runs(wanted.first)}"


def _runs(sequence: int) -> str:
    return f"runs the maker's release {sequence}"


def _noticed(wanted: Expected) -> list[str]:
    found = [
        ("device", "split-view" if wanted.later else ""),
        ("monitor", wanted.monitor),
        ("mirror", wanted.mirror),
        ("witness", "refused" if "witness" in wanted.evidence else ""),
        ("peer", wanted.peer),
    ]
    return [f"{who} (`{said}`)" for who, said in found if said]
