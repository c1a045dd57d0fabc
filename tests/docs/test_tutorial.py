# SPDX-License-Identifier: Apache-2.0
"""The tutorial is true, and a page that was not would be noticed."""

from pathlib import Path

import pytest

from tests.docs.typed_page import matches, needs_shell, type_page, with_free_ports

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"


@needs_shell
@pytest.mark.e2e
def test_the_tutorial_is_true(tmp_path: Path) -> None:
    type_page(TUTORIAL, tmp_path, least_steps=25)


def test_a_page_that_shows_something_else_is_noticed() -> None:
    assert matches(("a …", "…", "z"), ["a 1", "b", "c", "z"])
    assert matches(("a …", "…", "z"), ["a 1", "z"])
    assert not matches(("a …", "…", "z"), ["a 1", "b"])
    assert not matches(("a",), ["a", "b"]), "a page must not leave lines out unsaid"


def test_the_same_address_stays_the_same_and_others_differ() -> None:
    one, two, again = with_free_ports(
        "http://127.0.0.1:8470 http://127.0.0.1:8471 http://127.0.0.1:8470"
    ).split()
    assert one == again != two
