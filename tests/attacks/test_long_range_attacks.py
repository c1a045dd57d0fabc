# SPDX-License-Identifier: Apache-2.0
"""Old keys and withheld links: forks from long ago, and nodes that do not say how things went on.

For each there is a control: the same attack succeeds where the one defence that stops it is off.
"""

import pytest

from fieldpost.checkin.chains import MissingLinks
from fieldpost.errors import Untrusted
from fieldpost.records.maker import Role
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_keys import MakerKeys
from tests.attacks.paper_device import DAY, Device, sequences

SUCCESSORS = tuple(f"successor{n}" for n in range(4))


def renewed(*, witnesses: int) -> tuple[PaperBoard, PaperBoard, Device, Device]:
    """A board whose four operators all were replaced, and its state before that; a device that saw
    the change, and one that slept. The keys of all former operators have leaked."""
    board = PaperBoard(operators=4, witnesses=witnesses)
    board.offer(board.release(11))
    awake, sleeper = Device(board), Device(board)
    past = board.fork()
    link = board.board_set(SUCCESSORS)
    board.seal()
    awake.check_in(board.bundle(), board_links=[link])
    return board, past, awake, sleeper


# --- forks from long ago ---


def test_leaked_keys_of_former_operators_move_no_device_that_saw_the_change() -> None:
    """However long the fork grows: its board epoch stays behind what the device knows."""
    board, past, awake, _ = renewed(witnesses=0)
    for _ in range(5):
        past.offer(past.release(99))
    assert past.checkpoint.size > board.checkpoint.size
    awake.refuses(past.bundle(), "not-newer")
    assert awake.belief.board_link == board.board_link
    # Without step 3 the quorum of the present still stands in the way of the former one.
    with without(Defence.BOARD_LINK):
        awake.refuses(past.bundle(), "no-quorum")
    with without(Defence.BOARD_LINK, Defence.QUORUM):
        assert sequences(awake.check_in(past.bundle())) == [99]


def test_a_fork_of_the_board_chain_by_leaked_keys_is_no_link_of_mine() -> None:
    """The thieves also make their own change of operators, at the epoch that the device knows."""
    board, past, awake, _ = renewed(witnesses=0)
    past.board_set(("eve0", "eve1", "eve2", "eve3"))
    for _ in range(3):
        past.offer(past.release(99))
    awake.refuses(past.bundle(), "board-fork")
    assert awake.belief.board_link == board.board_link
    with without(Defence.BOARD_LINK, Defence.QUORUM):
        assert sequences(awake.check_in(past.bundle())) == [99]


def test_the_makers_witnesses_keep_a_sleeper_from_the_fork() -> None:
    """It does not know yet that the operators were replaced; witnesses never saw the fork."""
    _, past, _, sleeper = renewed(witnesses=2)
    past.offer(past.release(99))
    sleeper.refuses(past.bundle(witnesses=0), "no-quorum")
    assert sleeper.belief.root is None
    with without(Defence.QUORUM):
        assert sequences(sleeper.check_in(past.bundle(witnesses=0))) == [99]


def test_without_witnesses_a_sleeper_follows_the_fork_and_runs_its_makers_releases_only() -> None:
    """What remains: leaked former operators can show it another board, never another maker."""
    _, past, _, sleeper = renewed(witnesses=0)
    forged = past.envelope(99, signers=MakerKeys(name="thief").release)
    past.offer(past.release(99, manifest=forged.digest))
    offer = sleeper.chosen(sleeper.check_in(past.bundle()))
    assert offer is not None
    with pytest.raises(Untrusted, match="manifest-threshold"):
        sleeper.manifest(forged.encode(), offer)


def test_a_sleeper_that_comes_back_to_the_honest_board_follows_it_all_the_way() -> None:
    board, _, _, sleeper = renewed(witnesses=0)
    for epoch in range(2, 6):
        board.board_set([*SUCCESSORS[:3], f"newcomer{epoch}"])
    board.offer(board.release(12))
    verified = sleeper.check_in(board.bundle(), board_links=board.board_chain[1:])
    assert sequences(verified) == [12]
    assert sleeper.belief.board_view().epoch == 5


# --- withheld links ---


@pytest.fixture
def board() -> PaperBoard:
    board = PaperBoard(operators=4, witnesses=2)
    board.offer(board.release(11))
    return board


@pytest.fixture
def device(board: PaperBoard) -> Device:
    device = Device(board)
    device.check_in(board.bundle())
    return device


def test_a_withheld_maker_link_moves_nothing(board: PaperBoard, device: Device) -> None:
    """Who hides a rotation keeps the device where it is, and cannot make it go on without."""
    links = [board.maker_set(keys=MakerKeys(name=f"acme-{n}")) for n in range(3)]
    board.offer(board.release(12))
    for kept in (links[:0], links[:2], links[1:], [links[0], links[2]]):
        before = device.belief
        with pytest.raises((MissingLinks, Untrusted)):
            device.check_in(board.bundle(), maker_links=kept)
        assert device.belief == before
    assert sequences(device.check_in(board.bundle(), maker_links=links)) == [12]
    assert device.belief.maker_view().epoch == 3


def test_control_without_the_chain_a_withheld_link_leaves_revoked_keys_in_force(
    board: PaperBoard, device: Device
) -> None:
    stolen = {signer.public_key.thumbprint() for signer in board.keys.release}
    board.maker_set(keys=MakerKeys(name="acme-after-the-theft"))
    with pytest.raises(MissingLinks):
        device.check_in(board.bundle())
    with without(Defence.MAKER_LINK):
        device.check_in(board.bundle())
    assert device.belief.maker_view().keys_of(Role.RELEASE).by_kid().keys() == stolen


def test_a_withheld_board_link_moves_nothing(board: PaperBoard, device: Device) -> None:
    first = board.board_set(SUCCESSORS)
    second = board.board_set([*SUCCESSORS[:3], "newcomer"])
    board.offer(board.release(12))
    for kept in ([], [first], [second]):
        before = device.belief
        with pytest.raises((MissingLinks, Untrusted)):
            device.check_in(board.bundle(), board_links=kept)
        assert device.belief == before
    assert sequences(device.check_in(board.bundle(), board_links=[first, second])) == [12]


def test_control_without_the_board_chain_nobody_would_notice_new_operators(
    board: PaperBoard, device: Device
) -> None:
    board.board_set([*board.names[:3], "newcomer"])
    with pytest.raises(MissingLinks):
        device.check_in(board.bundle())
    with without(Defence.BOARD_LINK):
        assert not device.check_in(board.bundle()).moved


def test_hidden_links_and_silence_end_in_stale(board: PaperBoard, device: Device) -> None:
    """Withholding is a freeze, and shows as one: what is known grows old."""
    board.maker_set(keys=MakerKeys(name="acme-two"))
    later = board.time + 8 * DAY
    with pytest.raises(MissingLinks):
        device.check_in(board.bundle(), now=later)
    assert device.belief.timestamp < later - device.belief.policy.max_age_s
