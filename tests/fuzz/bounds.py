# SPDX-License-Identifier: Apache-2.0
"""How much one input may cost, counted so that every machine counts the same.

Work is counted in calls of functions, ours and built-in ones; memory in bytes that are allocated at
once. Both may grow with the length of the input, and with nothing else.
"""

import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

CALLS: Final = 6_000
CALLS_PER_BYTE: Final = 12
PEAK_BYTES: Final = 128 * 1024
PEAK_BYTES_PER_BYTE: Final = 64
KEPT_BYTES: Final = 64 * 1024


def most_calls(size: int) -> int:
    """The work that an input of `size` bytes may cost."""
    return CALLS + CALLS_PER_BYTE * size


def most_peak(size: int) -> int:
    """The memory that an input of `size` bytes may take while it is read."""
    return PEAK_BYTES + PEAK_BYTES_PER_BYTE * size


def count_calls(run: Callable[[], object]) -> int:
    """Run, and count calls."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls


def measure_peak(run: Callable[[], object]) -> int:
    """Run while tracemalloc traces, and say how many bytes more were allocated at the worst."""
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    run()
    return tracemalloc.get_traced_memory()[1] - before


def worst(size: int) -> dict[str, bytes]:
    """Inputs of about `size` bytes that make a careless reader work or remember too much."""
    half = size // 2
    return {
        "nested arrays": b"\x81" * size,
        "nested maps": b"\xa1\x00" * half,
        "nested tags": b"\xd2" * size,
        "nested byte strings": b"\x5a\x00\x00\xff\xff" * (size // 5),
        "a wide array": b"\x99" + half.to_bytes(2, "big") + b"\x80" * half,
        "a wide map": b"\xb9" + (size // 4).to_bytes(2, "big") + b"".join(
            b"\x19" + key.to_bytes(2, "big") + b"\x00" for key in range(256, 256 + size // 4)
        ),
        "a count that is a lie": b"\x9b" + b"\x7f" * 8 + b"\x00" * size,
        "empty byte strings": b"\x99" + half.to_bytes(2, "big") + b"\x40" * half,
        "digits": b"9" * size,
        "newlines": b"\n" * size,
        "quotes": b'serial,key\n"' + b'""' * half,
        "commas": b"serial,key\n" + b"," * size,
        "signatures": b"a\n\n" + "— a AAAAAAAA\n".encode() * (size // 16),
        "brackets": b"[" * size,
        "objects": b'{"a":' * (size // 5),
        "slashes": b"tile/0/" + b"x000/" * (size // 5),
        "equals": b"A=" * half,
        "words": b"log " + b"a " * half,
        "groups": b"".join(b"group g%d 1 g%d\n" % (n, n - 1) for n in range(size // 20)),
    }  # fmt: skip
