# SPDX-License-Identifier: Apache-2.0
"""The page on verifying with other people's tools is true; tampering is what its commands find."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.typed_page import needs_shell, read_steps, type_page

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "verify_release.py"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "verify-yourself.md"
NEEDED = ("openssl", "basenc", "od", "sha256sum")


@needs_shell
@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in NEEDED),
    reason="the page uses OpenSSL and coreutils; `make system-deps` installs them",
)
@pytest.mark.e2e
def test_what_the_page_types_verifies_a_real_board(tmp_path: Path) -> None:
    shutil.copy(SCRIPT, tmp_path)
    type_page(PAGE, tmp_path, least_steps=60)


def test_the_program_of_the_page_imports_the_standard_library_alone() -> None:
    imported = {
        alias.name
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert imported == {"base64", "hashlib", "subprocess", "sys", "tempfile", "urllib.request"}
    assert not [n for n in ast.walk(ast.parse(SCRIPT.read_text())) if isinstance(n, ast.ImportFrom)]


def test_after_its_first_section_the_page_runs_none_of_our_code() -> None:
    text = PAGE.read_text()
    steps = list(read_steps(text[text.index("## 1.") :]))
    assert len(steps) > 50
    assert not [step.command for step in steps if re.search(r"\bfieldpost\b", step.command)]


@needs_shell
@pytest.mark.e2e
@pytest.mark.parametrize(
    ("honest", "forged"),
    [
        ("$ cat text\n", "$ sed -i 3s/./A/ text\n$ cat text\n"),
        ("| hex > entries\n", "| hex | sed s/6974656d/6974656e/ | sed 's/0/1/99' > entries\n"),
        ("| hex > envelope\n", "| hex | sed 's/./0/300' | sed 's/./1/301' > envelope\n"),
        ("curl -s $URL/v1/blobs/sha256/$IMAGE |", "curl -s $URL/v1/blobs/sha256/$IMAGE | tac |"),
        ("$MAKER lamp.bin\n", "$MAKER envelope\n"),
        ('"$(key_of log_key)" $MAKER', '"$(key_of log_key | sed s/.$/A/)" $MAKER'),
        ('"$(key_of log_key)" $MAKER', '"$(key_of log_key)" 00$MAKER'),
    ],
    ids=["checkpoint", "entries", "manifest", "image", "other image", "other key", "other maker"],
)
def test_the_commands_of_the_page_find_what_was_changed_on_the_way(
    tmp_path: Path, honest: str, forged: str
) -> None:
    text = PAGE.read_text()
    assert text.count(honest) == 1
    shutil.copy(SCRIPT, tmp_path)
    page = tmp_path / "page.md"
    page.write_text(text.replace(honest, forged))
    with pytest.raises(AssertionError, match=r"^\$ "):
        type_page(page, tmp_path, least_steps=60)
