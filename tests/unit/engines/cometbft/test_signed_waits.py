# SPDX-License-Identifier: Apache-2.0
"""Peers wait for a signature that is about to be made, instead of asking again and again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.engines.cometbft.signed_waits import MOST_WAITING, SignedWaits
from fieldpost.node.api.cosignatures import until_signed
from fieldpost.testing.paper_cluster import PaperCluster

SOON_S = 60.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PaperCluster]:
    made = PaperCluster(tmp_path)
    made.start()
    yield made
    made.close()


def test_whoever_waits_is_called_once_when_the_size_or_a_larger_one_is_signed() -> None:
    waits, called = SignedWaits(), []
    waits.add(4, lambda: called.append(4))
    waits.add(6, lambda: called.append(6))
    waits.signed(2)
    assert called == []
    waits.signed(5)
    waits.signed(5)
    assert called == [4]
    waits.add(5, lambda: called.append(5))
    assert called == [4, 5]


def test_a_call_that_was_taken_back_is_not_made() -> None:
    waits, called = SignedWaits(), []
    forget = waits.add(4, lambda: called.append(4))
    forget()
    forget()
    waits.signed(4)
    assert called == []


def test_one_too_many_is_answered_at_once_and_the_others_go_on_waiting() -> None:
    waits, called = SignedWaits(), []
    forgets = [waits.add(4, lambda n=n: called.append(n)) for n in range(MOST_WAITING)]  # type: ignore[misc]
    waits.add(4, lambda: called.append("too many"))
    assert called == ["too many"]
    forgets[0]()
    waits.add(4, lambda: called.append("in its place"))
    waits.signed(4)
    assert called == ["too many", *range(1, MOST_WAITING), "in its place"]


def test_a_request_that_waits_is_answered_by_the_signature(cluster: PaperCluster) -> None:
    publisher = cluster.operators[0].publisher

    async def ask() -> bytes:
        asked = asyncio.create_task(until_signed(publisher.waits.add, 4, SOON_S))
        await asyncio.to_thread(cluster.block, cluster.maker.registration())
        assert not asked.done()  # nothing confirms size 4 before the next block
        await asyncio.to_thread(cluster.block)
        await asked
        return publisher.note_of(4)

    assert b"\n4\n" in asyncio.run(ask())


def test_a_request_that_nothing_answers_ends_and_waits_no_more(cluster: PaperCluster) -> None:
    waits = cluster.operators[0].publisher.waits
    asyncio.run(until_signed(waits.add, 1_000, 0.01))
    assert not waits._waiting
