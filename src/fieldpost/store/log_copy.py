# SPDX-License-Identifier: Apache-2.0
"""A copy of a log that grows meanwhile: everything that one checkpoint signs, verified on the way.

Entries are read, hashed, and compared with their tiles and at last with the checkpoint's root, so
a copy that was made is a copy of what was signed; where the source is damaged the file is named.
The checkpoint comes last: a copy that was cut off has the older one, or none.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs, write_file, write_files
from fieldpost.errors import Malformed, NotFound, Untrusted
from fieldpost.store.log_files import is_same, read_bundle, read_file
from fieldpost.tlog.checkpoint import parse_checkpoint
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    encode_entry_bundle,
    encode_tile,
    entries_path,
    tile_at,
    tile_path,
)
from fieldpost.tlog.tree import CompactRange, MemoryTree

_FILES_AT_ONCE: Final = 64
# Told how many entries are copied.
Copied = Callable[[int], None]


def copy_log(
    source: Path,
    target: Path,
    note: bytes,
    *,
    further: int = 0,
    copied: Copied = lambda _: None,
    disk: Disk = OS,
) -> None:
    """Copy the log below `source` as `note`, one of its checkpoints, states it.

    `further` is a larger size whose entries shall come too although nothing signs them yet. Files
    that are in `target` already, and are the same, are left alone.
    Raises Untrusted("bad-proof") or Malformed, which name the file; NotFound, Unavailable.
    """
    checkpoint = parse_checkpoint(parse_note(note).text)
    writer = _Writer(target, disk)
    row: list[Hash] = []
    last: list[Hash] = []
    for tile, entries in _bundles(source, 0, checkpoint.size):
        hashes = [leaf_hash(entry) for entry in entries]
        _check_tile(source, tile, hashes)
        writer.put(entries_path(tile), encode_entry_bundle(entries))
        writer.put(tile_path(tile), encode_tile(hashes))
        if tile.width == FULL_WIDTH:
            row.append(MemoryTree(hashes).root())
        else:
            last = hashes
        copied(len(entries))
    whole = CompactRange.empty().extend(row)
    range_ = CompactRange(whole.size * FULL_WIDTH, whole.hashes).extend(last)
    if range_.root() != checkpoint.root:
        raise Untrusted(
            "bad-proof", f"{source}: entries and tiles agree, and are not what checkpoint signs"
        )
    _copy_upper_tiles(source, writer, row)
    first = checkpoint.size // FULL_WIDTH
    for tile, entries in _bundles(source, first, further) if further > checkpoint.size else ():
        writer.put(entries_path(tile), encode_entry_bundle(entries))
    writer.flush()
    write_file(target / "checkpoint", note, disk=disk)


def _bundles(source: Path, first: int, size: int) -> Iterator[tuple[Tile, list[bytes]]]:
    for index in range(first, -(-size // FULL_WIDTH)):
        tile = tile_at(level=0, index=index, size=size)
        try:
            yield tile, read_bundle(source, tile)
        except Malformed as error:
            raise Malformed(f"{source / entries_path(tile)} is damaged: {error}") from error
        except NotFound as error:
            raise NotFound(f"{source / entries_path(tile)} is missing") from error


def _check_tile(source: Path, tile: Tile, hashes: list[Hash]) -> None:
    wanted = encode_tile(hashes)
    try:
        found = read_file(source / tile_path(tile))
    except NotFound:
        # A partial one is dropped once the full one is there.
        found = read_file(source / tile_path(tile.full()))[: len(wanted)]
    if found != wanted:
        raise Untrusted(
            "bad-proof",
            f"{source / tile_path(tile)} or {source / entries_path(tile)} is damaged: they do not "
            "belong together",
        )


def _copy_upper_tiles(source: Path, writer: "_Writer", row: list[Hash]) -> None:
    level = 1
    while row:
        above: list[Hash] = []
        for start in range(0, len(row), FULL_WIDTH):
            hashes = row[start : start + FULL_WIDTH]
            tile = Tile(level, start // FULL_WIDTH, len(hashes))
            _check_tile(source, tile, hashes)
            writer.put(tile_path(tile), encode_tile(hashes))
            if tile.width == FULL_WIDTH:
                above.append(MemoryTree(hashes).root())
        row, level = above, level + 1


class _Writer:
    """Files on their way to the copy, some at a time."""

    def __init__(self, target: Path, disk: Disk) -> None:
        self._target = target
        self._disk = disk
        self._files: dict[Path, bytes] = {}

    def put(self, path: str, data: bytes) -> None:
        file = self._target / path
        if not is_same(file, data):
            make_dirs(file.parent, disk=self._disk)
            self._files[file] = data
        if len(self._files) >= _FILES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        write_files(self._files, disk=self._disk)
        self._files.clear()
