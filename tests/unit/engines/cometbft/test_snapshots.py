# SPDX-License-Identifier: Apache-2.0
"""A replica begins with a snapshot: the same one at everybody, and nothing of a false one."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.engines.cometbft.snapshots import (
    FORMAT,
    Snapshots,
    decode_chunk,
    decode_metadata,
)
from fieldpost.errors import Malformed
from fieldpost.node.mirrors import open_mirror
from fieldpost.records import map_keys
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_cluster import PaperCluster, PaperOperator
from tests.unit.engines.cometbft.signing import exchange, published

ACCEPT, RETRY, REJECT, REJECT_FORMAT, REJECT_SNAPSHOT = 1, 3, 3, 4, 5


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PaperCluster]:
    """Four operators; of height 4 there is a snapshot, and its size is published."""
    made = PaperCluster(tmp_path)
    made.start()
    made.block(made.maker.registration())
    made.block(made.maker.class_set())
    made.block()
    posts = [made.maker.lot_enrol(count=1, root=sha256(bytes([n])).digest()) for n in range(40)]
    made.block(*posts)
    made.block()
    size = made.state.size
    exchange(made, size, [0, 1, 2])
    published(made.operators[0], size)
    yield made
    made.close()


def newcomer(cluster: PaperCluster, name: str = "op4") -> PaperOperator:
    """An operator at its base, who may fetch the log from operator 0."""
    made = cluster.join(name, follow=False)
    made.sources = [open_mirror(str(cluster.operators[0].data))]
    return made


def snapshot(operator: PaperOperator) -> Any:
    (found,) = operator.ask("list_snapshots").snapshots
    return found


def chunks(operator: PaperOperator) -> list[bytes]:
    found = snapshot(operator)
    ask = {"height": found.height, "format": found.format}
    return [operator.ask("load_snapshot_chunk", chunk=n, **ask).chunk for n in range(found.chunks)]


def restore(into: PaperOperator, offered: Any, data: list[bytes], app_hash: bytes) -> list[int]:
    """What a replica answers to an offer and its chunks; it ends with the first refusal."""
    answers = [into.ask("offer_snapshot", snapshot=offered, app_hash=app_hash).result]
    for index, chunk in enumerate(data):
        if answers[-1] != ACCEPT:
            break
        answer = into.ask("apply_snapshot_chunk", index=index, chunk=chunk, sender="peer")
        answers.append(answer.result)
    return answers


def test_every_replica_makes_the_same_snapshot_byte_for_byte(cluster: PaperCluster) -> None:
    first, *others = cluster.operators
    found = snapshot(first)
    assert (found.height, found.format) == (4, FORMAT)
    assert found.chunks >= 5
    assert found.hash == sha256(found.metadata).digest()
    for other in others:
        assert snapshot(other) == found
        assert chunks(other) == chunks(first)
    pairs = [pair for chunk in chunks(first) for pair in decode_chunk(chunk)]
    assert pairs == sorted(pairs) == first.replica.db.items()
    again = Snapshots(every=4, chunk_bytes=1_500)
    again.keep(4, first.replica.computed("board.test/1"))
    assert again.list().snapshots[0] == found


def test_a_newcomer_stands_where_the_others_stand_and_goes_on_with_them(
    cluster: PaperCluster,
) -> None:
    one, late = cluster.operators[0], newcomer(cluster)
    app_hash = one.replica.root
    answers = restore(late, snapshot(one), chunks(one), app_hash)
    assert answers == [ACCEPT] * (1 + snapshot(one).chunks)
    info = late.ask("info", abci_version="2.0.0")
    assert (info.last_block_height, info.last_block_app_hash) == (4, app_hash)
    size = one.replica.state.size
    assert late.replica.log.read_entries(0, size) == one.replica.log.read_entries(0, size)
    for operator in (one, late):
        assert operator.replica.db.links_since(map_keys.board(), -1, size=size) == [0]
    assert late.replica.db.items() == one.replica.db.items()
    digests = [sha256(e).digest() for e in one.replica.log.read_entries(0, size)]
    receipts = one.replica.db.find_receipts(digests)
    assert len(receipts) == 43  # all but the state leaves
    assert late.replica.db.find_receipts(digests) == receipts

    late.take(cluster.blocks[4])
    block = cluster.decide(cluster.maker.lot_enrol(count=77))
    assert len({operator.take(block) for operator in cluster.operators}) == 1
    late.crash()
    late.start()
    assert late.replica.height == 6
    assert late.replica.root == one.replica.root


def test_snapshots_are_few_and_of_fixed_heights(cluster: PaperCluster) -> None:
    one = cluster.operators[0]
    for _ in range(8):
        cluster.block()
    assert [found.height for found in one.ask("list_snapshots").snapshots] == [8, 12]
    ask = {"format": FORMAT, "chunk": 0}
    assert one.ask("load_snapshot_chunk", height=4, **ask).chunk == b""
    assert one.ask("load_snapshot_chunk", height=12, **ask).chunk
    assert one.ask("load_snapshot_chunk", height=12, format=FORMAT, chunk=9_999).chunk == b""
    assert one.ask("load_snapshot_chunk", height=12, format=2, chunk=0).chunk == b""


# --- attacks: what peers offer that is not so; nothing of it is believed afterwards ---


def untouched(operator: PaperOperator, cluster: PaperCluster) -> bool:
    replica = operator.replica
    base = cluster.genesis.size
    return (replica.height, replica.state.size, replica.log.size) == (0, base, base)


def changed(offered: Any, **fields: Any) -> Any:
    """The offer with other metadata."""
    copy = type(offered).FromString(offered.SerializeToString())
    metadata = replace(decode_metadata(offered.metadata), **fields)
    copy.metadata = metadata.encode()
    copy.hash = sha256(copy.metadata).digest()
    return copy


def test_a_state_that_the_operators_did_not_agree_on_is_not_even_fetched(
    cluster: PaperCluster,
) -> None:
    """The light client verified another hash; or another state leaf is offered for the true one."""
    one, late = cluster.operators[0], newcomer(cluster)
    offered, root = snapshot(one), one.replica.root
    leaf = one.replica.log.read_entry(3)
    offers = [
        (offered, bytes(32)),
        (changed(offered, state_leaf=leaf), root),
        (changed(offered, edge=()), root),
        (changed(offered, board="other/1#00"), root),
        (changed(offered, size=7), root),
        (changed(offered, chunks=(bytes(32),)), root),
    ]
    for offer, app_hash in offers:
        assert restore(late, offer, [], app_hash) == [REJECT]
    broken = changed(offered)
    broken.metadata = b"\xff"
    assert restore(late, broken, [], root) == [REJECT]
    broken = changed(offered)
    broken.format = 2
    assert restore(late, broken, [], root) == [REJECT_FORMAT]
    assert untouched(late, cluster)


def test_a_false_chunk_is_fetched_again_from_somebody_else(cluster: PaperCluster) -> None:
    one, late = cluster.operators[0], newcomer(cluster)
    data = chunks(one)
    late.ask("offer_snapshot", snapshot=snapshot(one), app_hash=one.replica.root)
    false = data[0][:-1] + bytes([data[0][-1] ^ 1])
    answer = late.ask("apply_snapshot_chunk", index=0, chunk=false, sender="liar")
    assert answer.result == RETRY
    assert (list(answer.refetch_chunks), list(answer.reject_senders)) == ([0], ["liar"])
    for index, chunk in enumerate(data):
        answer = late.ask("apply_snapshot_chunk", index=index, chunk=chunk, sender="honest")
        assert answer.result == ACCEPT
    assert late.replica.height == 4


def forged(cluster: PaperCluster) -> tuple[Any, list[bytes]]:
    """A snapshot whose metadata fits its chunks and the agreed hash; one value is another."""
    one = cluster.operators[0]
    data = chunks(one)
    pairs = decode_chunk(data[2])
    pairs[0] = (pairs[0][0], pairs[0][1] + b"!")
    data[2] = cbor.encode([part for pair in pairs for part in pair])
    digests = tuple(sha256(chunk).digest() for chunk in data)
    return changed(snapshot(one), chunks=digests), data


def test_a_forged_value_is_noticed_before_anything_is_written(cluster: PaperCluster) -> None:
    late = newcomer(cluster)
    offered, data = forged(cluster)
    answers = restore(late, offered, data, cluster.operators[0].replica.root)
    assert answers[-1] == REJECT_SNAPSHOT
    assert untouched(late, cluster)


def test_control_without_the_map_root_the_forged_value_is_believed(cluster: PaperCluster) -> None:
    late = newcomer(cluster)
    offered, data = forged(cluster)
    with without(Defence.SNAPSHOT_ROOT):
        answers = restore(late, offered, data, cluster.operators[0].replica.root)
    assert answers[-1] == ACCEPT
    assert late.replica.state.map.root != late.replica.state.last.map_root


def test_a_log_of_another_history_is_not_taken(cluster: PaperCluster, tmp_path: Path) -> None:
    """The first peer whom the record names serves another board's log; the next one is honest."""
    one, late = cluster.operators[0], newcomer(cluster)
    other = PaperCluster(tmp_path / "other")
    other.start()
    other.block(other.maker.registration())
    other.block()
    exchange(other, 4, [0, 1, 2])
    published(other.operators[0], 4)
    other.close()
    late.sources.insert(0, open_mirror(str(other.operators[0].data)))
    assert restore(late, snapshot(one), chunks(one), one.replica.root)[-1] == ACCEPT
    alone = newcomer(cluster, "op5")
    alone.sources = late.sources[:1]
    assert restore(alone, snapshot(one), chunks(one), one.replica.root)[-1] == REJECT_SNAPSHOT
    assert untouched(alone, cluster)


def test_a_replica_with_blocks_takes_no_snapshot(cluster: PaperCluster) -> None:
    one, two = cluster.operators[:2]
    assert restore(two, snapshot(one), [], one.replica.root) == [REJECT]
    answer = two.ask("apply_snapshot_chunk", index=0, chunk=b"", sender="")
    assert answer.result == REJECT_SNAPSHOT


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x83\x41a\x41b\x41c", b"\x82\x41a\x01"])
def test_what_is_no_chunk_and_no_metadata_is_malformed(data: bytes) -> None:
    if data != b"\x80":
        with pytest.raises(Malformed):
            decode_chunk(data)
    with pytest.raises(Malformed):
        decode_metadata(data)
