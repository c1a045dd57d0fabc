# SPDX-License-Identifier: Apache-2.0
"""Counters, gauges and histograms in the Prometheus text format (version 0.0.4)."""

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from fieldpost.errors import FieldpostError

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(SECONDS) + 1))
    total: float = 0.0


class Metrics:
    """Counters by name and labels, and gauges that are asked when somebody reads them."""

    def __init__(self) -> None:
        self._help: dict[str, tuple[str, str]] = {}
        self._counters: dict[tuple[str, Labels], int] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._tables: dict[str, tuple[str, Callable[[], Mapping[str, float]]]] = {}
        self._histograms: dict[str, _Histogram] = {}
        self._lock = threading.Lock()

    def counter(self, name: str, text: str) -> None:
        """Announce a counter; by custom its name ends in `_total`."""
        self._help[name] = ("counter", text)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Announce a gauge with the function that reads it."""
        self._help[name] = ("gauge", text)
        self._gauges[name] = read

    def total(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Announce a counter that is counted elsewhere, with the function that reads it."""
        self._help[name] = ("counter", text)
        self._gauges[name] = read

    def table(
        self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]
    ) -> None:
        """Announce a gauge with a value for each of a few words under `label`."""
        self._help[name] = ("gauge", text)
        self._tables[name] = label, read

    def histogram(self, name: str, text: str) -> Callable[[float], None]:
        """Announce a histogram of seconds; what observes it."""
        self._help[name] = ("histogram", text)
        found = self._histograms[name] = _Histogram()

        def observe(seconds: float) -> None:
            with self._lock:
                found.counts[bisect_left(SECONDS, seconds)] += 1
                found.total += seconds

        return observe

    def count(self, name: str, labels: Mapping[str, str] | None = None, *, by: int = 1) -> None:
        """Count an event. KeyError for a counter that was not announced: a bug."""
        self.counting(name, labels)(by)

    def counting(self, name: str, labels: Mapping[str, str] | None = None) -> Callable[[int], None]:
        """What counts so many events under these labels, for whoever counts them all the time.

        KeyError as `count`.
        """
        if self._help[name][0] != "counter" or name in self._gauges:
            raise KeyError(name)
        key = (name, tuple(sorted((labels or {}).items())))

        def count(by: int) -> None:
            with self._lock:
                self._counters[key] = self._counters.get(key, 0) + by

        return count

    def described(self) -> list[tuple[str, str, str]]:
        """(name, kind, what it says) of everything that was announced."""
        return [(name, *about) for name, about in sorted(self._help.items())]

    def render(self) -> str:
        """The text that a scraper reads."""
        with self._lock:
            counted = sorted(self._counters.items())
            histograms = {
                name: (list(found.counts), found.total) for name, found in self._histograms.items()
            }
        lines: list[str] = []
        for name, (kind, text) in sorted(self._help.items()):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            if name in self._gauges:
                lines.append(f"{name} {_number(_asked(self._gauges[name]))}")
            elif name in self._tables:
                label, read = self._tables[name]
                lines += [f"{name}{_format(((label, k),))} {_number(v)}" for k, v in read().items()]
            elif name in histograms:
                lines += _histogram_lines(name, *histograms[name])
            else:
                samples = [(labels, value) for (which, labels), value in counted if which == name]
                lines += [f"{name}{_format(labels)} {v}" for labels, v in samples or [((), 0)]]
        return "\n".join(lines) + "\n"


def _histogram_lines(name: str, counts: list[int], total: float) -> list[str]:
    lines: list[str] = []
    below = 0
    for bound, count in zip((*SECONDS, "+Inf"), counts, strict=True):
        below += count
        lines.append(f'{name}_bucket{{le="{bound}"}} {below}')
    return [*lines, f"{name}_sum {_number(total)}", f"{name}_count {below}"]


def _asked(read: Callable[[], float]) -> float:
    # What one gauge cannot say now, as the size of a head that is not there yet, hides no other.
    try:
        return read()
    except FieldpostError:
        return math.nan


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(value)


def _format(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{v.translate(_ESCAPES)}"' for k, v in labels) + "}"
