# SPDX-License-Identifier: Apache-2.0
"""What a device keeps of a check-in is what was signed, whatever its deliverer wrote beside it."""

from pathlib import Path

import pytest

from fieldpost.agent.home import MOST_EVIDENCE, Home
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.errors import Misbehaviour
from fieldpost.records.limits import MAX_CHECKIN_BYTES
from fieldpost.testing.bundles import PaperBoard
from fieldpost.tlog.cosignature import Cosignature
from tests.attacks.paper_device import Device


@pytest.fixture
def board() -> PaperBoard:
    board = PaperBoard(operators=4, witnesses=2)
    board.offer(board.release(11))
    return board


def decorated(board: PaperBoard, junk: bytes) -> bytes:
    """The board's bundle with a stranger's cosignature and a signed one twice."""
    honest = board.cosignatures()
    stranger = Cosignature(b"junk", 1, junk * 64)
    return board.bundle_with([honest[0], *honest, stranger])


def test_bytes_of_strangers_are_not_kept(board: PaperBoard) -> None:
    device = Device(board)
    device.check_in(decorated(board, b"!"))
    assert device.belief.bundle == board.bundle()


def test_bytes_of_strangers_are_no_evidence(board: PaperBoard) -> None:
    device = Device(board)
    other = board.fork()
    board.seal([b"one history"])
    other.seal([b"another"])
    device.check_in(decorated(board, b"!"))
    error = device.refuses(decorated(other, b"?"), "split-view")
    assert isinstance(error, Misbehaviour)
    assert error.evidence == (board.bundle(), other.bundle())
    assert all(
        len(decode_bundle(data, most_bytes=MAX_CHECKIN_BYTES).cosignatures) == 6
        for data in error.evidence
    )


def test_evidence_that_comes_again_and_again_does_not_fill_the_disk(tmp_path: Path) -> None:
    """Whoever holds one true split view can show it with ever new times."""
    home = Home(tmp_path)
    kept = [
        home.keep_evidence(Misbehaviour("split-view", "", (b"one", bytes([number]))))
        for number in range(3 * MOST_EVIDENCE)
    ]
    assert len(list(home.evidence.iterdir())) == MOST_EVIDENCE
    assert kept[0].exists()
