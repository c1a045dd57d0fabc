# SPDX-License-Identifier: Apache-2.0
"""Feeding a target: every outcome is judged, and of every so many inputs also what they cost."""

import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Final

from tests.fuzz import bounds, seeds
from tests.fuzz.mutations import mutate
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

MEASURED: Final = 16
"""One input of so many is counted; counting makes a run several times slower."""


class Fault(AssertionError):
    """A reader that did something else than read or refuse."""

    def __init__(self, name: str, data: bytes, reason: str) -> None:
        shown = data.hex() if len(data) < 2_000 else f"{data[:2_000].hex()}… {len(data)} bytes"
        super().__init__(f"{name}: {reason}\n  input (hex): {shown}")
        self.data = data


def mutations(name: str, target: Target, count: int, *, seed: int = 0) -> Iterable[bytes]:
    """The first `count` mutations of a target's seeds; the same for the same arguments."""
    random = Random(f"{name} {seed}")
    own, others = seeds.seeds(target.family), seeds.everything()
    for _ in range(count):
        yield mutate(random, random.choice(own), others)


def feed(name: str, data: bytes, *, measured: bool = False) -> bool:
    """Give a target one input; whether it was read. Raises Fault."""
    target = TARGETS[name]
    read = True

    def run() -> None:
        nonlocal read
        try:
            target.run(data)
        except target.refuses:
            read = False
        except Exception as error:
            raise Fault(name, data, f"{type(error).__name__}: {error}") from error

    if measured:
        calls = bounds.count_calls(run)
        if calls > bounds.most_calls(len(data)):
            raise Fault(name, data, f"{calls} calls for {len(data)} bytes")
    else:
        run()
    return read


def feed_all(name: str, inputs: Iterable[bytes], *, every: int = MEASURED) -> Counter[bool]:
    """Give a target many inputs; how many were read (True) and refused (False). Raises Fault."""
    return Counter(
        feed(name, data, measured=number % every == 0) for number, data in enumerate(inputs)
    )


@contextmanager
def traced() -> Iterator[None]:
    """Count memory inside the block."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def check_peak(name: str, data: bytes) -> None:
    """What one input allocates at the worst, inside `traced`. Raises Fault."""
    peak = bounds.measure_peak(lambda: feed(name, data))
    if peak > bounds.most_peak(len(data)):
        raise Fault(name, data, f"{peak} bytes of memory for {len(data)} bytes")


def check_keeps_nothing(name: str, inputs: list[bytes], run: Callable[[], object]) -> None:
    """The same inputs a second time leave no more in memory, inside `traced`. Raises Fault."""
    run()
    before = tracemalloc.get_traced_memory()[0]
    run()
    kept = tracemalloc.get_traced_memory()[0] - before
    if kept > bounds.KEPT_BYTES:
        raise Fault(name, b"", f"{kept} bytes are kept after {len(inputs)} inputs")
