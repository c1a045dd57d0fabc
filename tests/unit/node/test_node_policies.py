# SPDX-License-Identifier: Apache-2.0
"""Each class is served at the largest size that its own maker's device policy accepts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.checkin.bundle import decode_bundle
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.errors import NotFound, Unavailable
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.config import Limits
from fieldpost.node.service import NodeService
from fieldpost.records import map_keys
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.store.blobs import FileBlobs
from fieldpost.testing.actors import MakerActor, WitnessActor
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.cosignature import cosign, format_cosignature

WAIT_S = 60.0


class Makers:
    """A node of a board with two witnesses; `plain` demands neither, `strict` both of them."""

    def __init__(self, data: Path) -> None:
        self.board = BoardOnDisk(data, witnesses=2)
        self.plain, self.strict = MakerActor(self.board, "plain"), MakerActor(self.board, "strict")
        self.checkpoints: list[Checkpoint] = []
        self.open()

    def open(self) -> None:
        data = self.board.data
        self.engine = EmbeddedEngine(data, clock=lambda: self.board.time, uptime=lambda: 0.0)

        self.node = NodeService(
            engine=self.engine,
            blobs=FileBlobs(data / "blobs"),
            log=data / "log",
            catalog=data / "catalog.db",
            limits=Limits(),
            metrics=Metrics(),
            clock=lambda: self.board.time,
        )

    def close(self) -> None:
        self.node.close()
        self.engine.close()

    def post(self, entry: bytes) -> None:
        self.board.apply([entry])
        self.engine.submit(entry).result(WAIT_S)
        self.checkpoints.append(self.engine.published().checkpoint)

    def register(self, maker: MakerActor, needed: int) -> None:
        policy = replace(maker.record().policy, witnesses_needed=needed)
        self.post(maker.registration(policy=policy))
        self.post(maker.class_set())

    def arrive(self, witness: WitnessActor, checkpoint: Checkpoint) -> None:
        name = witness.key.name
        made = cosign(checkpoint, name=name, signer=witness.signer, timestamp=self.board.time)
        self.engine.add_cosignatures(checkpoint.size, [format_cosignature(made, name=name)])

    def served(self, maker: MakerActor) -> int:
        prepared = self.node.checkin(maker.class_id("tracker"), "stable", post_quantum=False)
        bundle = decode_bundle(prepared.body, most_bytes=MAX_PROOF_BYTES)
        return decode_state_leaf(bundle.state_leaf).covered_size + 1


@pytest.fixture
def makers(tmp_path: Path) -> Iterator[Makers]:
    made = Makers(tmp_path / "data")
    yield made
    made.close()


def test_two_makers_get_different_sizes_while_a_witness_is_late(makers: Makers) -> None:
    makers.register(makers.plain, needed=0)
    makers.register(makers.strict, needed=2)
    first = makers.checkpoints[-1]
    assert makers.served(makers.plain) == first.size == 10
    with pytest.raises(Unavailable, match="witnesses"):
        makers.served(makers.strict)
    for witness in makers.board.witnesses:
        makers.arrive(witness, first)
    makers.post(makers.strict.class_set(most_devices=5))
    second = makers.checkpoints[-1]
    assert (makers.served(makers.plain), makers.served(makers.strict)) == (12, 10)
    makers.close()
    makers.open()
    assert (makers.served(makers.plain), makers.served(makers.strict)) == (12, 10)
    makers.arrive(makers.board.witnesses[0], second)
    assert makers.served(makers.strict) == 10
    makers.arrive(makers.board.witnesses[1], second)
    assert (makers.served(makers.plain), makers.served(makers.strict)) == (12, 12)


def test_a_class_that_the_witnesses_have_not_seen_is_not_missing_but_late(makers: Makers) -> None:
    makers.register(makers.strict, needed=2)
    before_class = makers.checkpoints[0]
    for witness in makers.board.witnesses:
        makers.arrive(witness, before_class)
    with pytest.raises(Unavailable, match="have not cosigned this class"):
        makers.served(makers.strict)
    with pytest.raises(NotFound):
        makers.served(makers.plain)


def test_any_key_is_proven_at_the_size_that_a_makers_devices_accept(makers: Makers) -> None:
    makers.register(makers.strict, needed=1)
    makers.arrive(makers.board.witnesses[0], makers.checkpoints[0])
    key = map_keys.device_class(makers.strict.class_id("tracker"))
    newest = decode_bundle(makers.node.proof(key, maker=None).body, most_bytes=MAX_PROOF_BYTES)
    accepted = makers.node.proof(key, maker=makers.strict.id).body
    assert newest.value is not None
    assert decode_bundle(accepted, most_bytes=MAX_PROOF_BYTES).value is None
