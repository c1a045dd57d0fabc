# SPDX-License-Identifier: Apache-2.0
"""A wiped operator begins with a snapshot of two others, with real processes, and takes part."""

import json
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from fieldpost.cli.cluster_plan import Member, found, make_plan
from tests.cometbft import need_cometbft
from tests.e2e.maker_cli import make_maker
from tests.e2e.operators import fetch, wait
from tests.e2e.test_cluster import up

pytestmark = pytest.mark.e2e


def add_setting(member: Member, line: str) -> None:
    text = member.settings.read_text()
    member.settings.write_text(text.replace("[cometbft]\n", f"[cometbft]\n{line}\n"))


def published(member: Member) -> int:
    note = fetch(member.url, "/log/checkpoint")
    return 0 if note is None else int(note.split(b"\n")[1])


def tree(member: Member) -> list[bytes]:
    """Origin, size and root of what it publishes."""
    note = fetch(member.url, "/log/checkpoint")
    return [] if note is None else note.split(b"\n")[:3]


def first_block(member: Member) -> int:
    with urlopen(f"http://127.0.0.1:{member.rpc}/status", timeout=60) as answer:
        return int(json.load(answer)["result"]["sync_info"]["earliest_block_height"])


def test_a_wiped_operator_begins_with_a_snapshot_and_votes_again(tmp_path: Path) -> None:
    need_cometbft()
    folder = tmp_path / "c"
    plan = make_plan(folder, nodes=4, now=int(time.time()), epoch_s=60, timeout_commit_ms=200)
    found(plan)
    for member in plan.members:
        add_setting(member, "snapshot_blocks = 4")
    one, two, _, four = plan.members
    with up(folder) as cluster:
        maker = make_maker(tmp_path / "maker", one.url)
        for number in range(5):
            maker.must("class", "add", f"bulb:r{number}", "--support-end", "2040-12-31")
        size = published(one)
        cluster("wipe", "4")
        add_setting(four, f"state_sync = {json.dumps([one.url, two.url])}")
        cluster("restart", "4")
        wait(lambda: published(four) >= size, "the wiped operator publishes what the others do")
        assert "Snapshot restored" in (four.data / "cometbft" / "cometbft.log").read_text()
        assert first_block(four) > 1
        assert first_block(one) == 1
        # Without its vote and its lines nothing goes on now.
        cluster("kill", "3")
        maker.must("class", "add", "lamp", "--support-end", "2040-12-31")
        wait(lambda: published(four) >= size + 2, "it goes on with the others")
        wait(lambda: tree(one) == tree(four), "both publish one tree")
        cluster("stop")
