# SPDX-License-Identifier: Apache-2.0
"""`fieldpost cluster`: four operators in real processes, one of which is lost in every way."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fieldpost.cli.cluster_plan import Plan, found, make_plan, read_plan
from fieldpost.cli.cluster_status import alive
from fieldpost.errors import Misconfigured, NotFound
from tests.cometbft import need_cometbft
from tests.e2e.maker_cli import CLI, Answer, Maker, environment

pytestmark = pytest.mark.e2e
PATIENCE_S = 400.0


def fieldpost(*words: str | Path, **more: str) -> Answer:
    """One command, run to its end."""
    done = subprocess.run(
        [*CLI, *map(str, words), "--json"],
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster that is up. `ready` is what it said."""

    folder: Path
    process: "subprocess.Popen[str]"
    ready: dict[str, Any]

    def __call__(self, verb: str, *words: str) -> Any:
        return fieldpost("cluster", verb, *words, "--dir", self.folder).json

    def status(self, member: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self("status")
        return next(row for row in rows if row["name"] == member)

    def pids(self) -> list[int]:
        return [row[name] for row in self("status") for name in ("node", "cometbft") if row[name]]


@contextmanager
def up(folder: Path, *options: str) -> Iterator[Cluster]:
    """A cluster with real processes; whatever is left of them at the end is killed."""
    need_cometbft()
    with subprocess.Popen(
        [*CLI, "cluster", "up", "--dir", str(folder), "--json", *options],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(PATIENCE_S, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
            finally:
                timer.cancel()  # Only the start is waited for; a long test is no fault of it.
            assert line, "no ready line"
            yield Cluster(folder, process, json.loads(line))
        finally:
            process.kill()


def test_a_board_of_four_loses_one_in_every_way_and_nothing_else(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "home")
    with up(tmp_path / "c", "--nodes", "4") as cluster:
        first, second, *_ = cluster.ready["urls"]
        maker.must("maker", "init", "--name", "Acme", "--no-passphrase")
        maker.must("maker", "register", "--board", first, "--yes")

        pids = cluster.pids()
        assert len(pids) == 8
        killed = cluster("kill", "2")["killed"]
        assert set(killed) < set(pids)
        assert len(killed) == 2
        assert not any(map(alive, killed))
        # Three of four go on, and who was away learns of it.
        added = maker.must("class", "add", "bulb:r1", "--support-end", "2040-12-31")
        assert cluster.status("operator-2")["node"] is None
        cluster("restart", "operator-2")
        wait_for_size(cluster, "operator-2", least=added["index"] + 1)

        state = tmp_path / "c/operator-2/data/cometbft/data/priv_validator_state.json"
        keys = tmp_path / "c/operator-2/data/keys/largest-signed"
        removed = cluster("wipe", "2")["removed"]
        kept = state.read_bytes(), keys.read_bytes()
        assert str(tmp_path / "c/operator-2/data/log") in removed
        assert json.loads(kept[0])["height"] != "0"
        cluster("restart", "2")
        wait_for_size(cluster, "operator-2", least=added["index"] + 1)
        assert fieldpost("board", "fsck", second).json

        left = cluster.pids()
        assert cluster("stop")["was_up"]
        assert cluster.process.wait(PATIENCE_S) == 0
        assert not any(map(alive, left))
    again = fieldpost("cluster", "kill", "1", "--dir", tmp_path / "c").error
    assert "cluster up" in again["detail"]


def test_a_cluster_goes_on_where_it_was_and_dies_with_its_supervisor(tmp_path: Path) -> None:
    with up(tmp_path / "c", "--nodes", "1") as cluster:
        second = fieldpost("cluster", "up", "--dir", cluster.folder).error
        assert "is up already" in second["detail"]
        pids, board = cluster.pids(), cluster.ready["board"]
        os.kill(cluster.process.pid, signal.SIGKILL)
        cluster.process.wait(PATIENCE_S)
        wait_until_dead(pids)
    with up(tmp_path / "c") as cluster:
        assert cluster.ready["board"] == board
        cluster("stop")


def wait_for_size(cluster: Cluster, member: str, *, least: int) -> None:
    """Ask until the member publishes that much; each question takes its time by itself."""
    for _ in range(1_000):
        if (cluster.status(member)["size"] or 0) >= least:
            return
    pytest.fail(f"{member} never published {least} entries")


def wait_until_dead(pids: list[int]) -> None:
    for _ in range(10_000):
        if not any(map(alive, pids)):
            return
        threading.Event().wait(0.02)
    pytest.fail(f"{pids} outlived their supervisor")


def test_a_missing_engine_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path), "HOME": str(tmp_path), "GOPATH": "", "GOBIN": ""}
    answer = fieldpost("cluster", "up", "--dir", tmp_path / "c", **nowhere)
    assert "CometBFT" in answer.error["detail"]
    assert "make cluster-deps" in answer.error["detail"]
    assert not (tmp_path / "c").exists()


def plan(folder: Path) -> Plan:
    return make_plan(folder, nodes=2, now=1_700_000_000, epoch_s=60, timeout_commit_ms=200)


def test_founding_follows_from_the_plan_and_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert read_plan(tmp_path) == made
    board = found(made)
    genesis = [member.data / "cometbft/config/genesis.json" for member in made.members]
    content = genesis[0].read_bytes()
    genesis[1].unlink()
    made.members[1].settings.unlink()
    assert found(read_plan(tmp_path)) == board
    assert [path.read_bytes() for path in genesis] == [content, content]
    assert made.members[1].settings.exists()
    ports = [port for m in made.members for port in (m.http, m.p2p, m.rpc)]
    assert len(set(ports)) == 6
    assert max(ports) < 32_768, "no outgoing connection takes one while its operator is down"


def test_operators_are_found_by_name_and_number(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert made.member("2") == made.member("operator-2") == made.members[1]
    with pytest.raises(NotFound, match="operator-1, operator-2"):
        made.member("3")


@pytest.mark.parametrize(
    "change",
    [
        {"operators": []},
        {"operators": [{"name": "../x", "http": 1, "p2p": 2, "rpc": 3}]},
        {"operators": [{"name": "x", "http": 0, "p2p": 2, "rpc": 3}]},
        {"time": "soon"},
    ],
)
def test_a_plan_that_is_none_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    document = json.loads(plan(tmp_path).encode()) | change
    (tmp_path / "cluster.json").write_text(json.dumps(document))
    with pytest.raises(Misconfigured, match="no plan of a cluster"):
        read_plan(tmp_path)
    with pytest.raises(NotFound, match="cluster up"):
        read_plan(tmp_path / "elsewhere")
