# SPDX-License-Identifier: Apache-2.0
"""Bytes of strangers are read or refused: no other error, no work or memory beyond their length.

`make fuzz` runs the same with 100,000 mutations for each reader.
"""

import ast
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from fieldpost.errors import Malformed
from tests.conftest import REPOSITORY
from tests.fuzz import bounds, campaign, seeds, targets
from tests.fuzz.apart import APART, THROUGH
from tests.fuzz.campaign import Fault, feed, feed_all, mutations
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

EVERY = pytest.mark.parametrize("name", TARGETS)
COUNT = 150
WORST_BYTES = 20_000
_READS = re.compile(
    r"(decode|parse|open|read|verify|split|follow|believe|apply_batch|error_of)(_|$)"
)
_GIVEN = {
    "bytes",
    "str",
    "cbor.Value",
    "object",
    "Iterable[str]",
    "Iterable[bytes]",
    "Sequence[bytes]",
    "Read",
}


@EVERY
def test_mutations_are_read_or_refused(name: str) -> None:
    target = TARGETS[name]
    for seed in seeds.seeds(target.family):
        feed(name, seed, measured=True)
    feed_all(name, mutations(name, target, COUNT))


@EVERY
def test_memory_follows_the_length_and_nothing_is_kept(name: str) -> None:
    inputs = list(mutations(name, TARGETS[name], 12))
    inputs += bounds.worst(WORST_BYTES).values()
    with campaign.traced():
        campaign.check_keeps_nothing(name, inputs, lambda: feed_all(name, inputs, every=10**9))
        for data in inputs:
            campaign.check_peak(name, data)


@EVERY
def test_work_follows_the_length(name: str) -> None:
    for data in bounds.worst(WORST_BYTES).values():
        feed(name, data, measured=True)


def test_the_bounds_are_crossed_by_a_reader_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a crash, work without end, memory without end and memory that stays."""

    def crash(data: bytes) -> None:
        raise KeyError(data)

    def work(data: bytes) -> None:
        for _ in range(len(data) ** 2):
            len(data)

    kept: list[bytes] = []
    for run, length in ((crash, 1), (work, 1_000)):
        monkeypatch.setitem(targets.TARGETS, "control", Target(run, "cbor", (Malformed,)))
        with pytest.raises(Fault):
            feed("control", bytes(length), measured=True)
    monkeypatch.setitem(targets.TARGETS, "control", Target(lambda d: d * 500, "cbor"))
    with campaign.traced(), pytest.raises(Fault, match="memory"):
        campaign.check_peak("control", bytes(5_000))
    monkeypatch.setitem(
        targets.TARGETS, "control", Target(lambda d: kept.append(bytes(len(d) + 9)), "cbor")
    )
    inputs = [bytes(10_000)] * 10
    with campaign.traced(), pytest.raises(Fault, match="kept"):
        campaign.check_keeps_nothing("control", inputs, lambda: feed_all("control", inputs))


# --- nothing is forgotten ---


def _readers() -> Iterator[str]:
    """Public functions and class methods that take bytes, text or decoded values of others."""
    root = REPOSITORY / "src" / "fieldpost"
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] in ("testing", "demo"):
            continue
        module = ".".join(parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and _is_reader(node):
                yield f"{module}.{node.name}"
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and _is_class_reader(method):
                        yield f"{module}.{node.name}.{method.name}"


def _is_class_reader(node: ast.FunctionDef) -> bool:
    marks = [ast.unparse(mark) for mark in node.decorator_list]
    return "classmethod" in marks and _is_reader(node)


def _is_reader(node: ast.FunctionDef) -> bool:
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    kinds = {ast.unparse(a.annotation).removesuffix(" | None") for a in arguments if a.annotation}
    return bool(_READS.match(node.name)) and bool(kinds & _GIVEN)


def test_no_decoder_is_forgotten() -> None:
    """A new reader fails here until it is fed: add it to tests/fuzz/targets.py."""
    found = set(_readers())
    assert found - {*TARGETS, *THROUGH, *APART} == set()
    assert {*THROUGH, *APART} - found == set(), "named in tests/fuzz/targets.py, and there no more"
    assert len(found) > 80, "the search finds them"


def _called(name: str) -> set[str]:
    """Our functions that run while a target reads its seeds."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            module = str(frame.f_globals.get("__name__", ""))
            found.add(f"{module.removeprefix('fieldpost.')}.{frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        for seed in seeds.seeds(TARGETS[name].family):
            feed(name, seed)
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize("target", sorted(set(THROUGH.values())))
def test_what_is_fed_through_another_is_reached_by_it(target: str) -> None:
    inner = {name for name, through in THROUGH.items() if through == target}
    assert inner - _called(target) == set()
