# SPDX-License-Identifier: Apache-2.0
"""Waiting for what operators of a `PaperCluster` sign and publish, on threads of their own."""

from collections.abc import Callable

from fieldpost.engines.base import PublishedHead
from fieldpost.engines.cometbft.publishing import Publisher
from fieldpost.testing.paper_cluster import PaperCluster, PaperOperator

WAIT_S = 60.0


def until(publisher: Publisher, condition: Callable[[], bool]) -> None:
    """Wait until the publisher's thread has come so far."""
    wake = publisher._wake
    with wake:
        assert wake.wait_for(condition, WAIT_S)


def signed(operator: PaperOperator, size: int) -> bytes:
    """What one operator signed over a size, once it did."""
    publisher = operator.publisher

    def is_signed() -> bool:
        one = publisher._sizes.get(size)
        return one is not None and one.own > 0

    until(publisher, is_signed)
    return publisher.note_of(size)


def exchange(cluster: PaperCluster, size: int, among: list[int]) -> None:
    """Each of these operators takes what each other signed."""
    notes = {n: signed(cluster.operators[n], size) for n in among}
    for n in among:
        for m in among:
            if n != m:
                cluster.operators[n].publisher.add_note(size, notes[m])


def published(operator: PaperOperator, size: int) -> PublishedHead:
    publisher = operator.publisher
    until(publisher, lambda: publisher.heads is not None and publisher.heads.newest.size >= size)
    assert publisher.heads is not None
    return publisher.heads.newest
