# SPDX-License-Identifier: Apache-2.0
"""Processes killed at random moments of a fixed seed; `make chaos` does it for hours."""

from pathlib import Path

import pytest

from fieldpost.testing.paper_node import PaperNode
from tests.crash import agent_kills, node_kills

pytestmark = [pytest.mark.crash, pytest.mark.e2e]

SEED = 20


def test_a_node_killed_under_load_keeps_every_receipt_and_every_checkpoint(tmp_path: Path) -> None:
    """And no post is there twice, though whoever got no answer sent it again."""
    said: list[str] = []
    campaign = node_kills.Campaign(tmp_path / "node", seed=SEED, say=said.append)
    for _ in range(2):
        campaign.round()
    campaign.finish()
    assert len(said) == 2
    assert len(campaign.told.receipts) >= 2 * node_kills.LEAST_ACKNOWLEDGED


def test_a_device_killed_in_its_update_boots_and_is_updated_in_the_end(tmp_path: Path) -> None:
    said: list[str] = []
    with PaperNode(agent_kills.board_of_today()) as node:
        campaign = agent_kills.Campaign(tmp_path, node, seed=SEED, say=said.append)
        campaign.update(kills=4)
    assert said[0].startswith("killed in ")
