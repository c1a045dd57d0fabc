# SPDX-License-Identifier: Apache-2.0
"""Attacks on makers, boards and releases, by name; each ends with what is believed afterwards.

For each there is a control: the same attack succeeds where the one defence that stops it is off.
"""

from dataclasses import replace

import pytest

from fieldpost.checkin.belief import Belief, believe
from fieldpost.errors import Misbehaviour, Untrusted
from fieldpost.records.maker import Role
from fieldpost.testing.actors import OperatorActor
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_keys import MakerKeys
from tests.attacks.paper_device import Device, sequences


@pytest.fixture
def board() -> PaperBoard:
    """Four operators, of whom three must cosign, and two witnesses, who both must."""
    board = PaperBoard(operators=4, witnesses=2)
    board.offer(board.release(11))
    return board


@pytest.fixture
def device(board: PaperBoard) -> Device:
    """A device that has seen the board offer sequence 11."""
    device = Device(board)
    assert sequences(device.check_in(board.bundle())) == [11]
    return device


# --- makers ---


def test_a_head_under_an_older_maker_record_is_refused(board: PaperBoard, device: Device) -> None:
    """The board quorum turns the head back to keys that the maker has revoked."""
    stolen = board.keys
    evil = board.fork()
    link = board.maker_set(keys=replace(stolen, name="acme-two"))
    evil.seal([link])
    device.check_in(board.bundle(), maker_links=[link])
    assert device.belief.maker_view().epoch == 1
    evil.offer(evil.release(99))
    device.refuses(evil.bundle(), "maker-rollback")
    assert device.belief.maker_link == board.maker_link
    with without(Defence.MAKER_LINK):
        assert sequences(device.check_in(evil.bundle())) == [99]


def test_a_revoked_release_key_signs_nothing_that_installs(
    board: PaperBoard, device: Device
) -> None:
    """The board may offer what it likes: the manifest is judged by the keys of today."""
    stolen = board.envelope(99)
    link = board.maker_set(keys=replace(board.keys, name="acme-two"))
    board.offer(board.release(99, manifest=stolen.digest))
    before = device.belief
    offer = device.chosen(device.check_in(board.bundle(), maker_links=[link]))
    assert offer is not None
    with pytest.raises(Untrusted, match="manifest-threshold"):
        device.manifest(stolen.encode(), offer)
    device.belief = before
    with without(Defence.MAKER_LINK):
        device.check_in(board.bundle())
    assert device.manifest(stolen.encode(), offer).sequence == 99


def test_a_forked_maker_link_is_shown_with_evidence(board: PaperBoard, device: Device) -> None:
    other = board.fork()
    link = board.maker_set(name="one face")
    device.check_in(board.bundle(), maker_links=[link])
    shown = device.belief.bundle
    other.maker_set(name="another face")
    other.seal()
    error = device.refuses(other.bundle(), "maker-fork")
    assert isinstance(error, Misbehaviour)
    assert error.evidence == (shown, other.bundle())
    assert device.belief.maker_view().name == "one face"
    with without(Defence.MAKER_LINK):
        device.check_in(other.bundle(), maker_links=[other.maker_chain[-1]])
    assert device.belief.maker_view().name == "another face"


@pytest.mark.parametrize("stolen", [1, 2])
def test_too_few_stolen_roots_cannot_replace_the_maker(
    board: PaperBoard, device: Device, stolen: int
) -> None:
    """Old threshold and new one: the thief's own keys do not count for the old, nor the reverse."""
    thief = MakerKeys(name="thief")
    victims = list(board.keys.root[:stolen])
    own = list(thief.root) if stolen == 1 else list(thief.root[:1])
    link = board.maker_set(keys=thief, signers=victims + own)
    device.refuses(board.bundle(), "link-threshold", maker_links=[link])
    assert device.belief.maker_view().name == "acme"
    with without(Defence.LINK_THRESHOLD):
        device.check_in(board.bundle(), maker_links=[link])
    assert device.belief.maker_view().keys_of(Role.RELEASE).by_kid().keys() == {
        signer.public_key.thumbprint() for signer in thief.release
    }


def test_a_policy_without_witnesses_needs_the_witnesses_once_more(
    board: PaperBoard, device: Device
) -> None:
    """Stolen roots and a dishonest quorum together still do not silence the witnesses."""
    link = board.maker_set(policy={"witnesses": (), "witnesses_needed": 0})
    lonely = board.bundle(witnesses=0)
    device.refuses(lonely, "no-quorum", maker_links=[link])
    assert device.belief.policy.witnesses_needed == 2
    before = device.belief
    device.check_in(board.bundle(), maker_links=[link])
    assert device.belief.policy.witnesses_needed == 0
    device.belief = before
    with without(Defence.QUORUM):
        assert device.check_in(lonely, maker_links=[link]).moved


def test_a_dishonest_board_cannot_pass_an_old_release_for_a_new_one(
    board: PaperBoard, device: Device
) -> None:
    old = board.envelope(3)
    board.offer(board.release(12, manifest=old.digest))
    offer = device.chosen(device.check_in(board.bundle()))
    assert offer is not None
    with pytest.raises(Untrusted, match="wrong-sequence"):
        device.manifest(old.encode(), offer)
    with without(Defence.MANIFEST_SEQUENCE):
        assert device.manifest(old.encode(), offer).sequence == 3


def test_a_release_for_another_class_is_refused(board: PaperBoard, device: Device) -> None:
    foreign = board.envelope(12, class_id=b"\x02" * 16)
    board.offer(board.release(12, manifest=foreign.digest))
    offer = device.chosen(device.check_in(board.bundle()))
    assert offer is not None
    with pytest.raises(Untrusted, match="wrong-class"):
        device.manifest(foreign.encode(), offer)
    with without(Defence.MANIFEST_TARGET):
        assert device.manifest(foreign.encode(), offer).sequence == 12


# --- boards ---


def test_another_board_link_at_my_epoch_is_refused(board: PaperBoard, device: Device) -> None:
    evil = board.fork()
    link = board.board_set([*board.names, "operator4"])
    device.check_in(board.bundle(), board_links=[link])
    evil.board_set([*evil.names, "eve0"])
    evil.seal()
    device.refuses(evil.bundle(), "board-fork")
    assert device.belief.board_link == board.board_link
    with without(Defence.BOARD_LINK):
        # The known operators are among both boards' cosigners, and eve is a stranger.
        assert device.check_in(evil.bundle()).belief.root == evil.checkpoint.root


def test_a_minority_of_operators_cannot_take_the_board(board: PaperBoard, device: Device) -> None:
    two = [OperatorActor(name, board.origin).governance for name in board.names[:2]]
    eves = ("eve0", "eve1", "eve2")
    own = [OperatorActor(name, board.origin).governance for name in eves]
    link = board.board_set(eves, signers=[*two, *own])
    board.offer(board.release(99))
    device.refuses(board.bundle(), "link-threshold", board_links=[link])
    assert device.belief.board_view().operators[0].name == "operator0"
    with without(Defence.LINK_THRESHOLD):
        assert sequences(device.check_in(board.bundle(), board_links=[link])) == [99]


# --- the factory ---


def test_one_stolen_root_key_provisions_nothing(board: PaperBoard) -> None:
    alone = board.provisioning(signers=board.keys.root[:1])
    with pytest.raises(Untrusted, match="provisioning-threshold"):
        believe(alone)
    with without(Defence.PROVISIONING):
        belief, _ = believe(alone)
    assert isinstance(belief, Belief)
