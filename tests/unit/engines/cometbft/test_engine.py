# SPDX-License-Identifier: Apache-2.0
"""A replicated board of one operator, whose blocks the test decides: what senders are told."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldpost.engines.base import Receipt
from fieldpost.engines.cometbft import outstanding
from fieldpost.engines.cometbft.engine import CometEngine
from fieldpost.engines.cometbft.snapshots import Snapshots
from fieldpost.engines.cometbft.transactions import decode_bundle, encode_bundle
from fieldpost.errors import NotFound, Rejected, Unavailable
from fieldpost.node.replicated import fetch_log
from fieldpost.testing.paper_cluster import PaperCluster
from fieldpost.testing.paper_ordering import PaperOrdering

WAIT_S = 60.0


class Line:
    """One operator, its ordering, a maker, and a clock that stands still unless a test moves it."""

    def __init__(self, folder: Path) -> None:
        self.cluster = PaperCluster(folder, operators=1)
        self.uptime = 0.0
        self.orderings: list[PaperOrdering] = []
        self.engine = self.open()

    def open(self) -> CometEngine:
        def make(path: Path) -> PaperOrdering:
            self.orderings.append(PaperOrdering(path))
            return self.orderings[-1]

        return CometEngine(
            self.cluster.operators[0].data,
            genesis=self.cluster.genesis,
            make_ordering=make,
            clock=lambda: self.cluster.time,
            uptime=lambda: self.uptime,
            fetch_log=fetch_log,
            snapshots=Snapshots(every=100),
        )

    @property
    def ordering(self) -> PaperOrdering:
        return self.orderings[-1]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for the engine's thread: its publisher's condition hears of most changes."""
        wake = self.engine.publisher._wake
        with wake:
            # A wait of its own each time: most changes are not all of them.
            came = any(wake.wait_for(condition, 0.05) for _ in range(int(20 * WAIT_S)))
        assert came, "the engine never came to that"

    def wait_sent(self) -> list[bytes]:
        self.until(lambda: bool(self.ordering.mempool))
        return list(self.ordering.mempool)

    def block(self, *txs: bytes) -> None:
        self.cluster.time += 1
        self.ordering.block(*txs, time=self.cluster.time)

    def settle(self) -> None:
        """A block with all that was sent, and the one that confirms it."""
        self.block(*self.wait_sent())
        self.block()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    made.block()
    made.until(lambda: made.engine.publisher.heads is not None)
    yield made
    made.engine.close()


def test_a_receipt_comes_once_the_post_is_published_and_not_before(line: Line) -> None:
    future = line.engine.submit(line.cluster.maker.registration())
    (tx,) = line.wait_sent()
    assert len(decode_bundle(tx)) == 1
    line.block(tx)
    with pytest.raises(TimeoutError):
        future.result(0)
    line.block()
    assert future.result(WAIT_S) == Receipt(2, 4)
    assert line.engine.published().size == 4
    assert line.engine.waiting == 0


def test_posts_of_one_request_come_in_one_bundle_and_are_answered_together(line: Line) -> None:
    posts = [line.cluster.maker.registration(), b"no post"]
    heard: list[object] = []
    line.engine.submit_many(posts, heard.append)
    (tx,) = line.wait_sent()
    assert decode_bundle(tx) == (posts[0],)
    line.block(tx)
    line.block()
    line.until(lambda: bool(heard))
    (answers,) = heard
    assert isinstance(answers, list)
    assert answers[0] == Receipt(2, 4)
    assert isinstance(answers[1], Rejected)


def test_the_same_bytes_again_give_the_same_receipt_and_no_second_entry(line: Line) -> None:
    post = line.cluster.maker.registration()
    first = line.engine.submit(post)
    line.settle()
    again = line.engine.submit(post)
    assert first.result(WAIT_S) == again.result(WAIT_S) == Receipt(2, 4)
    assert line.ordering.mempool == []


def test_a_post_that_another_operator_sent_too_is_answered_by_its_first_place(line: Line) -> None:
    post = line.cluster.maker.registration()
    future = line.engine.submit(post)
    (tx,) = line.wait_sent()
    line.block(encode_bundle([post, post]), tx)
    line.block()
    assert future.result(WAIT_S) == Receipt(2, 4)
    assert line.engine.published().size == 4


def test_what_the_rules_refuse_is_said_when_the_block_is_durable(line: Line) -> None:
    line.engine.submit(line.cluster.maker.registration())
    line.settle()
    nonce_again = line.cluster.maker.registration()
    future = line.engine.submit(nonce_again[:-1] + bytes([nonce_again[-1] ^ 1]))
    with pytest.raises(Rejected):
        future.result(WAIT_S)
    assert line.ordering.mempool == []


