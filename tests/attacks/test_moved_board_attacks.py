# SPDX-License-Identifier: Apache-2.0
"""Keys and nodes of the time before a board was given to several operators.

Whoever has them can sign for devices that never heard of the change, which is why they are
destroyed; everybody else believes nothing of it. Each has a control without the defence.
"""

from pathlib import Path

import pytest

from fieldpost.engines.board_files import keys_directory, log_directory
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.errors import Unavailable
from fieldpost.keys import Signer
from fieldpost.signers.keyfile import load_key_file
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.actors import OperatorActor
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_cluster import PaperMember, make_member, make_operators
from fieldpost.tlog.cosignature import cosign
from tests.attacks.paper_device import Device, sequences

FOUR = tuple(f"member{n}" for n in range(4))


def moved(*, witnesses: int = 0) -> tuple[PaperBoard, PaperBoard, Device, Device]:
    """A board that one operator gave to four, and its state before that; a device that saw the
    change, and one that slept. The old operator's keys have leaked."""
    board = PaperBoard(operators=1, witnesses=witnesses)
    board.offer(board.release(11))
    awake, sleeper = Device(board), Device(board)
    awake.check_in(board.bundle())
    past = board.fork()
    link = board.board_set(FOUR)
    board.seal()
    awake.check_in(board.bundle(), board_links=[link])
    return board, past, awake, sleeper


def test_the_old_operators_leaked_keys_go_on_with_no_history_that_a_device_believes() -> None:
    board, past, awake, _ = moved()
    for _ in range(4):
        past.offer(past.release(99))
    assert past.checkpoint.size > board.checkpoint.size
    before = awake.belief
    awake.refuses(past.bundle(), "not-newer")
    assert awake.belief == before
    with without(Defence.BOARD_LINK, Defence.QUORUM):
        assert sequences(awake.check_in(past.bundle())) == [99]


def test_the_old_operators_leaked_keys_give_the_board_to_nobody_else() -> None:
    """They sign another change of operators, at the epoch that the device knows."""
    _, past, awake, _ = moved()
    past.board_set(("eve0", "eve1", "eve2", "eve3"))
    past.offer(past.release(99))
    past.seal()
    awake.refuses(past.bundle(), "board-fork")
    with without(Defence.BOARD_LINK, Defence.QUORUM):
        assert sequences(awake.check_in(past.bundle())) == [99]


def test_the_old_operators_cosignature_counts_for_nothing_on_the_new_history() -> None:
    """Two of four signed and the old one did: no quorum."""
    board, _, awake, _ = moved()
    board.offer(board.release(12))
    old = OperatorActor("operator0", board.origin)
    line = cosign(
        board.checkpoint, name=old.cosigner_name, signer=old.cosigner(), timestamp=board.time
    )
    lines = (*board.cosignatures(operators=2), line)
    awake.refuses(board.bundle_with(lines), "no-quorum")
    with without(Defence.QUORUM):
        assert sequences(awake.check_in(board.bundle_with(lines))) == [12]


def test_the_makers_witnesses_keep_a_sleeper_from_the_old_operators_fork() -> None:
    """It does not know of the change yet; its witnesses never saw the fork."""
    _, past, _, sleeper = moved(witnesses=1)
    past.offer(past.release(99))
    sleeper.refuses(past.bundle(witnesses=0), "no-quorum")
    with without(Defence.QUORUM):
        assert sequences(sleeper.check_in(past.bundle(witnesses=0))) == [99]


# --- the node that was left behind ---


def signer_of(board: BoardOnDisk) -> Signer:
    path = keys_directory(board.data) / "governance.pem"
    return load_key_file(path, lambda: b"")


def giving(board: BoardOnDisk, members: list[PaperMember]) -> bytes:
    """The post by which the board's one operator gives it away."""
    new = [signer for member in members for signer in member.signers]
    return make_operators(board.state, members, [signer_of(board), *new])


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    made = BoardOnDisk(tmp_path / "old")
    writer = made.open()
    made.write(writer, made.maker.registration())
    made.write(writer, made.maker.class_set())
    writer.close()
    return made


def give_away_and_write_on(board: BoardOnDisk, tmp_path: Path) -> tuple[int, int, list[object]]:
    """Sizes of the old node's log after it gave the board away and after one more post to it, and
    what became of both posts."""
    members = [make_member(tmp_path / f"op{n}", f"op{n}") for n in range(4)]
    engine = EmbeddedEngine(board.data, clock=lambda: board.time)
    sizes: list[int] = []
    answers: list[object] = []
    for post in (giving(board, members), board.maker.lot_enrol(count=7)):
        answers.append(engine.submit(post).exception(60))
        sizes.append(open_log(log_directory(board.data)).size)
    engine.close()
    return sizes[0], sizes[1], answers


def test_a_node_that_was_left_behind_writes_no_second_history(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """It was not stopped, makers still send to it, and its keys were not destroyed."""
    checkpoint = open_log(log_directory(board.data)).read_checkpoint()
    given, after, answers = give_away_and_write_on(board, tmp_path)
    assert after == given
    assert all("move-to-cluster" in str(answer) for answer in answers)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert open_log(log_directory(board.data)).read_checkpoint() == checkpoint


def test_control_without_the_check_the_old_node_publishes_a_history_of_its_own(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """It acknowledges posts that the operators never get, by keys that the record has no more."""
    with without(Defence.GIVEN_AWAY):
        given, after, answers = give_away_and_write_on(board, tmp_path)
    assert after == given + 2
    assert answers == [None, None]
