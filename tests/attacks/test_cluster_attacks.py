# SPDX-License-Identifier: Apache-2.0
"""What operators of one board may do to one another, and what each of them signs all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.engines.cometbft.wiping import wipe_replica
from fieldpost.errors import Misbehaviour, NotFound
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_cluster import Block, PaperCluster, PaperOperator
from tests.unit.engines.cometbft.signing import exchange, published, signed, until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PaperCluster]:
    made = PaperCluster(tmp_path)
    made.start()
    yield made
    made.close()


def decide_with_another_build(cluster: PaperCluster) -> PaperOperator:
    """A block of which the last operator's program makes something else; that operator."""
    block = cluster.decide(cluster.maker.registration())
    *right, wrong = cluster.operators
    agreed = {operator.take(block) for operator in right}
    assert agreed != {wrong.take(Block(block.txs, block.height, block.time + 1))}
    assert len(agreed) == 1
    return wrong


def test_an_operator_that_computes_another_board_signs_nothing_of_it(
    cluster: PaperCluster,
) -> None:
    """The next block has the others' hash in its header: CometBFT takes it to the others alone."""
    wrong = decide_with_another_build(cluster)
    block = cluster.decide()
    for operator in cluster.operators[:3]:
        operator.take(block)
    exchange(cluster, 4, [0, 1, 2])
    assert published(cluster.operators[0], 4).checkpoint.root != wrong.replica.root
    with pytest.raises(NotFound):
        wrong.publisher.note_of(4)


def test_control_signed_before_it_is_confirmed_another_board_is_evidence_against_its_operator(
    cluster: PaperCluster,
) -> None:
    with without(Defence.CONFIRMATION):
        wrong = decide_with_another_build(cluster)
        false = signed(wrong, 4)
        signed(cluster.operators[0], 4)
    with pytest.raises(Misbehaviour, match=r"another root at size 4 .* op3"):
        cluster.operators[0].publisher.add_note(4, false)


def test_two_of_four_operators_publish_nothing(cluster: PaperCluster) -> None:
    """Cut off from the others, or with two who hold back their signatures."""
    cluster.block(cluster.maker.registration())
    cluster.block()
    exchange(cluster, 4, [0, 1])
    for operator in cluster.operators[:2]:
        operator.publisher._show_newest()
        assert operator.publisher.heads is None


def test_control_without_the_quorum_two_of_four_publish(cluster: PaperCluster) -> None:
    with without(Defence.PUBLISHING_QUORUM):
        cluster.block(cluster.maker.registration())
        cluster.block()
        exchange(cluster, 4, [0, 1])
        assert len(published(cluster.operators[0], 4).cosignatures) < 3


def take_another_history(cluster: PaperCluster) -> PaperOperator:
    """An operator that signed size 4, lost its data, and is told otherwise by all the others."""
    cluster.block(cluster.maker.registration())
    cluster.block()
    victim = cluster.operators[0]
    signed(victim, 4)
    victim.crash()
    wipe_replica(victim.data)
    victim.start()
    for block in cluster.blocks:
        victim.take(Block(block.txs, block.height, block.time + 1))
    until(victim.publisher, lambda: 4 in victim.publisher._sizes)
    return victim


def test_a_wiped_operator_signs_no_second_history_whatever_the_others_tell_it(
    cluster: PaperCluster,
) -> None:
    victim = take_another_history(cluster)
    until(victim.publisher, lambda: victim.publisher.trouble is not None)
    with pytest.raises(NotFound):
        victim.publisher.note_of(4)
    assert victim.replica.root != cluster.operators[1].replica.root


def test_control_without_the_mark_beside_its_keys_it_signs_both(cluster: PaperCluster) -> None:
    with without(Defence.SIGNED_MARK):
        second = signed(take_another_history(cluster), 4)
    other = cluster.operators[1]
    signed(other, 4)
    with pytest.raises(Misbehaviour, match="op0"):
        other.publisher.add_note(4, second)
