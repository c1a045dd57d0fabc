# SPDX-License-Identifier: Apache-2.0
"""What only consensus shows: lies of one of four real operators, each with its CometBFT.

Skipped, saying so, where CometBFT is not installed (`make cluster-deps`).
"""

import json
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fieldpost.cli.cluster_plan import Member, Plan, read_plan
from fieldpost.client.transport import HttpClient
from fieldpost.engines.cometbft.home import comet_home
from tests.cometbft import need_cometbft
from tests.e2e.maker_cli import Maker
from tests.e2e.operators import call
from tests.liars.programs import Program, fieldpost, liar, program, until
from tests.liars.rig import head_at
from tests.ports import free_ports

pytestmark = pytest.mark.e2e
OTHERS = 3
UNAVAILABLE = 75


@dataclass(frozen=True, slots=True)
class Cluster:
    """Four operators that run, and two makers that post to the first of them."""

    plan: Plan
    makers: tuple[Maker, Maker]

    @property
    def last(self) -> Member:
        """The one that is to lie."""
        return self.plan.members[-1]

    def __call__(self, verb: str, *words: str) -> Any:
        return call("cluster", verb, *words, "--dir", self.plan.folder)

    @property
    def others(self) -> tuple[Member, ...]:
        """The honest ones."""
        return self.plan.members[:OTHERS]

    def post_two(self, name: str) -> bool:
        """A post of each maker at once, in one block or in two. True."""
        with ThreadPoolExecutor(2) as pool:
            return all(pool.map(lambda number: self.post(name, number), range(2)))

    def post(self, name: str, number: int = 0) -> int:
        """A post that is accepted; its index in the log."""
        words, maker = ("class", "add", name, "--support-end", "2040-12-31"), self.makers[number]
        answer = maker(*words, "--json")
        if answer.code == UNAVAILABLE:
            # Nothing was lost: the same bytes again, as the command says.
            answer = maker(*words, "--json")
        index: int = answer.json["index"]
        return index


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need_cometbft()
    root = tmp_path_factory.mktemp("cluster")
    folder, makers = root / "c", (Maker(root / "home"), Maker(root / "other"))
    words = ("cluster", "up", "--nodes", "4", "--dir", folder, "--epoch-s", "5")
    with program(fieldpost(*words), root / "up.log") as up:
        up.event("ready")
        plan = read_plan(folder)
        for maker in makers:
            maker.must("maker", "init", "--name", "Acme", "--no-passphrase", "--one-key")
            maker.must("maker", "register", "--board", plan.members[0].url, "--yes")
        yield Cluster(plan, makers)


def copied_settings(member: Member, data: Path, settings: Path) -> None:
    """The settings of an operator for another process over `data`, on ports of its own."""
    http, p2p, rpc = free_ports(3)
    text = member.settings.read_text()
    text = text.replace(str(member.data), str(data))
    for old, new in ((member.http, http), (member.p2p, p2p), (member.rpc, rpc)):
        text = text.replace(f":{old}", f":{new}")
    settings.write_text(text)


@contextmanager
def by_hand(*words: str | Path, journal: Path) -> Iterator[Program]:
    """A node that no supervisor starts again."""
    with program([sys.executable, "-m", *words, "--json"], journal) as node:
        node.event("ready")
        yield node


def test_peers_keep_what_an_operator_signed_twice_and_go_on(cluster: Cluster) -> None:
    """The liar stands where the last operator's node was, with its keys."""
    cluster.post("before")
    first, last = cluster.plan.members[0], cluster.last
    until(lambda: last.name.encode() in note(first.url), "the last one cosigned the true head")
    cluster("kill", last.name)
    words = ("--lie", "two-heads", "--node", first.url, "--listen", f"127.0.0.1:{last.http}")
    with program(liar(*words, "--keys", last.data), cluster.plan.folder / "liar.log"):
        until(lambda: all(map(evidence_of, cluster.others)), "all others keep what convicts it")
    for member in cluster.others:
        (file,) = evidence_of(member)
        facts = call("verify", file, "--board", first.url)
        assert facts["authors"] == [f"operator {last.name}"]
    cluster.post("after")
    cluster("restart", last.name)
    until(lambda: head_at(last.url) == head_at(first.url), "the last one is back")


def evidence_of(member: Member) -> list[Path]:
    """What an operator keeps against others."""
    return list((member.data / "evidence").glob("*.evidence"))


def note(url: str) -> bytes:
    """The checkpoint that a node shows."""
    with HttpClient(url, timeout_s=60) as http:
        return http.fetch("/log/checkpoint", accept="text/plain")


def test_posts_that_a_proposer_withholds_are_in_the_next_ones_block(cluster: Cluster) -> None:
    last = cluster.last
    cluster("kill", last.name)
    words = ("fieldpost.testing.faulty_node", "--fault", "withhold=2", "operator", "run")
    journal = cluster.plan.folder / "withholding.log"
    with by_hand(*words, "--config", last.settings, journal=journal):
        until(lambda: head_at(last.url) is not None, "it is there")
        # A post alone takes two blocks, so in a ring of four its turn might never be the liar's.
        numbers = iter(range(100))
        until(
            lambda: (
                cluster.post_two(f"withheld{next(numbers)}") and "withheld" in journal.read_text()
            ),
            "it was its turn",
        )
    cluster("restart", last.name)
    members = cluster.plan.members
    until(lambda: len({head_at(member.url) for member in members}) == 1, "all have one head")


def test_a_copied_validator_key_is_noticed_by_everybody_else(cluster: Cluster) -> None:
    """Two machines with one operator's keys, as after a stolen backup."""
    last = cluster.last
    cluster("kill", last.name)
    data = cluster.plan.folder / "copy" / "data"
    shutil.copytree(last.data, data, ignore=shutil.ignore_patterns("*.sock"))
    settings = data.parent / "operator.toml"
    copied_settings(last, data, settings)
    (comet_home(data) / "config" / "node_key.json").unlink()
    cluster("restart", last.name)
    key = json.loads((comet_home(data) / "config" / "priv_validator_key.json").read_bytes())
    address = str(key["address"]).lower()
    words = ("fieldpost.cli", "operator", "run", "--config", settings)
    with by_hand(*words, journal=data.parent / "copy.log"):
        numbers = iter(range(200))
        until(
            lambda: cluster.post(f"copied{next(numbers)}") and proven(cluster, address),
            "a block proves that the key voted twice",
        )
    assert cluster.post("afterwards")


def proven(cluster: Cluster, address: str) -> bool:
    """Whether every honest operator was told by a block."""
    return all(told_by_block(member, address) for member in cluster.others)


def told_by_block(member: Member, address: str) -> bool:
    """Whether an operator's journal says it."""
    lines = member.log.read_text().splitlines()
    said = [line.lower() for line in lines if "event=validator-key-doubled" in line]
    return any(address in line and " height=" in line for line in said)
