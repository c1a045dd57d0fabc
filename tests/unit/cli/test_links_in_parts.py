# SPDX-License-Identifier: Apache-2.0
"""The command line reads a chain to its end, in however many answers it comes."""

from fieldpost.checkin.chains import LEAST_PART_BYTES
from fieldpost.cli.board_access import Board
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_keys import MakerKeys
from fieldpost.testing.paper_node import PaperNode


def test_a_chain_in_parts_is_read_to_its_end() -> None:
    board = PaperBoard(maker=MakerKeys(roots=1, root_threshold=1))
    for number in range(150):
        board.maker_set(contact=f"{number} ".ljust(256, "x"))
    with PaperNode(board) as node:
        node.part_bytes = LEAST_PART_BYTES + 1_024
        asking = Board(node.url)
        path = f"/v1/makers/{board.maker_id.hex()}/links"
        assert asking.links(path) == board.maker_chain
        assert asking.links(path, since=140) == board.maker_chain[141:]
        asking.close()
        assert node.parts == 3
