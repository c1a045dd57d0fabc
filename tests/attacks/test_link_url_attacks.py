# SPDX-License-Identifier: Apache-2.0
"""The maker's link URLs, asked when a board is dead: one of them is old, lies, or shows a fork."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from fieldpost import cbor
from fieldpost.agent.enrolment import enrol
from fieldpost.agent.home import Home
from fieldpost.agent.loop import open_agent
from fieldpost.agent.memory import Memory, load_memory
from fieldpost.agent.states import State
from fieldpost.agent.world import World
from fieldpost.errors import FieldpostError
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_keys import MakerKeys
from fieldpost.testing.paper_node import PaperNode

DAY_S = 86_400


def never() -> NoReturn:
    raise AssertionError("nothing is installed here")


def answering(body: bytes) -> Callable[[str], bytes]:
    return lambda _: body


@dataclass
class Scene:
    """A dead board, the one that the maker moved to, and two places that hand out its links."""

    dead: PaperNode
    next: PaperNode
    places: tuple[PaperNode, PaperNode]
    home: Home

    def hand_out(self, *chains: list[bytes]) -> None:
        """What each of the two places hands out as the maker's links."""
        for place, chain in zip(self.places, chains, strict=True):
            place.answer = answering(cbor.encode(chain))  # type: ignore[assignment,method-assign]

    def after_grace(self) -> tuple[Memory, list[str]]:
        """What the device believes once nobody answered for as long as grace is, and its events."""
        events: list[str] = []
        powered = 0.0
        world = World(
            emit=lambda event, _: events.append(event), clock=lambda: 0, uptime=lambda: powered
        )
        with open_agent(self.home, world=world, boot=never) as agent:
            agent.start()
            for _ in range(4):
                try:
                    agent.check_in()
                except FieldpostError:
                    powered += DAY_S
        return load_memory(self.home.memory), events


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    keys = MakerKeys()
    with (
        PaperNode(PaperBoard(maker=keys)) as dead,
        PaperNode(PaperBoard(origin="next.test/1", maker=keys)) as following,
        PaperNode(PaperBoard()) as one,
        PaperNode(PaperBoard()) as other,
    ):
        links = (f"{one.url}/links", f"{other.url}/links")
        dead.board.maker_set(policy={"urls": (dead.url,), "link_urls": links, "grace_s": 2 * DAY_S})
        home = Home(tmp_path / "device")
        provisioning = dead.board.provisioning(urls=(dead.url,))
        enrol(home, provisioning=provisioning, serial="one")
        dead.is_silent = True
        yield Scene(dead, following, (one, other), home)


def rename(board: PaperBoard, name: str) -> list[bytes]:
    """The chain after one more link that changes nothing but the maker's name."""
    board.maker_set(name=name)
    return list(board.maker_chain)


def move(scene: Scene) -> list[bytes]:
    """The chain whose last link leads to the next board, which has taken the maker in."""
    there = scene.next.board
    scene.dead.board.maker_set(
        policy={
            "board": there.id,
            "urls": (scene.next.url,),
            "board_epoch": 0,
            "board_link": there.board_link,
            "least_size": there.checkpoint.size,
        }
    )
    there.take_over(scene.dead.board)
    return list(scene.dead.board.maker_chain)


def test_an_old_list_of_links_does_not_hide_a_newer_one(scene: Scene) -> None:
    """The first URL was forgotten, or is held by somebody who wants the device to stay."""
    old = rename(scene.dead.board, "acme devices")
    new = move(scene)
    scene.hand_out(old, new)
    memory, _ = scene.after_grace()
    assert memory.belief.board == scene.next.board.id


def test_control_where_the_first_answer_wins_the_device_stays_with_the_dead(scene: Scene) -> None:
    old = rename(scene.dead.board, "acme devices")
    scene.hand_out(old, move(scene))
    with without(Defence.LONGEST_CHAIN):
        memory, _ = scene.after_grace()
    assert memory.belief.board == scene.dead.board.id


def test_a_place_that_lies_does_not_hide_the_one_that_does_not(scene: Scene) -> None:
    new = move(scene)
    thief = scene.dead.board.fork()
    thief.maker_set(signers=MakerKeys(name="thief").root)
    scene.hand_out(thief.maker_chain, new)
    memory, events = scene.after_grace()
    assert memory.belief.board == scene.next.board.id
    assert "no-way-out" in events


def test_two_histories_of_one_root_lead_nowhere_and_are_kept(scene: Scene) -> None:
    """Only keys of the root can make them; which one is the maker's, a person must say."""
    twin = scene.dead.board.fork()
    other = rename(twin, "the thief's")
    new = move(scene)
    scene.hand_out(other, new)
    memory, events = scene.after_grace()
    assert memory.state is State.FROZEN
    assert memory.belief.board == scene.dead.board.id
    assert "evidence" in events
    (evidence,) = scene.home.evidence.glob("maker-fork-*")
    assert {other[-1], new[-1]} <= set(cbor.decode(evidence.read_bytes())[2])  # type: ignore[index,arg-type]
