# SPDX-License-Identifier: Apache-2.0
"""Boards of any size on the disk: what starts and rebuilds are tried on.

    python -m benchmarks.big_board DIR --entries 1000000 --keys 100000

A start reads the log's right edge and state.db, never the posts. So the bulk of a large board is
filler of the right size behind a true genesis, written by the real store; its last state leaf
states the map. A rebuild judges every post, so that is measured on a board of true posts.
"""

import time
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from fieldpost.ledger.batch import close_batch
from fieldpost.store.state_db import StateChange
from fieldpost.testing.boards import BoardOnDisk

BATCH: Final = 10_000
_ENTRY_BYTES: Final = 350
_VALUE_BYTES: Final = 110
# Fewer than the rules allow one role of a maker.
_A_DAY: Final = 9_000
_DAY_S: Final = 86_400


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--entries", type=int, default=20_000, show_default=True, help="Entries of the log.")
@click.option("--keys", type=int, default=5_000, show_default=True, help="Keys of the state map.")
def main(*, folder: Path, entries: int, keys: int) -> None:
    """Write a board of about this size into FOLDER."""
    began = time.perf_counter()
    make_wide_board(folder, entries=entries, keys=keys)
    print(f"{folder}: written in {time.perf_counter() - began:.0f} s")


def make_wide_board(folder: Path, *, entries: int, keys: int) -> None:
    """Write a board with filler for posts and for values."""
    board = BoardOnDisk(folder, time=int(time.time()) - 3_600)
    writer = board.open()
    board.write(writer, board.maker.registration())
    state = writer.state
    while state.size < entries or len(state.map) < keys:
        new = max(0, min(BATCH, keys - len(state.map)))
        writes = {
            sha256(b"key %d" % (state.size + n)).digest(): _filler(state.size + n, _VALUE_BYTES)
            for n in range(new)
        }
        posts = [_filler(state.size + n, _ENTRY_BYTES) for n in range(BATCH)]
        after = close_batch(
            state.map.update(writes),
            board=state.board,
            before=state.size,
            accepted=BATCH,
            time=board.time,
        )
        writer.log.append([*posts, after.last.encode()])
        change = StateChange(
            before=state.size,
            size=after.size,
            writes=writes,
            replaced=dict.fromkeys(writes),
            receipts=[(sha256(post).digest(), state.size + n) for n, post in enumerate(posts)],
        )
        writer.db.commit(change, keep=after.size)
        writer.follow(after, writes)
        state = after
    writer.publish(board.time)
    writer.close()


def make_true_board(folder: Path, *, posts: int, batch: int = 100) -> None:
    """Write a board of `posts` lots, each enrolled by a signed post, as many a day as may be."""
    days = posts // _A_DAY
    board = BoardOnDisk(folder, time=int(time.time()) - 3_600 - posts // batch * 60 - days * _DAY_S)
    writer = board.open()
    board.write(writer, board.maker.registration())
    board.write(writer, board.maker.class_set(most_devices=posts))
    for start in range(0, posts, batch):
        if start and start // _A_DAY > (start - batch) // _A_DAY:
            board.time += _DAY_S
        roots = [_filler(start + n, 32) for n in range(min(batch, posts - start))]
        board.write(writer, *(board.maker.lot_enrol(count=1, root=root) for root in roots))
    writer.close()


def _filler(number: int, length: int) -> bytes:
    """Bytes that do not compress, and are no state leaf."""
    return b"\xd2" + (sha256(b"%d" % number).digest() * (length // 32 + 1))[: length - 1]


if __name__ == "__main__":
    main()
