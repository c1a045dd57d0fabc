# SPDX-License-Identifier: Apache-2.0
"""Confirming what was not proven: a relay answers the check-in of a new image on its trial.

An image that cannot verify a check-in must not stay, or nobody ever reaches the device again.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_node import PaperNode
from tests.attacks.paper_agent import AgentOnPaper

NEW = b"the image of release 2"


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard(operators=4)) as running:
        yield running


def answer_the_trial(node: PaperNode, bundle: bytes) -> None:
    """Once the new image's bytes were fetched, every check-in is answered with `bundle`."""
    answer: Callable[[str], bytes | None] = node.answer
    on_trial = False

    def relay(path: str) -> bytes | None:
        nonlocal on_trial
        on_trial = on_trial or "/blobs/" in path
        return bundle if on_trial and "/checkin/" in path else answer(path)

    node.answer = relay  # type: ignore[method-assign]


def forged() -> bytes:
    """An older state of this very board, as anybody can write it: without a cosignature."""
    return PaperBoard(operators=4).bundle_with(())


def half_signed() -> bytes:
    """The same with one operator's cosignature, of four."""
    return PaperBoard(operators=4).bundle(operators=1)


@pytest.mark.parametrize("bundle", [forged, half_signed])
def test_what_anybody_could_have_made_up_confirms_no_image(
    tmp_path: Path, node: PaperNode, bundle: Callable[[], bytes]
) -> None:
    """`not-newer` is said before any signature is looked at."""
    agent = AgentOnPaper(tmp_path, node)
    node.publish(2, NEW)
    answer_the_trial(node, bundle())
    reason = agent.live()
    assert "no check-in was verified in time" in reason
    assert "not-newer" in reason
    assert agent.runs() == (1, agent.old)
    assert agent.memory().failed == ()


def test_control_without_asking_who_signed_it_a_forgery_confirms_the_image(
    tmp_path: Path, node: PaperNode
) -> None:
    agent = AgentOnPaper(tmp_path, node)
    node.publish(2, NEW)
    answer_the_trial(node, forged())
    with without(Defence.GENUINELY_OLDER):
        assert agent.live() == ""
    assert agent.runs() == (2, NEW)


def test_an_older_state_that_the_quorum_signed_confirms_the_image(
    tmp_path: Path, node: PaperNode
) -> None:
    """A cache that lags behind: whoever verified it can reach and read the board."""
    agent = AgentOnPaper(tmp_path, node)
    older = node.board.bundle()
    node.publish(2, NEW)
    answer_the_trial(node, older)
    assert agent.live() == ""
    assert agent.runs() == (2, NEW)


def test_an_older_state_under_an_older_board_record_confirms_no_image(
    tmp_path: Path, node: PaperNode
) -> None:
    """Its operators may have left, and their keys with them: nothing can be said of it."""
    older = node.board.bundle()
    node.board.board_set(("operator0", "operator1", "operator2", "newcomer"))
    agent = AgentOnPaper(tmp_path, node)
    node.publish(2, NEW)
    answer_the_trial(node, older)
    assert "no check-in was verified in time" in agent.live()
    assert agent.runs() == (1, agent.old)
