# SPDX-License-Identifier: Apache-2.0
"""The size to serve is asked per maker's policy, and old roots live until no policy needs them.

The board names two witnesses and needs neither to publish; makers' policies demand none, one or
both of them. The operator's cosignature is there at once, the witnesses' come late.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.engines.base import PublishedHead, Receipt
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.published import MOST_AWAITED, PublishedHeads
from fieldpost.errors import NotFound, Unavailable, Untrusted
from fieldpost.records import map_keys
from fieldpost.records.policy import DevicePolicy
from fieldpost.testing.actors import WitnessActor
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.checkpoint import Checkpoint, parse_checkpoint
from fieldpost.tlog.cosignature import cosign, format_cosignature
from fieldpost.tlog.note import NoteSignature, parse_note

WAIT_S = 60.0


class Late:
    """A board with two witnesses, its engine, and cosignatures that arrive when a test says so."""

    def __init__(self, data: Path) -> None:
        self.board = BoardOnDisk(data, witnesses=2)
        self.first, self.second = self.board.witnesses
        self.engine = self.open()

    def open(self) -> EmbeddedEngine:
        return EmbeddedEngine(self.board.data, clock=lambda: self.board.time, uptime=lambda: 0.0)

    def restart(self) -> None:
        self.engine.close()
        self.engine = self.open()

    def policy(self, needed: int) -> DevicePolicy:
        return replace(self.board.maker.record().policy, witnesses_needed=needed)

    def post(self, entry: bytes) -> Receipt:
        self.board.apply([entry])
        return self.engine.submit(entry).result(WAIT_S)

    def size(self, needed: int) -> int:
        return self.engine.published(self.policy(needed)).size

    def arrive(self, witness: WitnessActor, checkpoint: Checkpoint) -> PublishedHead:
        line = line_of(witness, checkpoint, self.board.time)
        return self.engine.add_cosignatures(checkpoint.size, [line])


def line_of(witness: WitnessActor, checkpoint: Checkpoint, timestamp: int) -> NoteSignature:
    cosignature = cosign(
        checkpoint, name=witness.key.name, signer=witness.signer, timestamp=timestamp
    )
    return format_cosignature(cosignature, name=witness.key.name)


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Late]:
    made = Late(tmp_path / "data")
    yield made
    made.engine.close()


def test_a_policy_gets_the_largest_size_that_its_witnesses_cosigned(late: Late) -> None:
    with pytest.raises(Unavailable, match="late"):
        late.engine.published(late.policy(1))
    checkpoints = [late.engine.published().checkpoint]
    for post in (late.board.maker.registration, late.board.maker.class_set):
        late.post(post())
        checkpoints.append(late.engine.published().checkpoint)
    assert [checkpoint.size for checkpoint in checkpoints] == [2, 4, 6]
    late.arrive(late.first, checkpoints[1])
    assert [late.size(needed) for needed in (0, 1)] == [6, 4]
    with pytest.raises(Unavailable):
        late.engine.published(late.policy(2))
    late.arrive(late.first, checkpoints[0])
    late.arrive(late.second, checkpoints[0])
    assert [late.size(needed) for needed in (0, 1, 2)] == [6, 4, 2]


def test_every_head_proves_from_its_own_map_also_after_a_restart(late: Late) -> None:
    genesis = late.engine.published().checkpoint
    for witness in (late.first, late.second):
        late.arrive(witness, genesis)
    late.post(late.board.maker.registration())
    second = late.engine.published().checkpoint
    late.arrive(late.first, second)
    late.post(late.board.maker.class_set())
    late.post(late.board.maker.class_set(most_devices=7))
    class_key = map_keys.device_class(late.board.maker.class_id("tracker"))
    maker_key = map_keys.maker(late.board.maker.id)
    for _ in range(2):
        assert [late.size(needed) for needed in (0, 1, 2)] == [8, 4, 2]
        heads = [late.engine.published(late.policy(needed)) for needed in (0, 1, 2)]
        there = [[h.map.value(k) is not None for k in (maker_key, class_key)] for h in heads]
        assert there == [[True, True], [True, False], [False, False]]
        assert [len(head.cosignatures) for head in heads] == [1, 2, 3]
        for head in heads:
            assert parse_checkpoint(parse_note(head.note).text) == head.checkpoint
        late.restart()
    # The old size still takes what was under way when the node stopped.
    late.arrive(late.second, second)
    assert [late.size(needed) for needed in (0, 1, 2)] == [8, 4, 4]


def test_an_old_root_goes_when_a_newer_one_has_every_witness(late: Late) -> None:
    checkpoints = []
    maker = late.board.maker
    for post in (maker.registration, maker.class_set, maker.lot_enrol):
        late.post(post())
        checkpoints.append(late.engine.published().checkpoint)
    for witness in (late.first, late.second):
        late.arrive(witness, checkpoints[1])
    assert [late.size(needed) for needed in (0, 1, 2)] == [8, 6, 6]
    with pytest.raises(NotFound):
        late.arrive(late.first, checkpoints[0])
    late.restart()
    assert [late.size(needed) for needed in (0, 1, 2)] == [8, 6, 6]
    with pytest.raises(NotFound):
        late.arrive(late.first, checkpoints[0])


def test_the_newest_checkpoint_file_carries_what_came_late(late: Late) -> None:
    head = late.arrive(late.first, late.engine.published().checkpoint)
    assert (late.board.data / "log" / "checkpoint").read_bytes() == head.note
    assert len(parse_note(head.note).signatures) == 3
    again = late.engine.refresh(late.board.time + 60)
    assert again.timestamp == late.board.time + 60
    assert again.witnesses == {late.first.key}, "an old cosignature still counts for its time"
    assert min(c.timestamp for c in again.cosignatures) == late.board.time


@pytest.mark.parametrize("spoilt", [0, 20, -1])
def test_a_bad_cosignature_is_not_taken_since_it_would_refuse_every_bundle(
    late: Late, spoilt: int
) -> None:
    head = late.engine.published()
    line = line_of(late.first, head.checkpoint, late.board.time)
    payload = bytearray(line.payload)
    payload[spoilt] ^= 1
    with pytest.raises(Untrusted, match="bad-signature"):
        late.engine.add_cosignatures(2, [replace(line, payload=bytes(payload))])
    assert late.engine.published() is head


def test_strangers_and_sizes_that_never_were_change_nothing(late: Late) -> None:
    checkpoint = late.engine.published().checkpoint
    note = late.engine.published().note
    assert late.arrive(WitnessActor("stranger"), checkpoint).note == note
    with pytest.raises(NotFound):
        late.engine.add_cosignatures(3, [line_of(late.first, checkpoint, 1)])


def test_a_board_without_witnesses_keeps_one_head(tmp_path: Path) -> None:
    board = BoardOnDisk(tmp_path / "data")
    writer = board.open()
    for post in (board.maker.registration, board.maker.class_set):
        board.write(writer, post())
        assert writer.heads is not None
        assert [head.size for head in writer.heads.heads] == [board.state.size]
    assert writer.db.heads() == {}
    writer.close()


def test_heads_that_wait_for_a_witness_that_never_comes_are_bounded(late: Late) -> None:
    """One witness is dead: the size that both cosigned lives on, few of the newer ones do."""
    head = late.arrive(late.first, late.engine.published().checkpoint)
    head = late.arrive(late.second, head.checkpoint)
    heads = PublishedHeads((head,))
    for size in range(3, 4 * MOST_AWAITED):
        cosigned = frozenset({late.first.key} if size == 50 else ())
        checkpoint = replace(head.checkpoint, size=size)
        awaited = frozenset({late.first.key, late.second.key}) - cosigned
        heads = heads.with_head(
            replace(head, checkpoint=checkpoint, witnesses=cosigned, awaited=awaited)
        )
    assert len(heads.heads) == MOST_AWAITED + 2
    assert heads.satisfying(late.policy(2)).size == heads.oldest_size == 2
    assert heads.satisfying(late.policy(1)).size == 50
    assert heads.satisfying(late.policy(0)) is heads.newest
