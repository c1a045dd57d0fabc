# SPDX-License-Identifier: Apache-2.0
"""The state map with a million keys, in memory: updates, proofs, and what it takes of memory.

Older roots are kept, as a node does while the next one is not yet published. Updates replace
values of random keys; a batch of 100 is what a node takes under load, larger ones share more.
"""

import gc
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

from benchmarks.measure import Result
from fieldpost.statemap import StateMap, writing
from fieldpost.testing.map_writers import map_written_in

KEYS = 1_000_000
_VALUE_BYTES = 100
_UPDATES = 40_000
_PROOFS = 50_000
_ROOTS_KEPT = 100


def results() -> Iterator[Result]:
    """Build it, then use it."""
    before = _resident_mb()
    began = time.process_time()
    full = wide_map(KEYS)
    taken = time.process_time() - began
    yield Result(what="state map of 10^6 keys, built", unit="keys/s", ours=KEYS / taken)
    # As a node does once its board is open (cli.node): what is here now is not searched for cycles.
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield Result(what="  memory of it", unit="MB", ours=_resident_mb() - before)
        for size in (100, 1_000, 10_000):
            rate, grown_mb = _updates(full, size)
            in_python = None
            if writing.WRITTEN_IN == "c":
                with map_written_in("python"):
                    in_python, _ = _updates(full, size)
            yield Result(
                what=f"  updates in batches of {size:,}, in {writing.WRITTEN_IN}",
                unit="writes/s",
                ours=rate,
                bar=57_000,
                against="Python",
                theirs=in_python,
            )
            if size == 1_000:
                what = f"  memory of {min(_ROOTS_KEPT, _UPDATES // size)} older roots of it"
                yield Result(what=what, unit="MB", ours=grown_mb)
        yield from _proofs(full)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def wide_map(keys: int) -> StateMap:
    """A map of so many keys, as hashed as real ones."""
    return StateMap.build((key_of(n), _value(n)) for n in range(keys))


def key_of(number: int) -> bytes:
    """The key that stands for this number in `wide_map`."""
    return sha256(number.to_bytes(8, "big")).digest()


def _value(number: int) -> bytes:
    return number.to_bytes(8, "big") + bytes(_VALUE_BYTES - 8)


def _updates(full: StateMap, size: int) -> tuple[float, float]:
    """Writes per second of processor time, and the memory in MB by which older roots grew it."""
    random = Random(size)
    batches = [
        {key_of(n): _value(n + 1) for n in random.sample(range(KEYS), size)}
        for _ in range(_UPDATES // size)
    ]
    before = _resident_mb()
    newest = full
    older: list[StateMap] = []
    began = time.process_time()
    for batch in batches:
        older = [*older[1 - _ROOTS_KEPT :], newest]
        newest = newest.update(batch)
    taken = time.process_time() - began
    assert len({version.root for version in older}) == len(older), "an older root is another now"
    return size * len(batches) / taken, _resident_mb() - before


def _proofs(full: StateMap) -> Iterator[Result]:
    keys = [key_of(n) for n in Random(1).sample(range(KEYS), _PROOFS)]
    began = time.process_time()
    for key in keys:
        full.prove(key)
    taken = time.process_time() - began
    us = taken / _PROOFS * 1e6
    yield Result(what="  proof made", unit="µs", ours=us, bar=15, at_most=True)
    sizes = [len(full.prove(key)[1]) for key in keys]
    mean = sum(sizes) / len(sizes)
    yield Result(what="  proof, mean", unit="bytes", ours=mean, bar=700, at_most=True)
    yield Result(what="  proof, longest of 50,000", unit="bytes", ours=max(sizes))


def _resident_mb() -> float:
    """Memory that this process holds now, in 10^6 bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
