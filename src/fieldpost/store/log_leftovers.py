# SPDX-License-Identifier: Apache-2.0
"""Every file below a log's folder, compared with what the entries make it.

A checkpoint says which files a log must have; a node keeps more of them: partial ones of older
sizes, and those of batches that nobody has signed yet. Whatever else lies there does not belong.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from fieldpost.errors import Malformed, NotFound
from fieldpost.store.log_files import read_file
from fieldpost.store.log_recovery import bundles_behind
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    encode_entry_bundle,
    encode_tile,
    parse_entries_path,
    parse_tile_path,
)
from fieldpost.tlog.tree import HashReader

_CUT_OFF: Final = re.compile(r"\.[0-9a-f]{16}\.tmp")


def entries_behind(log: Path, size: int) -> list[bytes]:
    """The entries beyond `size` that lie there without a gap, whole batches or not."""
    bundles = list(bundles_behind(log, size))
    return [entry for bundle in bundles for entry in bundle][size % FULL_WIDTH :]


def wrong_files(
    log: Path, entries: Sequence[bytes], tree: HashReader
) -> Iterator[tuple[Path, str]]:
    """Every file below `log` that `entries`, all that lie there, do not explain; and why.

    `tree` is that over the entries.

    Files that a running node removes meanwhile are passed over. Raises Unavailable.
    """
    for path in sorted(log.rglob("*")):
        name = path.relative_to(log).as_posix()
        if path.is_dir() or name == "checkpoint" or _CUT_OFF.fullmatch(path.name):
            continue
        try:
            wanted = _wanted(name, entries, tree)
            if wanted is None:
                yield path, "it is beyond the end of the log, and no part of it"
            elif read_file(path) != wanted:
                yield path, "it is damaged: the entries make it otherwise"
        except Malformed:
            yield path, "no file of a log has this name"
        except NotFound:
            continue


def _wanted(name: str, entries: Sequence[bytes], tree: HashReader) -> bytes | None:
    """What a file must hold; None beyond the end. Raises Malformed for what is no name."""
    if name.startswith("tile/entries/"):
        first, end = _span(parse_entries_path(name))
        return encode_entry_bundle(entries[first:end]) if end <= len(entries) else None
    tile = parse_tile_path(name)
    _, end = _span(tile)
    if end > len(entries) >> 8 * tile.level:
        return None
    return encode_tile(tree.read_hashes(tile.positions()))


def _span(tile: Tile) -> tuple[int, int]:
    return tile.index * FULL_WIDTH, tile.index * FULL_WIDTH + tile.width
