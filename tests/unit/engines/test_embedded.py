# SPDX-License-Identifier: Apache-2.0
"""The embedded engine: receipts for what is durable and published, and for nothing else."""

import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.engines.base import Engine, PublishedHead, Receipt
from fieldpost.engines.cosigner import LocalCosigner
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.operator_keys import OperatorKeys
from fieldpost.errors import Misconfigured, NotFound, Rejected, Unavailable
from fieldpost.records import map_keys
from fieldpost.records.board import Operator
from fieldpost.records.maker import Role
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import NoteSignature
from fieldpost.tlog.proof import verify_inclusion

WAIT_S = 60.0


class Clocks:
    """A wall clock and an uptime that tests move."""

    def __init__(self, wall: int) -> None:
        self.wall = wall
        self.up = 0.0


class Gate(LocalCosigner):
    """A quorum that answers when the gate is open."""

    def __init__(self, inner: LocalCosigner, opened: threading.Event) -> None:
        self._inner = inner
        self._opened = opened

    def cosign(self, checkpoint: Checkpoint, *, timestamp: int) -> tuple[NoteSignature, ...]:
        self._opened.wait(WAIT_S)
        return self._inner.cosign(checkpoint, timestamp=timestamp)


class Flaky(LocalCosigner):
    """A quorum that can be out of reach."""

    def __init__(self, inner: LocalCosigner) -> None:
        self._inner = inner
        self.is_down = False

    def cosign(self, checkpoint: Checkpoint, *, timestamp: int) -> tuple[NoteSignature, ...]:
        if self.is_down:
            raise Unavailable("the peers do not answer")
        return self._inner.cosign(checkpoint, timestamp=timestamp)


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    return BoardOnDisk(tmp_path / "data")


@pytest.fixture
def clocks(board: BoardOnDisk) -> Clocks:
    return Clocks(board.time)


@pytest.fixture
def engine(board: BoardOnDisk, clocks: Clocks) -> Iterator[EmbeddedEngine]:
    opened = open_engine(board, clocks)
    yield opened
    opened.close()


def open_engine(board: BoardOnDisk, clocks: Clocks, **options: object) -> EmbeddedEngine:
    return EmbeddedEngine(
        board.data,
        clock=lambda: clocks.wall,
        uptime=lambda: clocks.up,
        **options,  # type: ignore[arg-type]
    )


def accept(engine: Engine, board: BoardOnDisk, *posts: bytes) -> list[Receipt]:
    """Submit posts and wait for their receipts; the ledger in memory follows."""
    board.apply(posts)
    futures = [engine.submit(post) for post in posts]
    return [future.result(WAIT_S) for future in futures]


def lots(board: BoardOnDisk, count: int) -> list[bytes]:
    """A maker with a class, and `count` posts that need nothing of each other."""
    digests = [sha256(bytes([n])).digest() for n in range(count)]
    return [board.maker.lot_enrol(count=1, root=digest) for digest in digests]


def with_class(engine: Engine, board: BoardOnDisk) -> None:
    accept(engine, board, board.maker.registration())
    accept(engine, board, board.maker.class_set())


def test_a_post_is_published_before_its_receipt_is_given(
    engine: EmbeddedEngine, board: BoardOnDisk
) -> None:
    post = board.maker.registration()
    (receipt,) = accept(engine, board, post)
    assert receipt == Receipt(2, 4)
    head = engine.published()
    assert head.size == 4
    assert (board.data / "log" / "checkpoint").read_bytes() == head.note
    assert head.map.root == board.state.map.root
    assert engine.read_entry(2) == post
    verify_inclusion(
        leaf_hash=leaf_hash(post),
        index=2,
        size=4,
        root=head.checkpoint.root,
        path=engine.prove(2, 4),
    )


def test_posts_of_one_sender_keep_their_order(engine: EmbeddedEngine, board: BoardOnDisk) -> None:
    with_class(engine, board)
    posts = lots(board, 60)
    receipts = [future.result(WAIT_S) for future in [engine.submit(post) for post in posts]]
    indexes = [receipt.index for receipt in receipts]
    assert indexes == sorted(indexes)
    assert [engine.read_entry(index) for index in indexes] == posts


def test_the_same_bytes_give_the_same_receipt(
    engine: EmbeddedEngine, board: BoardOnDisk, clocks: Clocks
) -> None:
    with_class(engine, board)
    (post,) = lots(board, 1)
    first, second = engine.submit(post), engine.submit(post)
    receipt = first.result(WAIT_S)
    assert second.result(WAIT_S) == receipt
    size = engine.published().size
    assert engine.submit(post).result(WAIT_S) == receipt
    assert engine.find_receipt(sha256(post).digest()) == receipt
    assert engine.published().size == size
    engine.close()
    again = open_engine(board, clocks)
    assert again.submit(post).result(WAIT_S) == receipt
    assert again.published().size == size
    again.close()


def test_a_refused_post_gets_its_code_and_leaves_nothing(
    engine: EmbeddedEngine, board: BoardOnDisk
) -> None:
    size = engine.published().size
    with pytest.raises(Rejected) as refused:
        engine.submit(b"no post").result(WAIT_S)
    assert (refused.value.code, refused.value.name) == (1, "malformed")
    unknown = board.maker.post("no.such", "x", b"\xa0", board.maker.keys[Role.CARE])
    with pytest.raises(Rejected, match="unknown-kind"):
        engine.submit(unknown).result(WAIT_S)
    assert engine.published().size == size
    with pytest.raises(NotFound):
        engine.find_receipt(sha256(b"no post").digest())


