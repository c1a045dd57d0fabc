# SPDX-License-Identifier: Apache-2.0
"""A board that demands witnesses publishes a size when they cosigned it, and batches go on."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from fieldpost.engines import signed_heads
from fieldpost.engines.base import CommittedHead, Receipt
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.held_answers import HELD_S
from fieldpost.engines.publication import SHORT_S
from fieldpost.engines.published import TooFew
from fieldpost.errors import NotFound, Unavailable, Untrusted
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.cosignature import cosign, format_cosignature
from fieldpost.tlog.note import NoteSignature

WAIT_S = 60.0


class Demanding:
    """A board that needs one of two witnesses, its engine, and sizes as they are signed."""

    def __init__(self, data: Path) -> None:
        self.board = BoardOnDisk(data, witnesses=2, witnesses_needed=1)
        self.uptime = [0.0]
        self.signed: list[CommittedHead] = []
        self._more = threading.Condition()
        self.open()

    def open(self) -> None:
        self.engine = EmbeddedEngine(
            self.board.data, clock=lambda: self.board.time, uptime=lambda: self.uptime[0]
        )
        self.signed = [self.engine.committed()]
        self.engine.subscribe_committed(self._hear)

    def _hear(self, head: CommittedHead) -> None:
        with self._more:
            self.signed.append(head)
            self._more.notify_all()

    def post(self, entry: bytes) -> Future[Receipt]:
        """Send a post, and wait until the size that has it is signed."""
        size = self.board.state.size
        self.board.apply([entry])
        future = self.engine.submit(entry)
        with self._more:
            assert self._more.wait_for(
                lambda: self.signed[-1].checkpoint.size > size, timeout=WAIT_S
            )
        return future

    def line(self, head: CommittedHead, witness: int = 0, *, bad: bool = False) -> NoteSignature:
        actor = self.board.witnesses[witness]
        made = cosign(
            head.checkpoint,
            name=actor.key.name,
            signer=actor.signer,
            timestamp=self.board.time + bad,
        )
        good = format_cosignature(made, name=actor.key.name)
        if not bad:
            return good
        payload = (self.board.time).to_bytes(8, "big") + good.payload[8:]
        return NoteSignature(good.name, good.key_id, payload)

    def arrive(self, head: CommittedHead) -> int:
        size = head.checkpoint.size
        return self.engine.add_cosignatures(size, [self.line(head)]).size


@pytest.fixture
def demanding(tmp_path: Path) -> Iterator[Demanding]:
    made = Demanding(tmp_path / "data")
    yield made
    made.engine.close()


def test_nothing_is_published_before_a_witness_cosigned(demanding: Demanding) -> None:
    engine = demanding.engine
    with pytest.raises(Unavailable, match="0 of 1 witnesses"):
        engine.published()
    (head,) = demanding.signed
    assert demanding.arrive(head) == 2
    assert engine.published().size == 2
    assert [key.name for key in engine.published().witnesses] == ["witness0.test/witness"]


def test_posts_are_answered_when_their_size_is_published_and_not_before(
    demanding: Demanding,
) -> None:
    demanding.arrive(demanding.signed[0])
    first = demanding.post(demanding.board.maker.registration())
    second = demanding.post(demanding.board.maker.class_set())
    sizes = [head.checkpoint.size for head in demanding.signed]
    assert sizes[-2:] == [4, 6], "a batch does not wait for the one before to be published"
    assert not first.done()
    assert demanding.arrive(demanding.signed[-2]) == 4
    assert first.result(WAIT_S) == Receipt(2, 4)
    assert not second.done()
    assert demanding.arrive(demanding.signed[-1]) == 6
    assert second.result(WAIT_S) == Receipt(4, 6)


def test_a_line_over_the_newest_size_publishes_those_before_with_it(demanding: Demanding) -> None:
    first = demanding.post(demanding.board.maker.registration())
    second = demanding.post(demanding.board.maker.class_set())
    demanding.arrive(demanding.signed[-1])
    assert (first.result(WAIT_S).size, second.result(WAIT_S).size) == (4, 6)
    with pytest.raises(NotFound):
        demanding.arrive(demanding.signed[-2])


def test_a_bad_line_is_refused_and_publishes_nothing(demanding: Demanding) -> None:
    (head,) = demanding.signed
    with pytest.raises(Untrusted, match="bad-signature"):
        demanding.engine.add_cosignatures(2, [demanding.line(head, bad=True)])
    stranger = NoteSignature("stranger.test", b"\0\0\0\0", b"\1" * 72)
    with pytest.raises(TooFew):
        demanding.engine.add_cosignatures(2, [stranger])
    assert demanding.arrive(head) == 2


def test_after_a_restart_the_old_head_is_shown_and_the_new_size_is_asked_for_again(
    demanding: Demanding,
) -> None:
    demanding.arrive(demanding.signed[0])
    entry = demanding.board.maker.registration()
    waiting = demanding.post(entry)
    demanding.engine.close()
    with pytest.raises(Unavailable, match="not published"):
        waiting.result(WAIT_S)
    demanding.open()
    engine = demanding.engine
    assert engine.published().size == 2
    (head,) = demanding.signed
    assert head.checkpoint.size == 4
    again = engine.submit(entry)
    assert demanding.arrive(head) == 4
    assert again.result(WAIT_S) == Receipt(2, 4)


def test_too_many_waiting_sizes_stop_the_batches_until_one_is_published(
    demanding: Demanding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signed_heads, "MOST_SIGNED", 2)
    maker = demanding.board.maker
    demanding.post(maker.registration())
    entry = maker.class_set()
    demanding.board.apply([entry])
    stopped = demanding.engine.submit(entry)
    demanding.uptime[0] += SHORT_S + 1
    with pytest.raises(Unavailable, match="too few have cosigned"):
        demanding.engine.check_ready()
    assert not stopped.done()
    demanding.arrive(demanding.signed[-1])
    with demanding._more:
        assert demanding._more.wait_for(
            lambda: demanding.signed[-1].checkpoint.size == 6, timeout=WAIT_S
        )
    demanding.arrive(demanding.signed[-1])
    assert stopped.result(WAIT_S).size == 6
    demanding.engine.check_ready()


def test_who_waits_too_long_is_told_to_send_the_same_again(demanding: Demanding) -> None:
    waiting = demanding.post(demanding.board.maker.registration())
    demanding.uptime[0] += HELD_S + 1
    with pytest.raises(Unavailable, match="in the log and not published yet"):
        waiting.result(WAIT_S)
    assert demanding.engine.waiting == 0


def test_links_that_are_not_published_are_there_for_witnesses_alone(demanding: Demanding) -> None:
    engine = demanding.engine
    assert len(engine.committed_links(-1, most_bytes=100_000)) == 1
    with pytest.raises(Unavailable):
        engine.links(b"\0" * 32, -1, most_bytes=100_000)
