# SPDX-License-Identifier: Apache-2.0
"""Devices that slept through five links of maker and board each, by real processes."""

from pathlib import Path

import pytest

from tests.e2e.maker_cli import make_maker, running_node

pytestmark = pytest.mark.e2e

ROTATIONS = 5


def test_devices_follow_five_maker_links_and_five_board_links_and_update(tmp_path: Path) -> None:
    """One over the network, one from a file; every key that they knew is gone."""
    node, online, offline = tmp_path / "node", tmp_path / "online", tmp_path / "offline"
    with running_node(node) as url:
        maker = make_maker(tmp_path / "maker", url)
        trust = tmp_path / "bulb.provisioning"
        maker.must("class", "trust", "bulb", "--out", trust)
        for device in (online, offline):
            enrol = ("agent", "enrol", "--home", device, "--provisioning", trust)
            maker.must(*enrol, "--serial", device.name)
        desk = ("--data", node, "--board", url)
        for _ in range(ROTATIONS):
            maker.must("maker", "rotate-keys", "--role", "all", "--no-passphrase")
            maker.must("operator", "rotate-keys", "--key", "all", *desk)
        image, update = tmp_path / "1.0.bin", tmp_path / "bulb.update"
        image.write_text("image 1.0")
        maker.must("release", "publish", "bulb", image, "--version", "1.0")
        maker.must("rollout", "set", "bulb", "--offer", "1=100%")
        maker.must("release", "export", "bulb", "--out", update)
        for words in (("once", "--home", online), ("apply", "--home", offline, update)):
            done = maker("agent", *words, "--json")
            assert done.code == 0, (done.out, done.err)
    for device in (online, offline):
        status = maker.must("agent", "status", "--home", device)
        assert status["sequence"] == 1
        assert (device / "slots" / "current" / "image").read_text() == "image 1.0"
