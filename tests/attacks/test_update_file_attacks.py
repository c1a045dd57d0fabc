# SPDX-License-Identifier: Apache-2.0
"""Updates in one file, carried by somebody who may have done anything with it.

A whole agent without network; each test ends with what it runs, and a control without the defence.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.agent.offline import OfflineUpdate
from fieldpost.checkin.offline_bundle import OfflineBundle, encode_offline_bundle
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_node import PaperNode
from tests.attacks.paper_agent import AgentOnPaper
from tests.attacks.paper_device import DAY

NEW, EVIL = b"the image of release 2", b"EVIL image of nobody's"


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard(operators=4)) as running:
        yield running


def export(node: PaperNode, path: Path, **more: bytes) -> Path:
    """Release 2 as the board offers it now, in one file."""
    envelope = node.board.envelope(2, image=NEW, more=more)
    bundle = OfflineBundle(
        check_in=node.board.bundle(),
        board_links=tuple(node.board.board_chain),
        maker_links=tuple(node.board.maker_chain),
        envelope=envelope.encode(),
        release_proof=None,
    )
    artifacts = [(len(data), [data]) for data in (NEW, *more.values())]
    path.write_bytes(b"".join(encode_offline_bundle(bundle, artifacts)))
    return path


def test_an_image_exchanged_after_the_file_was_read_is_not_installed(
    tmp_path: Path, node: PaperNode
) -> None:
    """The medium is somebody else's computer: it may give other bytes the second time."""
    agent = AgentOnPaper(tmp_path, node)
    node.publish(2, NEW)
    path = export(node, tmp_path / "stick")
    update = OfflineUpdate.open(path)
    path.write_bytes(path.read_bytes().replace(NEW, EVIL))
    assert agent.live(update=update) == "notfound"
    assert agent.runs() == (1, agent.old)
    with without(Defence.FILE_BYTES, Defence.IMAGE):
        agent.live(update=update)
    assert agent.runs() == (2, EVIL)


def test_an_older_file_does_not_take_a_device_back(tmp_path: Path, node: PaperNode) -> None:
    agent = AgentOnPaper(tmp_path, node)
    node.publish(2, NEW)
    old = export(node, tmp_path / "stick")
    node.publish(3, b"the image of release 3")
    assert agent.live() == ""
    assert agent.live(update=OfflineUpdate.open(old)) == "not-newer"
    assert agent.runs() == (3, b"the image of release 3")
    with without(Defence.SIZE, Defence.NEWER_OFFER):
        agent.live(update=OfflineUpdate.open(old))
    assert agent.runs()[1] == NEW


def test_a_file_that_lay_in_a_drawer_installs_nothing(tmp_path: Path, node: PaperNode) -> None:
    """Whoever keeps an update back until its hole is known hands nobody that hole."""
    agent = AgentOnPaper(tmp_path, node)
    node.publish(2, NEW)
    update = OfflineUpdate.open(export(node, tmp_path / "stick"))
    agent.clock.now += 60 * DAY
    assert agent.live(update=update) == "stale"
    assert agent.runs() == (1, agent.old)
    with without(Defence.STALENESS, Defence.AGE):
        agent.live(update=update)
    assert agent.runs() == (2, NEW)


def test_no_name_in_a_file_becomes_a_path(tmp_path: Path, node: PaperNode) -> None:
    """A component called as a way out of the slot, and an absolute one."""
    agent = AgentOnPaper(tmp_path, node)
    more = {"../../../evil": b"out of the slot", "/tmp/evil": b"anywhere"}  # noqa: S108
    node.publish(2, NEW, **more)
    before = {path for path in tmp_path.rglob("*") if agent.home.root not in path.parents}
    update = OfflineUpdate.open(export(node, tmp_path / "stick", **more))
    assert agent.live(update=update) == ""
    assert agent.images() == [NEW, b"out of the slot", b"anywhere"]
    names = {path.name for path in (agent.home.slots / "b").iterdir()}
    assert names == {"image", "image-1", "image-2", "slot.cbor"}
    after = {path for path in tmp_path.rglob("*") if agent.home.root not in path.parents}
    assert after == before | {tmp_path / "stick"}
