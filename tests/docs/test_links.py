# SPDX-License-Identifier: Apache-2.0
"""Every link of the docs that points into the project points at something."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted((*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")))

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked, as code hosts make them."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_into_the_project_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        missing = not goal.exists()
        if missing or (anchor and goal.suffix == ".md" and anchor not in anchors(goal)):
            broken.append(target)
    assert not broken, f"{page.relative_to(REPOSITORY)} links to nothing: {broken}"


def test_the_first_page_names_both_commands_and_the_state_of_the_project() -> None:
    """What a newcomer must see before scrolling: the commands, and that nobody has audited this."""
    screen = "\n".join((REPOSITORY / "README.md").read_text().splitlines()[:30])
    for words in ("make demo", "make test", "unaudited", "flow.svg"):
        assert words in screen, f"README.md's first screen does not show: {words}"


def test_the_index_of_the_guides_names_every_guide() -> None:
    guides = REPOSITORY / "docs" / "guides"
    index = (guides / "README.md").read_text(encoding="utf-8")
    missing = {page.name for page in guides.glob("*.md") if f"({page.name})" not in index}
    assert missing == {"README.md"}
