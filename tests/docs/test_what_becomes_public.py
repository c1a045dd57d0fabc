# SPDX-License-Identifier: Apache-2.0
"""The page on what becomes public leaves no field of any post out."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from fieldpost.cli.words import DECODERS
from fieldpost.ledger.rules import RULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "what-becomes-public.md"
TEXT = PAGE.read_text(encoding="utf-8")
# Said once for all kinds, at the top of the page.
EVERYWHERE = {"nonce"}


def said_of(kind: str) -> set[str]:
    """The fields that the page names beside or below a kind."""
    row = re.search(rf"^\| `{kind}` \| ([^|]*) \|", TEXT, re.MULTILINE)
    if row is not None:
        return set(row[1].split(", "))
    place = TEXT.find(f"`{kind}`")
    assert place >= 0, f"{PAGE.name} does not speak of {kind}"
    table = re.search(r"^\|---\|---\|\n((?:\|.*\n)+)", TEXT[place:], re.MULTILINE)
    assert table is not None, f"no table follows {kind}"
    cells = re.findall(r"^\| ([^|]*) \|", table[1], re.MULTILINE)
    return {name for cell in cells for name in cell.split(", ")}


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_field_of_every_post_is_explained(kind: str) -> None:
    record = get_type_hints(DECODERS[kind])["return"]
    names = {field.name.replace("_", " ") for field in fields(record)} - EVERYWHERE
    missing = names - said_of(kind)
    assert not missing, f"{PAGE.name} does not say what {kind} tells by {sorted(missing)}"


def test_a_field_that_is_not_there_would_be_missed() -> None:
    assert "contact" in said_of("maker.set")
    assert "contact" not in said_of("lot.enrol")
