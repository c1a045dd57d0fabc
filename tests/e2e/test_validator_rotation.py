# SPDX-License-Identifier: Apache-2.0
"""A validator key that was copied is replaced, beside running nodes and while posts flow."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldpost.cli.cluster_plan import Member
from fieldpost.client.transport import HttpClient
from fieldpost.engines.cometbft.genesis import validator_address
from fieldpost.engines.cometbft.home import read_validator_key
from tests.e2e.maker_cli import Maker, make_maker
from tests.e2e.operators import OperatorSite, wait, wait_ready
from tests.e2e.test_cluster import up
from tests.e2e.test_operators_come_and_go import Board, join

pytestmark = pytest.mark.e2e


@contextmanager
def posts_flow(maker: Maker) -> Iterator[list[int]]:
    """One post after the other; the entry of each that was acknowledged."""
    done: list[int] = []
    over = threading.Event()

    def post() -> None:
        while not over.is_set():
            name = f"class-{len(done)}"
            added = maker.must("class", "add", name, "--support-end", "2036-12-31")
            done.append(added["index"])

    thread = threading.Thread(target=post)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


def copy_validator(member: Member, site: OperatorSite) -> None:
    """What must never happen: the key votes in a second place, which does not know of the first."""
    own, other = (data / "cometbft" / "config" for data in (site.data, member.data))
    name = "priv_validator_key.json"
    (own / name).write_bytes((other / name).read_bytes())


def ask(member: Member, question: str) -> Any:
    """What the operator's CometBFT answers."""
    with HttpClient(f"http://127.0.0.1:{member.rpc}") as http:
        return json.loads(http.fetch(f"/{question}", most_bytes=4 * 1024 * 1024))["result"]


def address_of(member: Member) -> str:
    return validator_address(read_validator_key(member.data / "cometbft")).hex().upper()


def height_of(member: Member) -> int:
    return int(ask(member, "status")["sync_info"]["latest_block_height"])


def signers(member: Member, height: int) -> set[str]:
    """Whose votes a block was committed with."""
    commit = ask(member, f"commit?height={height}")["signed_header"]["commit"]
    return {one["validator_address"] for one in commit["signatures"] if one["validator_address"]}


def told(member: Member, event: str) -> list[dict[str, str]]:
    """The facts of each time that an operator's node said so."""
    said = f" event={event} "
    lines = [line for line in member.log.read_text().splitlines() if said in line]
    return [dict(part.partition("=")[::2] for part in line.split()) for line in lines]


def test_a_copied_validator_key_is_replaced_while_posts_flow(tmp_path: Path) -> None:
    """The copy goes on to vote, and its votes count for nothing any more."""
    with up(tmp_path / "c", "--nodes", "4") as cluster:
        maker = make_maker(tmp_path / "maker", cluster.ready["urls"][0])
        board = Board(cluster, maker, tmp_path)
        first, owner = board.member(1), board.member(2)
        everybody = [board.member(number) for number in (1, 2, 3, 4)]
        ghost = join(board)
        copy_validator(owner, ghost)
        old = address_of(owner)
        with posts_flow(maker) as done, ghost.running():
            wait_ready(ghost.url)
            wait(lambda: doubled(everybody), "a block proves that there is a copy")
            assert {fact["validator"] for fact in doubled(everybody)} == {old}

            signing = [board.member(1).data, board.member(3).data]
            board.change(signing, "operator", "rotate-keys", "--key", "validator", by=2)
            wait(lambda: told(owner, "validator-key-changed"), "operator-2 changes its key")
            new = address_of(owner)
            wait(lambda: new in signers(first, height_of(first) - 1), "the new key votes")
            (changed,) = told(owner, "validator-key-changed")
            assert changed["validator"] == new != old
            flowing = len(done)
            wait(lambda: len(done) > flowing + 2, "posts flow")

            # Two blocks after its record, and not one earlier or later.
            begin = change_height(first, old)
            assert int(changed["height"]) >= begin
            newest = height_of(first) - 1
            later = [signers(first, height) for height in range(begin, newest)]
            assert all(old not in signed for signed in later)
            assert any(new in signed for signed in later)
            assert max(evidence(first, newest)) < begin
            assert max(int(fact["height"]) for fact in doubled(everybody)) < begin
            assert not told(owner, "validator-key-not-changed")
        assert done == sorted(set(done))
        maker.must("board", "fsck", owner.url)
        rotate = ("operator", "rotate-keys", "--data", owner.data, "--board", owner.url)
        assert maker.must(*rotate) == {"operator": owner.name}
        unsigned = tmp_path / "given-up.unsigned"
        maker.must(*rotate, "--key", "validator", "--export-unsigned", unsigned)
        assert maker.must(*rotate, "--abandon") == {"abandoned": ["validator"]}
        assert maker.must(*rotate) == {"operator": owner.name}
        cluster("stop")
    with up(tmp_path / "c") as cluster:
        # A cluster whose keys are no longer those of its genesis is founded all the same.
        wait_ready(owner.url)
        cluster("stop")


def doubled(members: list[Member]) -> list[dict[str, str]]:
    """What operators said of a key that voted twice, by the blocks that prove it."""
    facts = [fact for member in members for fact in told(member, "validator-key-doubled")]
    return [fact for fact in facts if "height" in fact]


def change_height(member: Member, old: str) -> int:
    """The first block on which the old key has no vote."""
    for height in range(1, height_of(member) + 1):
        voting = ask(member, f"validators?height={height}")["validators"]
        if old not in {one["address"] for one in voting}:
            return height
    raise AssertionError("the old key votes on")


def evidence(member: Member, newest: int) -> list[int]:
    """The heights that some block proves a key to have voted twice for."""
    blocks = (ask(member, f"block?height={height}")["block"] for height in range(1, newest + 1))
    proofs = (proof for block in blocks for proof in block["evidence"]["evidence"])
    return [int(proof["value"]["vote_a"]["height"]) for proof in proofs]
