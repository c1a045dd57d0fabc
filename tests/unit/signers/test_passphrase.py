# SPDX-License-Identifier: Apache-2.0
"""The passphrase comes from the most deliberate source that is there, or not at all."""

from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured
from fieldpost.signers.passphrase import passphrase_source


def test_the_sources_are_asked_in_their_order(tmp_path: Path) -> None:
    named, other = tmp_path / "named", tmp_path / "other"
    named.write_text("from --passphrase-file\n")
    other.write_text("from FIELDPOST_PASSPHRASE_FILE\r\n")
    environment = {
        "FIELDPOST_PASSPHRASE_FILE": str(other),
        "FIELDPOST_PASSPHRASE": "from FIELDPOST_PASSPHRASE",
    }
    found = []
    file: Path | None = named
    for _ in range(4):
        source = passphrase_source(environment=environment, file=file, prompt=lambda: "from prompt")
        found.append(source().decode())
        file = None
        if len(found) > 1 and environment:
            environment.pop(next(iter(environment)))
    assert found == [
        "from --passphrase-file",
        "from FIELDPOST_PASSPHRASE_FILE",
        "from FIELDPOST_PASSPHRASE",
        "from prompt",
    ]


def test_nobody_is_asked_before_it_is_needed() -> None:
    asked = []

    def prompt() -> str:
        asked.append(True)
        return "secret"

    source = passphrase_source(environment={}, prompt=prompt)
    assert asked == []
    assert source() == b"secret"
    assert asked == [True]


def test_only_the_last_line_break_of_a_file_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_bytes(b" two words \n\n")
    assert passphrase_source(environment={}, file=path)() == b" two words \n"


def test_without_any_source_the_error_names_them_all() -> None:
    with pytest.raises(Misconfigured) as caught:
        passphrase_source(environment={})()
    for source in ("--passphrase-file", "FIELDPOST_PASSPHRASE_FILE", "FIELDPOST_PASSPHRASE"):
        assert source in str(caught.value)


def test_an_empty_or_unreadable_source_does_not_fall_through_to_the_next(tmp_path: Path) -> None:
    """A misspelt file name must not silently encrypt under another passphrase."""
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with_variable = {"FIELDPOST_PASSPHRASE": "secret"}
    for file in (empty, tmp_path / "absent"):
        with pytest.raises(Misconfigured):
            passphrase_source(environment=with_variable, file=file)()
    with pytest.raises(Misconfigured):
        passphrase_source(environment={"FIELDPOST_PASSPHRASE": ""}, prompt=lambda: "other")()
