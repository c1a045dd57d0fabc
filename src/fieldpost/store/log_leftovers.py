# SPDX-License-Identifier: Apache-2.0
"""Every file below a log's folder, compared with what the entries make it.

A checkpoint says which files a log must have; a node keeps more of them: partial ones of older
sizes, and those of batches that nobody has signed yet. Whatever else lies there does not belong.

A log may grow meanwhile. So files are listed first and the end of the log is read afterwards: what
lies beyond it then was not explained by anything that came later either.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.errors import Malformed, NotFound, Unavailable
from fieldpost.store.log_files import read_bundle, read_file
from fieldpost.store.log_recovery import bundles_behind
from fieldpost.store.read_faults import why_not_read
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    MAX_ENTRY_BYTES,
    Tile,
    encode_entry_bundle,
    encode_tile,
    entries_path,
    parse_entries_path,
    parse_tile_path,
)
from fieldpost.tlog.tree import HashReader

# No file of a log is longer than a whole bundle of the longest entries.
BUNDLE_BYTES: Final = FULL_WIDTH * (MAX_ENTRY_BYTES + 2)
_CUT_OFF: Final = re.compile(r"\.[0-9a-f]{16}\.tmp")


@dataclass(frozen=True, slots=True)
class LogEnd:
    """What lies behind a checkpoint: entries without a gap, whole batches or not.

    `unread` are bundles, or folders of them, that may continue them and cannot be read or decoded,
    and why.
    """

    entries: list[bytes]
    unread: list[tuple[Path, Malformed | Unavailable]]


def read_end(log: Path, size: int) -> LogEnd:
    """The end of the log behind its first `size` entries, as it is now."""
    unread: dict[Path, Malformed | Unavailable] = {}

    def read(root: Path, tile: Tile) -> list[bytes]:
        try:
            if (wrong := why_not_read(root / entries_path(tile), BUNDLE_BYTES)) is not None:
                raise Malformed(wrong)
            return read_bundle(root, tile)
        except (Malformed, Unavailable) as error:
            unread[root / entries_path(tile)] = error
            raise NotFound(f"no {tile} that can be read") from error

    entries: list[bytes] = []
    try:
        for bundle in bundles_behind(log, size, read):
            entries += bundle
    except Unavailable as error:
        at = Tile(0, (size + len(entries)) // FULL_WIDTH)
        unread[log / f"{entries_path(at)}.p"] = error
    return LogEnd(entries[size % FULL_WIDTH :], [*unread.items()])


@dataclass(frozen=True, slots=True)
class WrongFile:
    """A file below a log's folder that the entries do not explain, and why.

    `end` is how many entries a log has that it is a part of; None for what is no file of a log.
    """

    what: str
    end: int | None


def find_wrong(
    log: Path, path: Path, entries: Sequence[bytes], tree: HashReader
) -> WrongFile | None:
    """What is wrong in a file below `log`, of which `entries` are all that lie there.

    `tree` is that over the entries. Raises NotFound for a file that its node removed meanwhile,
    Unavailable for one that cannot be read.
    """
    name = path.relative_to(log).as_posix()
    if name == "checkpoint" or _CUT_OFF.fullmatch(path.name):
        return None
    try:
        end, wanted = _wanted(name, entries, tree)
    except Malformed:
        return WrongFile("no file of a log has this name", None)
    found = read_file(path)
    if wanted is None:
        return WrongFile("it is beyond the end of the log, and no part of it", end)
    if found != wanted:
        return WrongFile("it is damaged: the entries make it otherwise", end)
    return None


def end_of(log: Path, path: Path) -> int | None:
    """How many entries a log has that a file below `log` is part of; None for no file of a log."""
    name = path.relative_to(log).as_posix()
    parse = parse_entries_path if name.startswith("tile/entries/") else parse_tile_path
    try:
        tile = parse(name)
    except Malformed:
        return None
    return _span(tile)[1] << 8 * tile.level


def _wanted(name: str, entries: Sequence[bytes], tree: HashReader) -> tuple[int, bytes | None]:
    """The end of a file, and what it must hold; None beyond the log. Raises Malformed."""
    if name.startswith("tile/entries/"):
        first, end = _span(parse_entries_path(name))
        return end, encode_entry_bundle(entries[first:end]) if end <= len(entries) else None
    tile = parse_tile_path(name)
    _, width = _span(tile)
    end = width << 8 * tile.level
    if end > len(entries):
        return end, None
    return end, encode_tile(tree.read_hashes(tile.positions()))


def _span(tile: Tile) -> tuple[int, int]:
    return tile.index * FULL_WIDTH, tile.index * FULL_WIDTH + tile.width
