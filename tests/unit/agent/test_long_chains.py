# SPDX-License-Identifier: Apache-2.0
"""A device that slept through more links than one answer holds."""

from collections.abc import Iterator

import pytest

from fieldpost.agent.board import BoardReader, Standpoint
from fieldpost.checkin.belief import believe
from fieldpost.checkin.chains import LEAST_PART_BYTES
from fieldpost.checkin.verify import Verified
from fieldpost.client.sources import Sources
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_keys import MakerKeys
from fieldpost.testing.paper_node import PaperNode

LINKS = 150
PARTS = 2


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard(maker=MakerKeys(roots=1, root_threshold=1))) as running:
        running.part_bytes = LEAST_PART_BYTES + 1_024
        yield running


def check_in(node: PaperNode, device: bytes) -> Verified:
    belief, record = believe(device)
    sources = Sources([node.url])
    try:
        return BoardReader(sources).check_in(
            Standpoint(
                belief=belief,
                now=node.board.time,
                least_time=record.least_time,
                algorithms=frozenset(Algorithm),
            ),
            class_id=record.class_id,
            channel="stable",
            is_fresh=lambda _: True,
        )
    finally:
        sources.close()


def test_a_device_follows_a_chain_that_comes_in_parts(node: PaperNode) -> None:
    device = node.board.provisioning()
    for number in range(LINKS):
        node.board.maker_set(contact=f"{number} ".ljust(256, "x"))
    verified = check_in(node, device)
    assert verified.belief.maker_view().epoch == LINKS
    assert node.parts == PARTS


def test_a_chain_that_leads_elsewhere_is_not_fetched_for_ever(node: PaperNode) -> None:
    """The answer after the last true link is short: the device asks no more, and refuses."""
    device = node.board.provisioning()
    node.board.maker_set(contact="me")
    node.board.maker_chain.pop()
    node.board.maker_chain.append(node.board.maker_chain[0])
    with pytest.raises(Untrusted):
        check_in(node, device)
    assert node.parts == 1


def test_a_false_link_in_a_part_ends_the_search(node: PaperNode) -> None:
    device = node.board.provisioning()
    for number in range(LINKS):
        node.board.maker_set(contact=f"{number} ".ljust(256, "x"))
    node.board.maker_chain[3] = node.board.maker_chain[4]
    with pytest.raises(Untrusted, match="bad-link"):
        check_in(node, device)
    assert node.parts == 1
