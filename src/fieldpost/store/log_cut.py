# SPDX-License-Identifier: Apache-2.0
"""A log cut back to a size, for a copy that took up what turned out never to be published.

A node never does this: what it wrote it may have signed. A copy has signed nothing.
"""

from pathlib import Path

from fieldpost.durable import OS, Disk, remove
from fieldpost.errors import Malformed
from fieldpost.tlog.tiles import FULL_WIDTH, Tile, parse_entries_path, parse_tile_path


def cut_log(root: Path, size: int, *, disk: Disk = OS) -> None:
    """Remove every tile and bundle below `root` that holds more than the first `size` entries.

    From the end on, so that whatever interrupts it leaves a log without a gap. The checkpoint is
    the caller's business, as is a bundle of `size` itself, which must be there. Raises Unavailable.
    """
    beyond: list[tuple[int, int, Path]] = []
    for path in (root / "tile").rglob("*"):
        if not path.is_dir():
            end = _end(path.relative_to(root).as_posix())
            if end is not None and end[1] > size >> 8 * end[0]:
                beyond.append((end[0], end[1] << 8 * end[0], path))
    for _, _, path in sorted(beyond, reverse=True):
        remove(path, disk=disk)


def _end(name: str) -> tuple[int, int] | None:
    """Level of a tile or bundle, and one behind the last index that it holds; None for others."""
    try:
        is_bundle = name.startswith("tile/entries/")
        tile: Tile = parse_entries_path(name) if is_bundle else parse_tile_path(name)
    except Malformed:
        return None
    return tile.level, tile.index * FULL_WIDTH + tile.width
