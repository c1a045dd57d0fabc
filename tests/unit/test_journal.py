# SPDX-License-Identifier: Apache-2.0
"""Events: one line each, whatever is in their facts; every one listed, every listed one used."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import journal
from fieldpost.journal import EVENTS, configure, tell

SOURCES = sorted((Path(journal.__file__).parent).rglob("*.py"))
_log = logging.getLogger("test")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_of_json_with_its_facts(capsys: pytest.CaptureFixture[str]) -> None:
    configure(form="json", level="info")
    tell(_log, "batch-not-written", posts=3, error="the disk\nis full")
    text = capsys.readouterr().err
    line = json.loads(text)
    assert text.count("\n") == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "event": "batch-not-written",
        "posts": 3,
        "error": "the disk\nis full",
    }


def test_an_event_in_logfmt_reads_like_words(capsys: pytest.CaptureFixture[str]) -> None:
    configure(form="logfmt", level="info")
    tell(_log, "node-ready", urls=["http://a:1", "http://b:2"], board="b/1#ff", labels=None)
    text = capsys.readouterr().err.partition(" ")[2]
    assert text == "level=info event=node-ready urls=http://a:1,http://b:2 board=b/1#ff\n"


@given(fact=st.text())
def test_no_fact_can_begin_a_line_or_a_field_of_its_own(fact: str) -> None:
    record = logging.makeLogRecord({"event": "library", "facts": {"error": fact}, "levelno": 30})
    line = journal._Logfmt().format(record)
    assert len(line.splitlines()) == 1 or not fact.isascii()
    assert "\n" not in line
    assert "\r" not in line
    assert line.count(" event=") == 1 or " event=" in fact


def test_what_a_library_says_is_an_event_too_and_traces_stay_on_their_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure(form="logfmt", level="warning")
    logging.getLogger("other").warning("%d things", 2)
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError as bug:
        tell(_log, "subscriber-failed", trace=bug)
    tell(_log, "ready-again")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith('event=library logger=other message="2 things"')
    assert 'trace="Traceback' in lines[1]


def test_every_event_that_is_told_is_listed_with_its_facts_and_none_is_listed_in_vain() -> None:
    told: dict[str, set[str]] = {}
    for path in SOURCES:
        for found in re.finditer(
            r"\btell\(\s*_log,\s*\"([a-z-]+)\"(.*?)\)\n", path.read_text(), re.DOTALL
        ):
            told.setdefault(found[1], set()).update(re.findall(r"(\w+)=", found[2]))
    assert set(told) == set(EVENTS) - {"library"}
    for event, facts in told.items():
        assert facts - {"trace"} == set(EVENTS[event].facts), event


def test_nothing_is_logged_past_the_list_of_events() -> None:
    wrong = [
        f"{path.name}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text().splitlines()
        if re.search(r"\b_?log\.(debug|info|warning|error|exception|critical)\(", line)
    ]
    assert not wrong
