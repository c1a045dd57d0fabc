# SPDX-License-Identifier: Apache-2.0
"""Blocks move every replica alike, and none is moved by anything else."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldpost import cbor
from fieldpost.cli.main import fieldpost
from fieldpost.engines.base import Receipt
from fieldpost.engines.cometbft.replica import MOST_POSTS, validator_updates
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.ledger.batch import Refused
from fieldpost.ledger.codes import Code
from fieldpost.ledger.reading import read_board
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.paper_cluster import Block, PaperCluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PaperCluster]:
    made = PaperCluster(tmp_path)
    made.start()
    yield made
    made.close()


def lots(cluster: PaperCluster, count: int, seed: int = 0) -> list[bytes]:
    return [
        cluster.maker.lot_enrol(count=1, root=sha256(b"%d %d" % (seed, n)).digest())
        for n in range(count)
    ]


def test_every_operator_computes_the_same_hash_and_the_ledgers_state(cluster: PaperCluster) -> None:
    first = cluster.block(cluster.maker.registration())
    second = cluster.block(cluster.maker.class_set())
    third = cluster.block(*lots(cluster, 5))
    assert len({first, second, third}) == 3
    for operator in cluster.operators:
        assert operator.replica.state.last == cluster.state.last
        assert operator.replica.root == operator.replica.log.compact_range().root() == third
        assert operator.ask("info", abci_version="2.0.0").last_block_app_hash == third


def test_a_block_that_adds_nothing_changes_the_height_alone(cluster: PaperCluster) -> None:
    before = cluster.block(cluster.maker.registration())
    assert cluster.block() == before
    assert cluster.block(b"no post at all") == before
    for operator in cluster.operators:
        assert operator.replica.height == operator.replica.db.height() == 3
        assert operator.replica.log.size == 4


def test_the_same_posts_in_the_same_batches_give_the_embedded_engines_root(tmp_path: Path) -> None:
    """A moved board: the embedded one's log is the base, and its next batches come as blocks."""
    board = BoardOnDisk(tmp_path / "embedded")
    writer = board.open()
    board.write(writer, board.maker.registration())
    board.write(writer, board.maker.class_set())
    writer.close()
    engine = EmbeddedEngine(board.data, clock=lambda: board.time)
    base_size = engine.published().size
    engine.close()
    from fieldpost.engines.cometbft.replica import Base, open_replica
    from fieldpost.engines.cometbft.seen import SeenPosts
    from fieldpost.store.log_recovery import open_log

    copy = tmp_path / "replica"
    shutil.copytree(board.data / "log", copy / "log")
    base = Base(board.state.board, base_size, open_log(copy / "log").compact_range().root())
    replica = open_replica(copy, base)
    writer = board.open()
    seen = SeenPosts()
    for height in range(1, 4):
        posts = [
            board.maker.lot_enrol(count=1, root=sha256(bytes([height, n])).digest())
            for n in range(3)
        ]
        board.write(writer, *posts)
        memory = seen.memory(posts, replica.state.map)
        decided = replica.decide(posts, time=board.time, memory=memory)
        replica.commit(decided, height, keep=0, memory=memory)
        assert writer.head is not None
        assert decided.root == writer.head.checkpoint.root
        assert replica.state.last == writer.state.last
    replica.close()
    writer.close()


