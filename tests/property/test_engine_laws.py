# SPDX-License-Identifier: Apache-2.0
"""Whatever the batches, and wherever it is opened again, the disk holds what the rules computed."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tree import MemoryTree

STEPS = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from(["go on", "open", "rebuild"])),
    min_size=1,
    max_size=5,
)


@settings(max_examples=15)  # each one writes to a real disk
@given(STEPS)
def test_the_same_batches_lead_to_the_same_root_on_disk_and_in_memory(
    steps: Sequence[tuple[int, str]],
) -> None:
    with TemporaryDirectory() as folder:
        board = BoardOnDisk(Path(folder) / "data")
        maker = board.maker
        writer = board.open()
        board.write(writer, maker.registration())
        board.write(writer, maker.class_set())
        for step, (count, then) in enumerate(steps):
            roots = [sha256(bytes([step, n])).digest() for n in range(count)]
            board.write(writer, *(maker.lot_enrol(count=1, root=root) for root in roots))
            if then != "go on":
                writer.close()
                for path in board.data.glob("state.db*"):
                    if then == "rebuild":
                        path.unlink()
                writer = board.open()
            assert writer.state.last == board.state.last
            assert writer.state.map.root == board.state.map.root
            entries = writer.log.read_entries(0, writer.log.size)
            root = MemoryTree(leaf_hash(entry) for entry in entries).root()
            assert writer.head is not None
            assert writer.head.checkpoint.root == writer.log.compact_range().root() == root
        writer.close()
