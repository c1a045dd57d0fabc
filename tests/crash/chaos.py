# SPDX-License-Identifier: Apache-2.0
"""`make chaos`: real processes killed at random moments, for as long as you like.

    make chaos ARGS="--node 30 --agent 30 --seed 7"
    make chaos ARGS="--node 0 --agent 0 --writes 10000"     power cuts at every write of a node
    make chaos ARGS="--node 0 --agent 0 --writes 0 --sqlite 1"    calls of SQLite fail, all of them
    make chaos ARGS="--node 0 --agent 0 --cluster 40"

The seed is printed; the same seed draws the same moments, as far as a machine's timing lets it.
Ends with status 1, and says what was broken, at the first promise that was.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from fieldpost.testing.paper_node import PaperNode
from tests.crash import agent_kills, node_kills, sqlite_faults
from tests.crash.cluster_campaign import Campaign
from tests.crash.cluster_faults import FAULTS
from tests.crash.recorded_cuts import RecordedCuts
from tests.crash.recorded_node import Lives
from tests.crash.recording import Recorder


def say(words: str) -> None:
    """To whoever waits."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the campaigns."""
    parser = argparse.ArgumentParser(prog="make chaos", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--node", type=int, default=20, help="kills of a node under load")
    parser.add_argument("--agent", type=int, default=20, help="devices, each killed 6 times")
    parser.add_argument("--writes", type=int, default=40, help="power cuts at writes of a node")
    parser.add_argument(
        "--sqlite", type=int, default=4, help="one of so many of SQLite's calls fails; 0 for none"
    )
    parser.add_argument("--cluster", type=int, default=0, help="faults of a cluster under load")
    parser.add_argument("--operators", type=int, default=4, choices=(4, 7), help="of that cluster")
    parser.add_argument("--only", action="append", choices=sorted(FAULTS), help="of its faults")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10_000))
    wanted = parser.parse_args()
    say(f'seed {wanted.seed}: repeat with  make chaos ARGS="--seed {wanted.seed} …"')
    with TemporaryDirectory(prefix="fieldpost-chaos-") as name:
        folder = Path(name)
        kill_nodes(folder, rounds=wanted.node, seed=wanted.seed)
        kill_agents(folder, devices=wanted.agent, seed=wanted.seed)
        if wanted.writes:
            cut_writes(cuts=wanted.writes, seed=wanted.seed)
        if wanted.sqlite:
            fail_calls(share=wanted.sqlite, seed=wanted.seed)
        if wanted.cluster:
            harm_cluster(folder / "cluster", wanted)
    say("no promise was broken")


def kill_nodes(folder: Path, *, rounds: int, seed: int) -> None:
    """As many boards as it takes."""
    done = 0
    while done < rounds:
        data = folder / f"node-{done}"
        campaign = node_kills.Campaign(data, seed=seed + done, say=lambda words: say(f"  {words}"))
        say(f"node: board {data.name}")
        while done < rounds and not campaign.is_over:
            campaign.round()
            done += 1
        campaign.finish()


def kill_agents(folder: Path, *, devices: int, seed: int) -> None:
    """Devices of one paper node."""
    if not devices:
        return
    say("agent: an update of 4 MB")
    with PaperNode(agent_kills.board_of_today()) as node:
        campaign = agent_kills.Campaign(
            folder, node, seed=seed, say=lambda words: say(f"  {words}")
        )
        for _ in range(devices):
            campaign.update(kills=6)


def in_memory() -> TemporaryDirectory[str]:
    """A folder in memory, where the system has such a place."""
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    where = shared if os.access(shared, os.W_OK) else None
    return TemporaryDirectory(dir=where, prefix="fieldpost-chaos-")


def cut_writes(*, cuts: int, seed: int) -> None:
    """As many cuts of a node's lives, or one at each of its calls if there are fewer."""
    with in_memory() as name:
        data, left, chance = Path(name) / "data", Path(name) / "left", Random(seed)
        for folder in (data, left):
            folder.mkdir()
        try:
            lives = Lives(Recorder(data, Path(name)))
        except pytest.skip.Exception as why:
            sys.exit(f"writes: nothing was tried: {why}")
        lives.live()
        lives.recorder.check_complete()
        made = RecordedCuts(lives.recorder, left, lives.judge, told=lives.told)
        total = len(made.calls)
        chosen = sorted(chance.sample(range(1, total + 1), min(cuts, total)))
        say(f"writes: {len(chosen)} cuts at {total} calls")
        for number, count in enumerate(chosen, 1):
            made.cut(count, chance=chance)
            if made.failures:
                sys.exit(made.failures[0])
            if number % 20 == 0 or number == len(chosen):
                say(f"  {number} cuts, {made.judged} disks")


def fail_calls(*, share: int, seed: int) -> None:
    """One of `share` calls that SQLite makes for a node, a fleet service and a witness."""
    for name in ("node", "fleet", "witness"):
        with in_memory() as folder:
            try:
                found = sqlite_faults.run(name, Path(folder), share=share, seed=seed)
            except pytest.skip.Exception as why:
                sys.exit(f"sqlite: nothing was tried: {why}")
        if found.failures:
            sys.exit(f"sqlite, {name}: {found.failures[0]}")
        tried, refused = sum(found.failed.values()), sum(found.refused.values())
        say(f"sqlite: {name}: {tried} failures of {found.calls} calls, {refused} times said so")


def harm_cluster(folder: Path, wanted: argparse.Namespace) -> None:
    """One board of several operators, through as many faults."""
    say(f"cluster: {wanted.operators} operators")
    try:
        campaign = Campaign(
            folder, nodes=wanted.operators, seed=wanted.seed, say=lambda words: say(f"  {words}")
        )
    except pytest.skip.Exception as why:
        sys.exit(f"nothing was tried: {why}")
    with campaign:
        campaign.befall(campaign.draw(wanted.cluster, wanted.only or sorted(FAULTS)))
        campaign.finish()


if __name__ == "__main__":
    main()
