# SPDX-License-Identifier: Apache-2.0
"""Witnesses that lie to the nodes that ask them, or hold them up.

Afterwards the node has published with the honest witness alone, says what the other one did, and
its checkpoint has nothing of it. The control is a node that verifies no line: what it publishes is
refused by everybody.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from fieldpost.errors import Untrusted
from fieldpost.testing.defences import Defence, without
from fieldpost.tlog.checkpoint import open_checkpoint
from tests.unit.node.watched_node import Watched, spoil, states, until


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


LIES: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("refuses", spoil),
    ("refuses", lambda lines: lines.replace(b"w0.test", b"w1.test")),
    ("unreachable", lambda _: b"I cosign everything\n"),
    ("unreachable", lambda _: b""),
    ("unreachable", lambda lines: lines * 400),
]


@pytest.mark.parametrize(("word", "lie"), LIES)
def test_a_witness_that_lies_changes_nothing_and_is_shown(
    tmp_path: Path, stack: ExitStack, word: str, lie: Callable[[bytes], bytes]
) -> None:
    watched = Watched(tmp_path, stack, count=2, needed=1)
    watched.serve(0)
    honest = watched.serve(1)
    watched.relays[0].alter = lambda path, body: lie(body) if "add-checkpoint" in path else body
    node = watched.node()
    world = node.world()
    node.post(world, world.maker.registration())
    until(lambda: states(node) == {"w0.test": word, "w1.test": "cosigns"})
    note = node.http.fetch("/log/checkpoint")
    (only,) = open_checkpoint(note, honest.keys)[1]
    assert only.key.name == "w1.test"
    assert b"w0.test" not in note


def test_control_without_verifying_lines_a_lie_spoils_the_checkpoint(
    tmp_path: Path, stack: ExitStack
) -> None:
    watched = Watched(tmp_path, stack, count=1, needed=1)
    liar = watched.serve(0)
    watched.relays[0].alter = lambda path, body: spoil(body) if "add-checkpoint" in path else body
    stack.enter_context(without(Defence.WITNESS_LINES, Defence.PUBLISHED_LINES))
    node = watched.node()
    with pytest.raises(Untrusted, match="bad-signature"):
        open_checkpoint(node.http.fetch("/log/checkpoint"), liar.keys)


def test_a_witness_that_never_answers_holds_up_nobody(tmp_path: Path, stack: ExitStack) -> None:
    watched = Watched(tmp_path, stack, count=2, needed=1)
    watched.serve(0)
    watched.serve(1)
    watched.relays[0].hold = lambda path: 0 if "add-checkpoint" in path else None
    node = watched.node()
    world = node.world()
    for post in (world.maker.registration, world.maker.class_set):
        node.post(world, post())
    assert watched.relays[0].held.wait(60), "it was asked, and is waited for"
    assert node.log().advance().size == 6
    until(lambda: states(node)["w1.test"] == "cosigns")
    assert states(node)["w0.test"] != "cosigns"
    watched.relays[0].resume.set()
