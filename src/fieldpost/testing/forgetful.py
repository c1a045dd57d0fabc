# SPDX-License-Identifier: Apache-2.0
"""`fieldpost.durable` without one of its fsyncs, to show that each of them is needed.

    for site in fsync_sites():
        disk = ForgetfulDisk(folder, site)      as `VolatileDisk`, but this one fsync is left out

A site is a place in the source where an fsync is asked for. The places are found in the source
itself, so a new one cannot be forgotten.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from fieldpost import durable
from fieldpost.testing.volatile_disk import VolatileDisk

_FILE: Final = str(durable.__file__)
# These only pass on what their callers ask for, and the callers are the sites.
_GO_BETWEENS: Final = frozenset({"_sync", "_sync_directory", "_sync_directories", "OsDisk"})
_ASKS: Final = frozenset(
    {"fsync", "fsync_many", "sync", "_sync", "_sync_directory", "_sync_directories"}
)


@dataclass(frozen=True, slots=True)
class Site:
    """One call of an fsync, or of a function that does one, in `function` at `line`."""

    function: str
    line: int

    def __str__(self) -> str:
        return f"{self.function}, line {self.line}"


def fsync_sites() -> tuple[Site, ...]:
    """Every place of `durable` where an fsync is asked for, in order."""
    source = Path(_FILE).read_text()
    return tuple(sorted(_sites(ast.parse(source), ""), key=lambda site: site.line))


def _sites(node: ast.AST, function: str) -> Iterator[Site]:
    for child in ast.iter_child_nodes(node):
        inside = function
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            if child.name in _GO_BETWEENS:
                continue
            inside = f"{function}.{child.name}" if function else child.name
        if isinstance(child, ast.Call) and _name_of(child.func) in _ASKS:
            yield Site(inside, child.lineno)
        yield from _sites(child, inside)


def _name_of(called: ast.expr) -> str:
    match called:
        case ast.Name(name) | ast.Attribute(attr=name):
            return name
    return ""


class ForgetfulDisk(VolatileDisk):
    """A `VolatileDisk` on which the fsyncs that `site` asks for do not happen.

    `forgotten` counts them: a site that was never reached shows nothing.
    """

    def __init__(
        self, root: Path, site: Site, *, on_change: Callable[[str], None] = lambda _: None
    ) -> None:
        super().__init__(root, on_change=on_change)
        self.forgotten = 0
        self._site = site

    def fsync(self, fd: int) -> None:
        """See `Disk`; not where the site is among the callers."""
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - who asks is the question
        while frame is not None:
            if frame.f_code.co_filename == _FILE and frame.f_lineno == self._site.line:
                self.forgotten += 1
                return
            frame = frame.f_back
        super().fsync(fd)