def test_a_mempool_that_takes_nothing_is_said_at_once_and_loses_nothing(line: Line) -> None:
    line.ordering.refuses = Unavailable("mempool is full", 1)
    post = line.cluster.maker.registration()
    with pytest.raises(Unavailable, match="full"):
        line.engine.submit(post).result(WAIT_S)
    line.ordering.refuses = None
    future = line.engine.submit(post)
    line.settle()
    assert future.result(WAIT_S) == Receipt(2, 4)


def test_a_post_that_no_block_takes_is_sent_again_and_then_given_up(line: Line) -> None:
    future = line.engine.submit(line.cluster.maker.registration())
    (tx,) = line.wait_sent()
    line.ordering.mempool.clear()
    line.uptime += outstanding.SEND_AGAIN_S
    assert line.wait_sent() == [tx]
    line.uptime += outstanding.GIVE_UP_S
    with pytest.raises(Unavailable, match="was not ordered"):
        future.result(WAIT_S)
    line.block(tx)
    line.block()
    assert line.engine.submit(decode_bundle(tx)[0]).result(WAIT_S) == Receipt(2, 4)


def test_a_failure_at_commit_opens_the_replica_again_and_replays(line: Line) -> None:
    future = line.engine.submit(line.cluster.maker.registration())
    (tx,) = line.wait_sent()
    line.engine._replica.db.close()  # a disk that fails
    with pytest.raises(AssertionError):
        line.block(tx)
    line.until(lambda: line.ordering.starts == 2)
    assert line.ordering.ask(info={"abci_version": "2.0.0"}).last_block_height == 1
    line.ordering.height = 1
    line.cluster.time -= 1  # the same block comes again
    line.block(tx)
    line.block()
    assert future.result(WAIT_S) == Receipt(2, 4)
    line.engine.check_ready()


def test_a_log_that_the_blocks_contradict_stops_the_node_for_good(line: Line) -> None:
    line.engine.submit(line.cluster.maker.registration())
    line.settle()
    line.until(lambda: line.engine.published().size == 4)
    line.engine.close()
    data = line.cluster.operators[0].data
    for path in data.glob("state.db*"):
        path.unlink()
    line.engine = line.open()
    line.ordering.height = 0
    with pytest.raises(AssertionError, match="other entries"):
        line.block(*[encode_bundle([line.cluster.maker.registration(name="another")])])


def test_whoever_waits_when_the_node_stops_is_told_to_ask_again(line: Line) -> None:
    future = line.engine.submit(line.cluster.maker.registration())
    line.wait_sent()
    line.engine.close()
    with pytest.raises(Unavailable, match="stopping"):
        future.result(WAIT_S)


@pytest.mark.parametrize(
    ("kind", "event"), [(1, "validator-key-doubled"), (2, "validator-misbehaved")]
)
def test_what_a_block_proves_of_a_validator_is_told(
    line: Line, caplog: pytest.LogCaptureFixture, kind: int, event: str
) -> None:
    line.ordering.height += 1
    line.ordering.ask(
        finalize_block={
            "height": line.ordering.height,
            "time": {"seconds": line.cluster.time},
            "misbehavior": [{"type": kind, "validator": {"address": b"\xaa" * 20}, "height": 1}],
        }
    )
    assert f"{event} validator={'AA' * 20} height=1" in caplog.text


def test_reads_are_of_what_is_published_alone(line: Line) -> None:
    post = line.cluster.maker.registration()
    line.engine.submit(post)
    line.block(*line.wait_sent())
    with pytest.raises(NotFound):
        line.engine.read_entry(2)
    line.block()
    line.until(lambda: line.engine.published().size == 4)
    assert line.engine.read_entry(2) == post
    assert len(line.engine.prove(2, 4)) == 2
    with pytest.raises(NotFound):
        line.engine.prove(2, 5)


def test_a_node_without_a_published_head_says_so(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with pytest.raises(Unavailable, match="no published head yet"):
        line.engine.published()
    with pytest.raises(Unavailable):
        line.engine.check_ready()
    line.engine.close()


def test_a_post_is_refused_at_once_where_cometbft_is_known_not_to_take_it(line: Line) -> None:
    line.ordering.trouble = "CometBFT fetches blocks that it missed"
    future = line.engine.submit(line.cluster.maker.registration())
    with pytest.raises(Unavailable, match="blocks that it missed") as caught:
        future.result(WAIT_S)
    assert caught.value.retry_after_s
    assert line.ordering.mempool == []
    assert line.engine.published().size == 2
    line.ordering.trouble = None
    line.engine.submit(line.cluster.maker.registration())
    line.wait_sent()


def test_trouble_of_cometbft_is_said(line: Line) -> None:
    line.engine.check_ready()
    line.ordering.trouble = "CometBFT is not running"
    with pytest.raises(Unavailable, match="not running"):
        line.engine.check_ready()
