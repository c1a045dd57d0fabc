# SPDX-License-Identifier: Apache-2.0
"""Inputs of guided runs that are worth keeping: few, small, and replayed by `make test`.

tests/fuzz/corpus/<reader>.txt has one input a line, in Base64. An input is kept if it takes a step
between two lines of ours that neither the seeds nor the smaller inputs before it take.
"""

import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.fuzz import seeds
from tests.fuzz.campaign import feed
from tests.fuzz.targets import TARGETS

FOLDER: Final = Path(__file__).with_name("corpus")
FOUND: Final = Path(".cache") / "fuzz"
MOST_INPUT_BYTES: Final = 4_096
MOST_READER_BYTES: Final = 16_384
"""Of the inputs of one reader; what is all of them is bounded by `make test`."""
_OURS: Final = "/src/fieldpost/"

Step = tuple[str, int, int]


def load(name: str) -> list[bytes]:
    """The kept inputs of a reader."""
    path = FOLDER / f"{name}.txt"
    return [b64decode(line) for line in path.read_text().splitlines()] if path.exists() else []


def names() -> list[str]:
    """The readers that have kept inputs."""
    return sorted(path.name.removesuffix(".txt") for path in FOLDER.glob("*.txt"))


def steps(run: Callable[[], object]) -> frozenset[Step]:
    """The steps from line to line, in our code, that a run takes."""
    found: set[Step] = set()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if _OURS not in frame.f_code.co_filename:
            return None
        if event == "return":
            last.pop(frame, None)
        else:
            found.add((frame.f_code.co_filename, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return frozenset(found)


def fewest(
    inputs: Iterable[bytes], reach: Callable[[bytes], frozenset[Step]], *, known: Iterable[bytes]
) -> list[bytes]:
    """Those of the inputs, shortest first, that reach what `known` and those before do not."""
    reached = {step for data in known for step in reach(data)}
    kept: list[bytes] = []
    left = MOST_READER_BYTES
    for data in sorted(set(inputs), key=lambda data: (len(data), data)):
        if len(data) > min(left, MOST_INPUT_BYTES):
            break
        new = reach(data) - reached
        if new:
            reached |= new
            kept.append(data)
            left -= len(data)
    return kept


def keep(name: str) -> tuple[int, int]:
    """Take what guided runs of a reader found into its corpus; how many inputs, before and now."""
    before = load(name)
    found = [path.read_bytes() for path in (FOUND / name).glob("*") if path.is_file()]
    kept = fewest(
        [*before, *found],
        lambda data: steps(lambda: feed(name, data)),
        known=seeds.seeds(TARGETS[name].family),
    )
    if kept:
        FOLDER.mkdir(exist_ok=True)
        text = "".join(f"{b64encode(data).decode()}\n" for data in kept)
        (FOLDER / f"{name}.txt").write_text(text)
    return len(before), len(kept)