def test_a_replica_that_died_before_commit_replays_the_block(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    block = cluster.decide(cluster.maker.class_set())
    one, *others = cluster.operators
    hashes = {operator.take(block) for operator in others}
    hashes.add(one.finalize(block))
    one.crash()
    one.start()
    assert one.replica.height == 1
    hashes.add(one.replay(cluster.blocks))
    assert len(hashes) == 1
    assert one.replica.state.last == cluster.state.last


def test_without_a_state_database_everything_is_replayed_over_the_log(
    cluster: PaperCluster,
) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block(cluster.maker.class_set())
    wanted = cluster.block(*lots(cluster, 300))
    one = cluster.operators[0]
    entries = one.replica.log.read_entries(0, one.replica.log.size)
    one.crash()
    for path in one.data.glob("state.db*"):
        path.unlink()
    one.start()
    assert (one.replica.height, one.replica.state.size) == (0, 2)
    assert one.replay(cluster.blocks) == wanted
    assert one.replica.log.read_entries(0, one.replica.log.size) == entries


@pytest.mark.parametrize("how", ["another version", "node rebuild"])
def test_a_state_database_that_is_set_aside_is_made_anew_by_blocks(
    cluster: PaperCluster, how: str
) -> None:
    """The log alone cannot tell of which block it is."""
    cluster.block(cluster.maker.registration())
    wanted = cluster.block(cluster.maker.class_set())
    one = cluster.operators[0]
    one.crash()
    if how == "node rebuild":
        genesis = one.data / "cometbft" / "config" / "genesis.json"
        genesis.parent.mkdir(parents=True, exist_ok=True)
        genesis.touch()
        rebuilt = CliRunner().invoke(fieldpost, ["node", "rebuild", "--data", str(one.data)])
        assert rebuilt.exit_code == 0, rebuilt.output
        assert "operator run" in rebuilt.output
    else:
        with closing(sqlite3.connect(one.data / "state.db", isolation_level=None)) as db:
            db.execute("PRAGMA user_version = 99")
    one.start()
    assert (one.data / "state.db.aside").exists()
    assert (one.replica.height, one.replica.state.size) == (0, 2)
    assert one.replay(cluster.blocks) == wanted
    assert one.replica.state.last == cluster.state.last


def test_a_wiped_operator_comes_back_by_its_blocks_alone(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    cluster.block(cluster.maker.class_set())
    wanted = cluster.block(*lots(cluster, 20))
    one = cluster.operators[0]
    one.crash()
    shutil.rmtree(one.data / "log")
    for path in one.data.glob("state.db*"):
        path.unlink()
    one.start()
    assert one.replay(cluster.blocks) == wanted
    assert one.replica.state.last == cluster.state.last


def test_blocks_that_make_another_log_than_the_one_here_are_refused(cluster: PaperCluster) -> None:
    """A data directory of another history: nothing of it is overwritten."""
    cluster.block(cluster.maker.registration())
    one = cluster.operators[0]
    entries = one.replica.log.read_entries(0, one.replica.log.size)
    one.crash()
    for path in one.data.glob("state.db*"):
        path.unlink()
    one.start()
    other = Block(cluster.blocks[0].txs, 1, cluster.blocks[0].time + 1)
    one.finalize(other)
    with pytest.raises(Misconfigured, match="other entries"):
        one.ask("commit")
    assert one.replica.log.read_entries(0, one.replica.log.size) == entries


def test_what_became_of_each_post_is_told_and_hashed_as_a_code(cluster: PaperCluster) -> None:
    post = cluster.maker.registration()
    cluster.block(post)
    one = cluster.operators[0]
    block = cluster.decide(post, b"x", cluster.maker.class_set())
    found = one.ask("finalize_block", txs=[*block.txs, b"\xff"], height=2, time={"seconds": 5})
    codes = cbor.decode(found.tx_results[0].data)
    assert isinstance(codes, tuple)
    assert codes[1:] == (int(Code.MALFORMED), 0)
    assert codes[0] not in (0, None)
    assert found.tx_results[1].code == int(Code.MALFORMED)
    one.ask("commit")
    outcomes = [outcome for _, outcome in one.heard[-1]]
    assert isinstance(outcomes[0], Refused)
    assert outcomes[2] == Receipt(4, 6)


def test_a_post_never_enters_the_log_twice(cluster: PaperCluster) -> None:
    posts = [cluster.maker.registration()]
    cluster.block(*posts)
    posts.append(cluster.maker.class_set())
    cluster.block(*posts, *posts)
    cluster.block(*posts)
    replica = cluster.operators[0].replica
    entries = replica.log.read_entries(0, replica.log.size)
    assert all(entries.count(post) == 1 for post in posts)


def test_more_posts_than_a_batch_holds_are_refused_at_the_same_place(cluster: PaperCluster) -> None:
    replica = cluster.operators[0].replica
    posts = [b"%d" % n for n in range(MOST_POSTS + 2)]
    from fieldpost.engines.cometbft.seen import SeenPosts

    memory = SeenPosts().memory(posts, replica.state.map)
    decided = replica.decide(posts, time=cluster.time, memory=memory)
    assert len(decided.outcomes) == len(posts)
    last = decided.outcomes[-1]
    assert isinstance(last, Refused)
    assert last.detail == "the block is too long"


def test_a_full_disk_at_commit_leaves_the_block_to_be_replayed(cluster: PaperCluster) -> None:
    cluster.block(cluster.maker.registration())
    block = cluster.decide(cluster.maker.class_set())
    one = cluster.operators[0]
    wanted = cluster.operators[1].take(block)
    one.finalize(block)
    one.replica.db.close()
    with pytest.raises(Unavailable):
        one.ask("commit")
    one.crash()
    one.start()
    assert one.replica.height == 1
    assert one.replay(cluster.blocks) == wanted


def test_another_chain_or_another_interface_is_refused(cluster: PaperCluster) -> None:
    one = cluster.operators[0]
    with pytest.raises(Misconfigured, match="another chain"):
        one.ask("init_chain", app_state_bytes=b'{"board": "other/1#00", "size": 2, "root": "00"}')
    with pytest.raises(Misconfigured, match="ABCI 1"):
        one.ask("info", abci_version="1.0.0")


def test_validators_follow_the_operators_of_the_record(cluster: PaperCluster) -> None:
    before = cluster.state
    record = read_board(before.map)
    keys = [operator.validator_key for operator in record.operators]
    assert validator_updates(before, before) == {}
    found = cluster.operators[0].ask("finalize_block", txs=[], height=1, time={"seconds": 1})
    assert list(found.validator_updates) == []
    assert len(set(keys)) == 4
