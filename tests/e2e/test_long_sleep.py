# SPDX-License-Identifier: Apache-2.0
"""Devices that slept through five links of maker and board each, by real processes."""

from pathlib import Path

import pytest

from tests.e2e.maker_cli import make_maker, running_node

pytestmark = pytest.mark.e2e

ROTATIONS = 5


def test_devices_follow_five_maker_links_and_five_board_links_and_update(tmp_path: Path) -> None:
    """To a release of two images; one over the network, one from a file. All old keys are gone."""
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
        update, images = tmp_path / "bulb.update", []
        for name in ("application", "radio"):
            (tmp_path / name).write_text(f"{name} 1.0")
            images += ["--component", f"{name}={tmp_path / name}"]
        maker.must("release", "publish", "bulb", *images, "--version", "1.0")
        maker.must("rollout", "set", "bulb", "--offer", "1=100%")
        maker.must("release", "export", "bulb", "--out", update)
        for words in (("once", "--home", online), ("apply", "--home", offline, update)):
            done = maker("agent", *words, "--json")
            assert done.code == 0, (done.out, done.err)
    for device in (online, offline):
        status = maker.must("agent", "status", "--home", device)
        assert status["sequence"] == 1
        names = [item["component"] for item in status["components"]]
        assert names == ["application", "radio"]
        files = sorted((device / "slots" / "current").glob("image*"))
        assert [path.read_text() for path in files] == ["application 1.0", "radio 1.0"]
