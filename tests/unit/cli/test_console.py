# SPDX-License-Identifier: Apache-2.0
"""What commands print: aligned lines for people, one document for scripts, nothing to inject."""

import json

import pytest

from fieldpost.cli import console


def test_facts_are_aligned_lists_go_down_and_unknowns_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts: dict[str, object] = {"a": 1, "long_name": ["x", "y"], "none": None, "solo": True}
    console.show(facts, as_json=False, title="Title")
    assert capsys.readouterr().out.splitlines() == [
        "Title",
        "  a          1",
        "  long name  x",
        "             y",
        "  solo       yes",
    ]


def test_json_keeps_what_people_are_spared(capsys: pytest.CaptureFixture[str]) -> None:
    facts: dict[str, object] = {"index": None, "solo": True}
    console.show(facts, as_json=True, title="Title")
    assert json.loads(capsys.readouterr().out) == facts


def test_a_table_has_a_header_and_says_when_it_is_empty(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.table([{"a": 1, "b": None}], as_json=False, empty="nothing")
    console.table([], as_json=False, empty="nothing")
    assert capsys.readouterr().out.splitlines() == ["a  b", "1  -", "nothing"]


def test_an_empty_table_is_an_empty_array(capsys: pytest.CaptureFixture[str]) -> None:
    console.table([], as_json=True, empty="nothing")
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nforged: line", "\u202etxt.exe", "\udcff.bin"])
def test_a_strangers_name_cannot_forge_lines_or_colours(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    console.show({"name": name}, as_json=False, title=name)
    console.table([{"name": name}], as_json=False, empty="")
    console.note(name)
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 4
    assert len(shown.err.splitlines()) == 1
    assert (shown.out + shown.err).replace("\n", "").isprintable()


def test_progress_counts_in_silence_where_nobody_watches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress("uploading", 10) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2_500_000, "2.5 MB"),
        (7 * 10**12, "7000.0 GB"),
    ],
)
def test_sizes_are_said_as_people_say_them(count: int, words: str) -> None:
    assert console.size(count) == words


def test_moments_are_in_utc() -> None:
    assert console.moment(0) == "1970-01-01 00:00:00 UTC"
