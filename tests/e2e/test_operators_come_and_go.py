# SPDX-License-Identifier: Apache-2.0
"""Operators of a running board come, go and replace keys; a device sleeps through all of it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldpost.cli.cluster_plan import Member, read_plan
from fieldpost.cli.operator_file import make_operator
from tests.e2e.maker_cli import Maker, make_maker
from tests.e2e.operators import OperatorSite, call, change_board, fetch, make_site, wait, wait_ready
from tests.e2e.test_cluster import Cluster, up

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Board:
    """A cluster that is up, its maker, and a device that was made in the beginning."""

    cluster: Cluster
    maker: Maker
    root: Path

    def member(self, number: int) -> Member:
        return read_plan(self.cluster.folder).members[number - 1]

    def public(self, number: int) -> Path:
        """The public file of an operator, as `operator init` writes it."""
        member, plan = self.member(number), read_plan(self.cluster.folder)
        path = self.root / f"{member.name}.operator"
        made = make_operator(
            member.data,
            name=member.name,
            origin=plan.origin,
            urls=(member.url,),
            p2p_address=f"127.0.0.1:{member.p2p}",
        )
        path.write_bytes(made.encode())
        return path

    def change(self, signers: list[Path], *words: str | Path, by: int = 1) -> int:
        """A board.set, begun by one operator and signed by others; its entry."""
        desk = self.member(by)
        done = change_board(self.root, desk.data, self.member(1).url, signers, *words)
        return int(done["index"])

    def publish(self, version: str) -> None:
        image = self.root / f"{version}.bin"
        image.write_text(f"image {version}")
        self.maker.must("release", "publish", "bulb", image, "--version", version)


def wait_published(url: str, entry: int) -> None:
    def size() -> int:
        note = fetch(url, "/log/checkpoint")
        return 0 if note is None else int(note.split(b"\n")[1])

    wait(lambda: size() > entry, f"{url} publishes entry {entry}")


def join(board: Board) -> OperatorSite:
    """A newcomer follows the board; nothing is asked of the others."""
    plan = read_plan(board.cluster.folder)
    rome = make_site(board.root, "rome", plan.origin)
    genesis = board.member(1).data / "cometbft" / "config" / "genesis.json"
    files = [board.public(number) for number in (1, 2, 3, 4)]
    words = ("--data", rome.data, "--settings", rome.settings)
    joined = call("operator", "join", genesis, *files, rome.public, *words)
    assert len(joined["peers"]) == 4
    rome.localize()
    return rome


def test_a_device_sleeps_while_operators_come_go_and_replace_keys(tmp_path: Path) -> None:
    with up(tmp_path / "c", "--nodes", "4") as cluster:
        first = cluster.ready["urls"][0]
        board = Board(cluster, make_maker(tmp_path / "maker", first), tmp_path)
        device, trust = tmp_path / "device", tmp_path / "bulb.provisioning"
        board.maker.must("class", "trust", "bulb", "--out", trust)
        enrol = ("agent", "enrol", "--home", device, "--provisioning", trust)
        board.maker.must(*enrol, "--serial", "SN1")
        rome = join(board)
        with rome.running():
            wait_ready(rome.url)
            one, two, three = (board.member(n).data for n in (1, 2, 3))

            words: tuple[str | Path, ...] = ("operator", "board-set", "--yes")
            added = board.change([two, three, rome.data], *words, "--operator", rome.public)
            wait_published(rome.url, added)
            gone = board.change([two, three, rome.data], *words, "--drop-operator", "operator-4")
            wait_published(rome.url, gone)
            cluster("kill", "4")

            # Three of the four of now: the newcomer votes and cosigns, or nothing goes on.
            cluster("kill", "3")
            rotate = ("operator", "rotate-keys", "--key", "log", "--key", "cosigner")
            rotated = board.change([one, rome.data], *rotate, by=2)
            wait_published(rome.url, rotated)

            # What votes for operator-3 is lost, and replaced while it is down.
            for name in ("config/priv_validator_key.json", "data/priv_validator_state.json"):
                (three / "cometbft" / name).rename(tmp_path / Path(name).name)
            fresh = board.public(3)
            again = board.change([two, three, rome.data], *words, "--operator", fresh)
            cluster("restart", "3")
            wait_published(board.member(3).url, again)
            cluster("kill", "2")
            changed = board.change([three, rome.data], *words, "--epoch-s", "30")
            wait_published(rome.url, changed)

            board.publish("1.0")
            board.maker.must("rollout", "set", "bulb", "--offer", "1=100%")
            done = board.maker("agent", "once", "--home", device, "--json")
            assert done.code == 0, (done.out, done.err)
            status = board.maker.must("agent", "status", "--home", device)
            assert status["sequence"] == 1
            names = {line.split()[1] for line in checkpoint_lines(rome.url)}
            assert {"rome", "operator-1", "operator-3"} <= names
            cluster("stop")


def checkpoint_lines(url: str) -> list[str]:
    note = fetch(url, "/log/checkpoint")
    assert note is not None
    return [line for line in note.decode().splitlines() if line.startswith("— ")]
