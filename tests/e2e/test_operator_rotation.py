# SPDX-License-Identifier: Apache-2.0
"""An operator replaces every key of a node that runs: makers, devices and auditors follow."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.maker_cli import Maker, make_maker, running_node

pytestmark = pytest.mark.e2e


def publish(maker: Maker, root: Path, version: str) -> None:
    image = root / f"{version}.bin"
    image.write_text(f"image {version}")
    maker.must("release", "publish", "bulb", image, "--version", version)


def test_keys_are_rotated_beside_a_running_node(tmp_path: Path) -> None:
    node, device = tmp_path / "node", tmp_path / "device"
    with running_node(node) as url:
        maker = make_maker(tmp_path / "maker", url)
        publish(maker, tmp_path, "1.0")
        maker.must("rollout", "set", "bulb", "--offer", "1=100%")
        trust = tmp_path / "bulb.provisioning"
        maker.must("class", "trust", "bulb", "--out", trust)
        enrol = ("agent", "enrol", "--home", device, "--provisioning", trust)
        maker.must(*enrol, "--serial", "SN1")
        shutil.copytree(node / "keys", tmp_path / "before")

        desk = ("--data", node, "--board", url)
        rotated = maker.must("operator", "rotate-keys", "--key", "all", *desk)

        assert rotated["keys"] == ["governance", "log", "cosigner"]
        for name in rotated["keys"]:
            old, new = tmp_path / "before" / f"{name}.pem", node / "keys" / f"{name}.pem"
            assert old.read_bytes() != new.read_bytes()
        publish(maker, tmp_path, "1.1")
        maker.must("rollout", "set", "bulb", "--offer", "2=100%")
        done = maker("agent", "once", "--home", device, "--json")
        assert done.code == 0, (done.out, done.err)
        maker.must("board", "fsck", url)
        assert maker.must("operator", "rotate-keys", *desk) == {"operator": rotated["operator"]}

    with running_node(node) as url:
        maker.ask_at(url)
        maker.must("operator", "rotate-keys", "--key", "log", "--data", node, "--board", url)
        maker.must("class", "set", "bulb", "--add-channel", "beta")
        assert maker.must("agent", "status", "--home", device)["sequence"] == 2


def test_a_governance_key_that_lies_elsewhere_signs_there(tmp_path: Path) -> None:
    node, vault = tmp_path / "node", tmp_path / "governance.pem"
    maker = Maker(tmp_path / "nobody")
    with running_node(node) as url:
        (node / "keys/governance.pem").rename(vault)
        desk = ("--data", node, "--board", url)
        rotate = ("operator", "rotate-keys", "--key", "cosigner", *desk)
        refused = maker(*rotate, "--json").error
        assert (refused["exit"], "--export-unsigned" in refused["detail"]) == (78, True)
        unsigned, signed = tmp_path / "r.unsigned", tmp_path / "r.signatures"
        maker.must("operator", "rotate-keys", *desk, "--export-unsigned", unsigned)
        maker.must("maker", "sign", unsigned, "--key", vault, "--out", signed, "--yes")
        assert maker.must("operator", "import", signed, *desk)["kind"] == "board.set"
        assert not list((node / "keys").glob("*.next.pem"))
        maker.must("board", "fsck", url)
