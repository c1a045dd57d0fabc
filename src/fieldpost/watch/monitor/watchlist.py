# SPDX-License-Identifier: Apache-2.0
"""Whom a monitor watches: makers named on the command line, and those of expectation files.

The files are read again whenever they change. One that cannot be read then changes nothing: the
expectations before stay, and it is said.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fieldpost.errors import FieldpostError, Malformed, Misconfigured
from fieldpost.journal import tell
from fieldpost.watch.monitor.expectations import (
    MAX_EXPECTATIONS_BYTES,
    Expectations,
    Expected,
    parse_expectations,
)

MOST_MAKERS: Final = 100_000
_log: Final = logging.getLogger("fieldpost.monitor")


class Watchlist:
    """`makers` are ids, `files` hold expectations. Raises Misconfigured.

    `board` is the board that files name, None where none does.
    """

    def __init__(self, makers: Sequence[bytes], files: Sequence[Path]) -> None:
        self._makers = tuple(makers)
        self._files = tuple(files)
        self._stamp = self._stamps()
        self.board, self.expected = self._read()
        if not self.expected:
            raise Misconfigured("nobody is watched: name makers with --maker or in --expect FILE")

    def refresh(self) -> bool:
        """Read the files again if they changed; whether there are other expectations now."""
        stamp = self._stamps()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            board, expected = self._read()
            if board != self.board:
                raise Misconfigured("another board: start the monitor anew for that")
        except FieldpostError as error:
            tell(_log, "expectations-not-loaded", error=error)
            return False
        self.expected = expected
        return True

    def _read(self) -> tuple[str | None, Mapping[str, Expected]]:
        boards: set[str] = set()
        found: dict[bytes, Expected] = {}
        for file in self._files:
            expectations = _load(file)
            if expectations.board is not None:
                boards.add(expectations.board)
            for expected in expectations.makers:
                if expected.maker in found:
                    raise Misconfigured(
                        f"{file}: maker {expected.maker.hex()} stands elsewhere too"
                    )
                found[expected.maker] = expected
        if len(boards) > 1:
            raise Misconfigured("the files of expectations name different boards; run one each")
        for maker in self._makers:
            found.setdefault(maker, Expected(maker=maker))
        if len(found) > MOST_MAKERS:
            raise Misconfigured(f"{len(found)} makers; one monitor watches at most {MOST_MAKERS}")
        return next(iter(boards), None), {maker.hex(): one for maker, one in found.items()}

    def _stamps(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(map(_stamp, self._files))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _load(file: Path) -> Expectations:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_EXPECTATIONS_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"cannot read {file}: {error.strerror}") from error
    try:
        return parse_expectations(data)
    except Malformed as error:
        raise Misconfigured(f"{file}: {error}") from error