def test_links_are_found_by_record(engine: EmbeddedEngine, board: BoardOnDisk) -> None:
    registration = board.maker.registration()
    accept(engine, board, registration)
    first = board.maker.class_set()
    accept(engine, board, first)
    second = board.maker.class_set(most_devices=7)
    accept(engine, board, second)
    class_key = map_keys.device_class(board.maker.class_id("tracker"))
    assert engine.links(map_keys.board(), -1, most_bytes=1 << 20) == [engine.read_entry(0)]
    assert engine.links(map_keys.maker(board.maker.id), -1, most_bytes=1 << 20) == [registration]
    assert engine.links(class_key, -1, most_bytes=1 << 20) == [first, second]
    assert engine.links(class_key, 0, most_bytes=1 << 20) == [second]
    assert engine.links(class_key, 1, most_bytes=1 << 20) == []
    assert engine.links(class_key, -1, most_bytes=len(first)) == [first]
    assert engine.links(class_key, -1, most_bytes=1) == [first]


def test_subscribers_see_every_published_head(engine: EmbeddedEngine, board: BoardOnDisk) -> None:
    seen: list[PublishedHead] = []

    def fail(head: PublishedHead) -> None:
        raise RuntimeError("a bug of a reader")

    engine.subscribe(fail)
    engine.subscribe(seen.append)
    with_class(engine, board)
    assert [head.size for head in seen] == [4, 6]
    assert seen[-1] is engine.published()


@pytest.mark.parametrize(("index", "size"), [(-1, 2), (2, 2), (0, 3)])
def test_nothing_unpublished_is_proved(engine: EmbeddedEngine, index: int, size: int) -> None:
    with pytest.raises(NotFound):
        engine.prove(index, size)


def test_an_unchanged_size_is_cosigned_again_when_the_epoch_is_over(
    engine: EmbeddedEngine, clocks: Clocks
) -> None:
    first = engine.published()
    assert engine.refresh(first.timestamp + 59) is first
    second = engine.refresh(first.timestamp + 60)
    assert second.checkpoint == first.checkpoint
    assert second.timestamp == first.timestamp + 60
    assert second.cosignatures != first.cosignatures


def test_a_full_queue_asks_to_come_back(board: BoardOnDisk, clocks: Clocks) -> None:
    opened = threading.Event()
    opened.set()

    def gate(keys: OperatorKeys, operator: Operator) -> Gate:
        return Gate(keys.local_cosigner(operator), opened)

    engine = open_engine(board, clocks, make_cosigner=gate, most_waiting=3)
    with_class(engine, board)
    opened.clear()
    posts = lots(board, 5)
    futures = [engine.submit(post) for post in posts]
    for future in futures[3:]:
        with pytest.raises(Unavailable) as full:
            future.result(WAIT_S)
        assert full.value.retry_after_s == 1
    opened.set()
    assert [future.result(WAIT_S).index for future in futures[:3]] == sorted(
        future.result(WAIT_S).index for future in futures[:3]
    )
    assert engine.submit(posts[3]).result(WAIT_S).index > futures[2].result(WAIT_S).index
    engine.close()


def test_closing_finishes_what_was_taken(board: BoardOnDisk, clocks: Clocks) -> None:
    engine = open_engine(board, clocks)
    with_class(engine, board)
    futures = [engine.submit(post) for post in lots(board, 100)]
    engine.close()
    receipts = [future.result(0) for future in futures]
    with pytest.raises(Unavailable):
        engine.submit(b"late").result(WAIT_S)
    engine.close()
    again = open_engine(board, clocks)
    assert again.published().size == max(receipt.size for receipt in receipts)
    again.close()


def test_two_processes_cannot_write_one_board(
    engine: EmbeddedEngine, board: BoardOnDisk, clocks: Clocks
) -> None:
    with pytest.raises(Misconfigured, match="in use"):
        open_engine(board, clocks)


def test_a_clock_that_jumped_stops_writing_until_told(
    engine: EmbeddedEngine, board: BoardOnDisk, clocks: Clocks
) -> None:
    clocks.wall += 90_000
    post = board.maker.registration()
    with pytest.raises(Unavailable, match="jumped"):
        engine.submit(post).result(WAIT_S)
    assert engine.published().size == 2
    engine.accept_clock()
    assert engine.submit(post).result(WAIT_S) == Receipt(2, 4)


def test_without_a_quorum_there_is_no_receipt_and_later_the_same_one(
    board: BoardOnDisk, clocks: Clocks
) -> None:
    made: list[Flaky] = []

    def flaky(keys: OperatorKeys, operator: Operator) -> Flaky:
        cosigner = Flaky(keys.local_cosigner(operator))
        cosigner.is_down = bool(made) and made[-1].is_down
        made.append(cosigner)
        return cosigner

    engine = open_engine(board, clocks, make_cosigner=flaky)
    made[-1].is_down = True
    post = board.maker.registration()
    with pytest.raises(Unavailable, match="peers"):
        engine.submit(post).result(WAIT_S)
    assert engine.published().size == 2
    with pytest.raises(NotFound):
        engine.find_receipt(sha256(post).digest())
    with pytest.raises(NotFound):
        engine.read_entry(2)
    for cosigner in made:
        cosigner.is_down = False
    assert engine.submit(post).result(WAIT_S) == Receipt(2, 4)
    assert engine.published().size == 4
    engine.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reading_thread_that_ended_ends_the_engine_and_keeps_nobody_waiting(
    board: BoardOnDisk, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> float:
        raise ZeroDivisionError

    engine = open_engine(board, clocks)
    engine.check_ready()
    monkeypatch.setattr("fieldpost.engines.pace.Pace.gather_s", broken)
    with pytest.raises(Unavailable, match="the engine stopped: restart the node"):
        engine.submit(b"a post").result(WAIT_S)
    engine.close()
    with pytest.raises(Unavailable, match="the engine stopped"):
        engine.check_ready()
