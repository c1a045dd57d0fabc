# SPDX-License-Identifier: Apache-2.0
"""Data directories that are copies of each other at different times, and mirrors of them."""

import shutil
from pathlib import Path

from fieldpost.durable import write_file
from fieldpost.engines.mirrors import Mirror
from fieldpost.node.mirrors import open_mirror
from fieldpost.testing.boards import BoardOnDisk


def written(folder: Path, lots: int = 0) -> BoardOnDisk:
    """A published board with a maker, a class and some lots, one batch each; closed."""
    board = BoardOnDisk(folder)
    writer = board.open()
    board.write(writer, board.maker.registration())
    board.write(writer, board.maker.class_set())
    writer.close()
    enrol(board, lots)
    return board


def enrol(board: BoardOnDisk, lots: int, *, salt: str = "") -> None:
    """Further published batches of one lot each, told apart by `salt`."""
    writer = board.open()
    for _ in range(lots):
        root = f"{salt}{board.state.size}".encode().ljust(32, b".")
        board.write(writer, board.maker.lot_enrol(root=root))
    writer.close()


def copy(source: Path, target: Path) -> Path:
    """What an operator's file copy of a stopped node gives."""
    shutil.copytree(source, target)
    return target


def put_back(backup: Path, data: Path, *, keys: bool = True) -> None:
    """An old copy in the place of a data directory; `keys` too, or those that are there stay."""
    for name in ("log", "keys") if keys else ("log",):
        shutil.rmtree(data / name)
        shutil.copytree(backup / name, data / name)
    for path in data.glob("state.db*"):
        path.unlink()
    shutil.copy(backup / "state.db", data / "state.db")


def mirror(folder: Path) -> Mirror:
    """A mirror as an operator's setting names it."""
    return open_mirror(str(folder))


def damage(path: Path, at: int = -1) -> None:
    """One bit of a file, turned over."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    write_file(path, bytes(data))
