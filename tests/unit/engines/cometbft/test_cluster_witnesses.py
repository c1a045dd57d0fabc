# SPDX-License-Identifier: Apache-2.0
"""A replicated board that demands a witness: it is asked after the operators' quorum."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.engines.cometbft.witnessed import Witnessed
from fieldpost.engines.published import TooFew
from fieldpost.errors import NotFound, Unavailable, Untrusted
from fieldpost.testing.paper_cluster import PaperCluster
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.cosignature import cosign, format_cosignature
from fieldpost.tlog.note import NoteSignature
from tests.unit.engines.cometbft.signing import exchange, published, signed, until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PaperCluster]:
    made = PaperCluster(tmp_path, witnesses=1)
    made.start()
    yield made
    made.close()


def line(cluster: PaperCluster, checkpoint: Checkpoint) -> NoteSignature:
    witness = cluster.witnesses[0]
    made = cosign(checkpoint, name=witness.key.name, signer=witness.signer, timestamp=cluster.time)
    return format_cosignature(made, name=witness.key.name)


def test_operators_alone_publish_nothing_and_the_witnesss_line_does(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block()
    one = cluster.operators[0]
    cosignable = Witnessed(one.publisher, lambda: one.replica)
    told: list[int] = []
    cosignable.subscribe_committed(lambda head: told.append(head.checkpoint.size))
    signed(one, 4)
    with pytest.raises(Unavailable, match="quorum"):
        cosignable.committed()
    exchange(cluster, 4, [0, 1, 2])
    until(one.publisher, lambda: 4 in told)
    head = cosignable.committed()
    assert head.checkpoint.size == 4
    assert one.publisher.heads is None
    assert len(cosignable.committed_links(-1, most_bytes=100_000)) == 1
    stranger = NoteSignature("stranger", b"\0\0\0\0", b"\1" * 72)
    bad = line(cluster, Checkpoint(head.checkpoint.origin, 4, b"\x07" * 32))
    with pytest.raises(Untrusted, match="bad-signature"):
        cosignable.add_cosignatures(4, [bad])
    with pytest.raises(TooFew):
        cosignable.add_cosignatures(4, [stranger])
    with pytest.raises(NotFound):
        cosignable.add_cosignatures(100, [bad])
    cosignable.add_cosignatures(4, [stranger, line(cluster, head.checkpoint)])
    assert [key.name for key in published(one, 4).witnesses] == [cluster.witnesses[0].key.name]


def test_a_witness_asked_by_one_operator_publishes_at_the_others_too(
    cluster: PaperCluster,
) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1, 2])
    one, last = cluster.operators[0], cluster.operators[3]
    cosignable = Witnessed(one.publisher, lambda: one.replica)
    cosignable.add_cosignatures(4, [line(cluster, cosignable.committed().checkpoint)])
    signed(last, 4)
    last.publisher.add_note(4, one.publisher.note_of(4))
    assert published(last, 4).witnesses
