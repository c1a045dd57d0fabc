# SPDX-License-Identifier: Apache-2.0
"""What the operations guide shows is true: its drill is typed, with real nodes and real losses."""

import re
from pathlib import Path

import pytest

from tests.cometbft import need_cometbft
from tests.docs.typed_page import BLOCK, needs_shell, type_page

PAGES = Path(__file__).resolve().parents[2] / "docs" / "operations"
TYPED = sorted(
    path.name for path in PAGES.glob("*.md") if BLOCK.search(path.read_text(encoding="utf-8"))
)
# A command on a service's data folder, up to the line that does not go on.
ON_A_SERVICE = re.compile(
    r"^.*\bfieldpost (?:node|operator) (?:[^`\n]*\\\n)*[^`\n]*--data (?:DATA|/var/lib/fieldpost)\b",
    re.MULTILINE,
)
AS_ITS_USER = re.compile(r"runuser -u fieldpost -- fieldpost |^ *podman run ", re.MULTILINE)


@needs_shell
@pytest.mark.e2e
@pytest.mark.parametrize("name", TYPED)
def test_the_page_is_true(name: str, tmp_path: Path) -> None:
    if name.startswith("cluster"):
        need_cometbft()
    type_page(PAGES / name, tmp_path, least_steps=15)


def test_the_index_names_every_page() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    missing = [page.name for page in PAGES.glob("*.md") if f"({page.name})" not in index]
    assert set(missing) == {"README.md"}


def test_root_types_no_command_that_refuses_root() -> None:
    found = {
        (page.name, command)
        for page in PAGES.glob("*.md")
        for command in ON_A_SERVICE.findall(page.read_text(encoding="utf-8"))
    }
    assert len(found) > 20
    assert {(name, words) for name, words in found if not AS_ITS_USER.search(words)} == set()
