# SPDX-License-Identifier: Apache-2.0
"""A fleet moves to another board, by the command line alone: while the old one lives, and after.

Real processes: two nodes, the maker, and devices' agents.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.maker_cli import Maker, make_maker, running_node

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Fleet:
    """One maker, one device that runs release 1, and the folder where all of it lies."""

    maker: Maker
    root: Path

    @property
    def device(self) -> Path:
        return self.root / "device"

    def publish(self, version: str) -> None:
        image = self.root / f"{version}.bin"
        image.write_text(f"image {version}")
        self.maker.must("release", "publish", "bulb", image, "--version", version)

    def check_in(self) -> int:
        """The device asks whatever board it believes in; the release that it runs then."""
        done = self.maker("agent", "once", "--home", self.device, "--json")
        assert done.code == 0, (done.out, done.err)
        return self.runs()

    def runs(self) -> int:
        status = self.maker.must("agent", "status", "--home", self.device)
        return int(status["sequence"])

    def board(self) -> str:
        return str(self.maker.must("agent", "status", "--home", self.device)["board"])

    def enrol(self) -> None:
        trust = self.root / "bulb.provisioning"
        self.maker.must("class", "trust", "bulb", "--out", trust)
        enrol = ("agent", "enrol", "--home", self.device, "--provisioning", trust)
        self.maker.must(*enrol, "--serial", "SN1")
        self.maker.must("lot", "enrol", "bulb", "--requests", self.device)

    def prepare(self, url: str) -> None:
        """On another board: the class, the device, and release 2 on offer."""
        assert self.maker.must("maker", "register", "--board", url, "--yes")["index"] is not None
        self.maker.must("maker", "use", url)
        self.maker.must("class", "add", "bulb", "--support-end", "2035-01-01")
        self.maker.must("lot", "enrol", "bulb", "--requests", self.device)
        self.publish("1.0")
        self.publish("1.1")
        self.maker.must("rollout", "set", "bulb", "--offer", "2=100%")


def begin(root: Path, url: str) -> Fleet:
    fleet = Fleet(make_maker(root / "maker", url), root)
    fleet.publish("1.0")
    fleet.maker.must("rollout", "set", "bulb", "--offer", "1=100%")
    fleet.enrol()
    assert fleet.check_in() == 1
    return fleet


def test_a_fleet_moves_while_its_board_lives(tmp_path: Path) -> None:
    with running_node(tmp_path / "old") as old, running_node(tmp_path / "new") as new:
        fleet = begin(tmp_path, old)
        maker = fleet.maker
        assert maker("maker", "set-policy", "--move-to", new, "--json").error["exit"] == 78
        fleet.prepare(new)
        for words in (("set-policy", "--contact", "me"), ("rotate-keys", "--role", "care")):
            refused = maker("maker", *words, "--json").error
            assert (refused["exit"], "maker use" in refused["detail"]) == (78, True)
        assert (
            maker("class", "trust", "bulb", "--out", tmp_path / "x", "--json").error["exit"] == 78
        )
        maker.must("maker", "use", old)
        maker.must("maker", "rotate-keys", "--role", "all", "--no-passphrase")
        here = fleet.board()

        maker.must("maker", "set-policy", "--move-to", new)
        moved = maker.must("maker", "register", "--board", new)

        assert (moved["links"], maker.settings()["board"]) == (3, moved["board"])
        assert maker.must("maker", "rotate-keys")["signed_again"] == ["bulb 2"]
        fleet.check_in()
        assert fleet.check_in() == 2
        assert here != fleet.board() == moved["board"]
        assert maker.must("maker", "register", "--board", new)["index"] is None
        maker.must("class", "trust", "bulb", "--out", tmp_path / "new.provisioning")
        maker.must("maker", "set-policy", "--contact", "me")
        assert len(maker.must("maker", "links")["links"]) == 4


def test_a_fleet_moves_after_its_board_died(tmp_path: Path) -> None:
    with running_node(tmp_path / "new") as new:
        with running_node(tmp_path / "old") as old:
            fleet = begin(tmp_path, old)
            fleet.prepare(new)
            fleet.maker.must("maker", "use", old)
        maker = fleet.maker
        gone = ("maker", "set-policy", "--move-to", new)
        assert maker(*gone, "--json").error["exit"] == 75

        maker.must(*gone, "--board-is-gone")
        moved = maker.must("maker", "register", "--board", new)
        links = tmp_path / "links"
        maker.must("maker", "links", "--out", links)
        maker.must("agent", "follow", "--home", fleet.device, links)

        assert fleet.check_in() == 2
        assert fleet.board() == moved["board"]


def test_roots_elsewhere_sign_a_move_from_a_dead_board(tmp_path: Path) -> None:
    maker, vault = Maker(tmp_path / "maker"), tmp_path / "vault"
    vault.mkdir()
    with running_node(tmp_path / "new") as new:
        with running_node(tmp_path / "old") as old:
            maker.must("maker", "init", "--name", "acme", "--no-passphrase")
            maker.must("maker", "register", "--board", old, "--yes")
            maker.must("maker", "register", "--board", new, "--yes")
        for name in ("root-2.pem", "root-3.pem"):
            (maker.home / "keys" / name).rename(vault / name)
        unsigned, signed = tmp_path / "move.unsigned", tmp_path / "move.signatures"
        gone = ("maker", "set-policy", "--move-to", new, "--board-is-gone")
        assert maker(*gone, "--json").error["exit"] == 78
        maker.must(*gone, "--export-unsigned", unsigned)
        sign = ("maker", "sign", unsigned, "--out", signed, "--yes")
        maker.must(*sign, "--key", vault / "root-2.pem")
        assert maker.must("maker", "import", signed, "--board-is-gone")["kept"]
        unsigned, signed = tmp_path / "take.unsigned", tmp_path / "take.signatures"
        maker.must("maker", "register", "--board", new, "--export-unsigned", unsigned)
        sign = ("maker", "sign", unsigned, "--out", signed, "--yes")
        maker.must(*sign, "--key", vault / "root-3.pem")
        assert maker.must("maker", "import", signed)["kind"] == "maker.register"
        taken = maker.must("maker", "register", "--board", new)
        assert (taken["index"], maker.settings()["board"]) == (None, taken["board"])
