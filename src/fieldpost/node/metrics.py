# SPDX-License-Identifier: Apache-2.0
"""Counters and gauges in the Prometheus text format (version 0.0.4), as few as are looked at."""

import threading
from collections.abc import Callable, Mapping
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters by name and labels, and gauges that are asked when somebody reads them."""

    def __init__(self) -> None:
        self._help: dict[str, tuple[str, str]] = {}
        self._counters: dict[tuple[str, Labels], int] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._tables: dict[str, tuple[str, Callable[[], Mapping[str, float]]]] = {}
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

    def count(self, name: str, labels: Mapping[str, str] | None = None, *, by: int = 1) -> None:
        """Count an event. KeyError for a counter that was not announced: a bug."""
        if self._help[name][0] != "counter" or name in self._gauges:
            raise KeyError(name)
        key = (name, tuple(sorted((labels or {}).items())))
        with self._lock:
            self._counters[key] = self._counters.get(key, 0) + by

    def render(self) -> str:
        """The text that a scraper reads."""
        with self._lock:
            counted = sorted(self._counters.items())
        lines: list[str] = []
        for name, (kind, text) in sorted(self._help.items()):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
            if name in self._gauges:
                lines.append(f"{name} {self._gauges[name]():g}")
                continue
            if name in self._tables:
                label, read = self._tables[name]
                lines += [f"{name}{_format(((label, k),))} {v:g}" for k, v in read().items()]
                continue
            samples = [(labels, value) for (which, labels), value in counted if which == name]
            lines += [f"{name}{_format(labels)} {value}" for labels, value in samples or [((), 0)]]
        return "\n".join(lines) + "\n"


def _format(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{k}="{v.translate(_ESCAPES)}"' for k, v in labels) + "}"
