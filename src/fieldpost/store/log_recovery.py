# SPDX-License-Identifier: Apache-2.0
"""Opening a log after any kind of end: how much of it is durable and whole?

The last checkpoint is where the search begins: what it signs must be there and hash to its root,
otherwise the log is refused. Behind it lie the batches of which nobody outside knows yet. Their
bundles are read in order; the log ends at the last state leaf. What a torn batch left beyond is
removed, and tiles that a power cut prevented are written anew, since they follow from the entries.
What stands as it should is not, so that opening a whole log takes no room on a full disk, however
much of it nobody has signed.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs, remove, remove_leftovers, write_files
from fieldpost.errors import Malformed, Misconfigured, NotFound, Unavailable
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.store.growing_edge import GrowingEdge, read_edge
from fieldpost.store.log_files import (
    MAX_BATCH_ENTRIES,
    LogFiles,
    is_same,
    read_bundle,
    read_checkpoint,
    read_file,
    superseded_directories,
)
from fieldpost.tlog.checkpoint import Checkpoint, parse_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.tiles import (
    FULL_WIDTH,
    Tile,
    TileHashReader,
    entries_path,
    tile_at,
    tile_path,
)
from fieldpost.tlog.tree import CompactRange, read_compact_range

_WHAT_TO_DO: Final = (
    "nothing was changed. Copy the log directory again from a mirror, a peer or a backup that has "
    "at least this size; never delete the checkpoint, or the node may sign a second history"
)


def open_log(root: Path, *, disk: Disk = OS) -> LogFiles:
    """The log below `root`, made if it is not there, without the traces of a torn batch.

    Raises Misconfigured, saying what to do, for a log that does not hold what its checkpoint
    signs; Unavailable. Signatures are the caller's business.
    """
    make_dirs(root, disk=disk)
    remove_leftovers(root, disk=disk)
    signed = _read_signed(root)
    try:
        base = _read_signed_edge(root, signed)
    except (NotFound, Malformed) as error:
        raise Misconfigured(f"{root} lacks part of what it signed ({error}); {_WHAT_TO_DO}") from (
            error
        )
    bundles = list(bundles_behind(root, base.size))
    entries = [entry for bundle in bundles for entry in bundle]
    if tuple(entries[: len(base.bundle)]) != base.bundle:
        raise Misconfigured(f"{root} holds two different bundles at its end; {_WHAT_TO_DO}")
    behind = entries[len(base.bundle) :]
    while behind and not is_state_leaf(behind[-1]):
        behind.pop()
    _remove_torn(root, base.size, base.size + len(behind), disk)
    edge = base
    # By the folder that holds them; those of the last size alone are asked for. A level that the
    # last part did not reach has had its own from a part before.
    incomplete: dict[str, tuple[str, bytes]] = {}
    for start in range(0, len(behind), MAX_BATCH_ENTRIES):
        edge, files = edge.grow(behind[start : start + MAX_BATCH_ENTRIES])
        whole = {path: data for path, data in files.items() if ".p/" not in path}
        _complete({root / path: data for path, data in whole.items()}, disk)
        for path in whole:
            incomplete.pop(f"{path}.p", None)
        for path in files.keys() - whole.keys():
            incomplete[path.rpartition("/")[0]] = path, files[path]
    _complete({root / path: data for path, data in incomplete.values()}, disk)
    return LogFiles(root, edge, disk, superseded_directories(root, base.size, edge.size))


def _complete(files: Mapping[Path, bytes], disk: Disk) -> None:
    """Make these files durable, and write those that are not there.

    A file gets its name once an fsync of its bytes succeeded (`write_files`), so what a failed one
    left in the cache is nowhere among them; only names may not be durable yet.
    """
    missing = {path: data for path, data in files.items() if not _stands(path, data)}
    directories = sorted({path.parent for path in files})
    write_files(missing, new=directories, disk=disk)
    for directory in directories:
        remove_leftovers(directory, disk=disk)


def _stands(path: Path, data: bytes) -> bool:
    try:
        return is_same(path, data)
    except Unavailable:
        # As on a bad sector. It follows from the entries, so it is made anew like a missing one.
        return False


def _read_signed(root: Path) -> Checkpoint | None:
    note = read_checkpoint(root)
    if note is None:
        return None
    try:
        return parse_checkpoint(parse_note(note).text)
    except Malformed as error:
        raise Misconfigured(f"{root / 'checkpoint'} is damaged ({error}); {_WHAT_TO_DO}") from error


def _read_signed_edge(root: Path, signed: Checkpoint | None) -> GrowingEdge:
    """The edge at the checkpoint's size, checked against its root and the last bundle."""
    if signed is None or signed.size == 0:
        return GrowingEdge(CompactRange.empty())
    reader = TileHashReader(lambda tile: read_file(root / tile_path(tile)), signed.size)
    range_ = read_compact_range(reader, size=signed.size)
    bundle: list[bytes] = []
    if signed.size % FULL_WIDTH:
        last = tile_at(level=0, index=signed.size // FULL_WIDTH, size=signed.size)
        bundle = read_bundle(root, last)
    edge = read_edge(reader, range_, bundle)
    if range_.root() != signed.root:
        raise Malformed(f"it does not hash to the checkpoint of size {signed.size}")
    if tuple(leaf_hash(entry) for entry in bundle) != edge.rows[0]:
        raise Malformed("the last bundle does not hash to its tile")
    return edge


def bundles_behind(
    root: Path, size: int, read: Callable[[Path, Tile], list[bytes]] = read_bundle
) -> Iterator[list[bytes]]:
    """The bundles from the one that entry `size` belongs to, as far as they go without a gap.

    Raises what `read` raises, but NotFound and Malformed; Unavailable.
    """
    index = size // FULL_WIDTH
    while (bundle := _widest_bundle(root, index, read)) is not None:
        yield bundle
        if len(bundle) < FULL_WIDTH:
            return
        index += 1


def _widest_bundle(
    root: Path, index: int, read: Callable[[Path, Tile], list[bytes]]
) -> list[bytes] | None:
    widths = _partial_widths(root, entries_path(Tile(0, index)))
    # The whole one again: a running node may have put it there meanwhile, and dropped the parts.
    for width in (FULL_WIDTH, *sorted(widths, reverse=True), FULL_WIDTH):
        try:
            return read(root, Tile(0, index, width))
        except (NotFound, Malformed):
            # A file of a torn batch; the next narrower one is older.
            continue
    return None


def _partial_widths(root: Path, full: str) -> list[int]:
    directory = root / f"{full}.p"
    try:
        names = [path.name for path in directory.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        names = []
    except OSError as error:
        raise Unavailable(f"cannot list {directory}: {error.strerror}") from error
    return [int(name) for name in names if name.isdecimal() and 0 < int(name) < FULL_WIDTH]


def _remove_torn(root: Path, signed: int, size: int, disk: Disk) -> None:
    """Remove the files of a batch that begins at `size` and was never finished."""
    # Renames may reach the disk in any order, so there may be gaps; a batch is only so long.
    for tile in _tiles_behind(size):
        width = (size >> 8 * tile.level) - tile.index * FULL_WIDTH
        for full in _paths_of(tile):
            for beyond in (w for w in _partial_widths(root, full) if w > width):
                remove(root / f"{full}.p" / str(beyond), disk=disk)
            if width < FULL_WIDTH:
                remove(root / full, disk=disk)
    for path in dict.fromkeys(_directories_behind(root, signed)):
        if path.is_dir():
            remove_leftovers(path, disk=disk)


def _tiles_behind(size: int) -> Iterator[Tile]:
    """Every full tile of which a batch that begins at `size` may have written a part."""
    last = size + MAX_BATCH_ENTRIES
    for level in range(last.bit_length() // 8 + 1):
        for index in range(size >> 8 * (level + 1), (last >> 8 * (level + 1)) + 1):
            yield Tile(level, index)


def _paths_of(full: Tile) -> list[str]:
    return [tile_path(full)] + ([entries_path(full)] if full.level == 0 else [])


def _directories_behind(root: Path, size: int) -> Iterator[Path]:
    """Where a torn batch may have left temporary files, and names that no fsync made durable.

    Those of folders too, so all that lie above are among them.
    """
    for path in (path for tile in _tiles_behind(size) for path in _paths_of(tile)):
        yield root / f"{path}.p"
        yield from (root / above for above in PurePath(path).parents)
