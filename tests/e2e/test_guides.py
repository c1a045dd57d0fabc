# SPDX-License-Identifier: Apache-2.0
"""The guides are true: each is typed, command by command, with real nodes, makers and devices."""

from pathlib import Path

import pytest

from tests.docs.typed_page import BLOCK, needs_shell, type_page

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
TYPED = sorted(
    path.name for path in GUIDES.glob("*.md") if BLOCK.search(path.read_text(encoding="utf-8"))
)
pytestmark = pytest.mark.e2e


@needs_shell
@pytest.mark.parametrize("name", TYPED)
def test_the_guide_is_true(name: str, tmp_path: Path) -> None:
    type_page(GUIDES / name, tmp_path, least_steps=15)
