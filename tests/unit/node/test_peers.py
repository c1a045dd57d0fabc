# SPDX-License-Identifier: Apache-2.0
"""Other operators asked over HTTP for what they signed: their lines are taken, a fork is kept."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from typing import ClassVar

import pytest

from fieldpost.checkin.evidence import decode_evidence, verify_evidence
from fieldpost.errors import Misbehaviour
from fieldpost.ledger.reading import read_board
from fieldpost.node.peer_evidence import PeerEvidence
from fieldpost.node.peers import Peers
from fieldpost.testing.liar_members import Members
from fieldpost.testing.paper_cluster import PaperCluster
from fieldpost.tlog.treehead import Checkpoint
from tests.attacks.test_lying_source_attacks import serving
from tests.unit.engines.cometbft.signing import WAIT_S, exchange, published, signed

SIZE = 4


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PaperCluster]:
    """Three of four have exchanged what they signed over the newest size, and published it."""
    made = PaperCluster(tmp_path)
    made.start()
    made.block(made.maker.registration())
    made.block()
    exchange(made, SIZE, [0, 1, 2])
    published(made.operators[0], SIZE)
    yield made
    made.close()


def fork_of(cluster: PaperCluster) -> bytes:
    """What the last operator signs besides: another root at the same size."""
    record = read_board(cluster.state.map)
    liar = Members.load([cluster.operators[3].data], record)
    head = Checkpoint(record.origin, SIZE, bytes(32))
    return liar.note(head, liar.cosign(head, at=cluster.time))


def showing(note: bytes) -> type[BaseHTTPRequestHandler]:
    """A node that has this note over the newest size, and nothing else."""

    class Node(BaseHTTPRequestHandler):
        shown: ClassVar[bytes] = note

        def do_GET(self) -> None:
            found = self.path.partition("?")[0] == f"/v1/cosignatures/{SIZE}"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(self.shown) if found else 0))
            self.end_headers()
            if found:
                self.wfile.write(self.shown)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    return Node


@contextmanager
def asking(
    cluster: PaperCluster, url: str, keep: Callable[[str, Misbehaviour], None]
) -> Iterator[None]:
    """The first operator's node, which asks the last one at `url` and the others nowhere."""
    record = read_board(cluster.state.map)
    named = [replace(one, urls=(url,) if one.name == "op3" else ()) for one in record.operators]
    peers = Peers(
        cluster.operators[0].publisher,
        record=lambda: replace(record, operators=tuple(named)),
        own=lambda _: "op0",
        keep_evidence=keep,
    )
    try:
        yield
    finally:
        peers.close()


def test_a_peers_fork_is_kept_as_evidence_that_names_it_and_nothing_of_it_is_taken(
    cluster: PaperCluster, tmp_path: Path
) -> None:
    first = cluster.operators[0]
    folder = PeerEvidence(first.data, cluster.state.board)
    came = Event()

    def keep(peer: str, fork: Misbehaviour) -> None:
        folder.keep(peer, fork)
        came.set()

    with serving(showing(fork_of(cluster))) as url, asking(cluster, url, keep):
        assert came.wait(WAIT_S)
    (file,) = (first.data / "evidence").iterdir()
    proven = verify_evidence(
        decode_evidence(file.read_bytes()), links=[first.replica.log.read_entry(0)]
    )
    assert [{one.name for one in both} for both in (proven.signed_first, proven.signed_second)] in (
        [{"op0", "op1", "op2"}, {"op3"}],
        [{"op3"}, {"op0", "op1", "op2"}],
    )
    assert len(published(first, SIZE).cosignatures) == 3


def test_a_fork_of_one_who_signed_the_true_head_too_names_its_author(
    cluster: PaperCluster,
) -> None:
    first = cluster.operators[0]
    first.publisher.add_note(SIZE, signed(cluster.operators[3], SIZE))
    with pytest.raises(Misbehaviour) as fork:
        first.publisher.add_note(SIZE, fork_of(cluster))
    folder = PeerEvidence(first.data, cluster.state.board)
    folder.keep("op3", fork.value)
    folder.keep("op3", fork.value)
    (file,) = (first.data / "evidence").iterdir()
    proven = verify_evidence(
        decode_evidence(file.read_bytes()), links=[first.replica.log.read_entry(0)]
    )
    assert {author.name for author in proven.authors} == {"op3"}


def test_control_the_line_of_an_honest_peer_is_taken_and_nothing_is_kept(
    cluster: PaperCluster,
) -> None:
    first = cluster.operators[0]
    kept: list[str] = []
    with (
        serving(showing(signed(cluster.operators[3], SIZE))) as url,
        asking(cluster, url, lambda peer, _: kept.append(peer)),
    ):
        publisher = first.publisher
        with publisher._wake:
            assert publisher._wake.wait_for(
                lambda: (
                    publisher.heads is not None and len(publisher.heads.newest.cosignatures) == 4
                ),
                WAIT_S,
            )
    assert kept == []
    assert not (first.data / "evidence").exists()
