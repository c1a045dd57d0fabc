# SPDX-License-Identifier: Apache-2.0
"""States that a board could reach by rules to come: made by hand, and cosigned by everybody."""

from dataclasses import replace

from fieldpost.checkin.build import build_bundle
from fieldpost.records.fields import Reading
from fieldpost.records.head import decode_head
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.statemap import StateMap
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tree import CompactRange
from fieldpost.tlog.treehead import Checkpoint
from vectors.sections.world import head_key


def _stated(
    world: BoardWorld, writes: dict[bytes, bytes], **leaf_changes: object
) -> tuple[StateMap, bytes, Checkpoint]:
    """What a board could state next: a map after `writes`, its state leaf, and the tree over it."""
    after = world.state.map.update(writes)
    last = decode_state_leaf(world.entries[-1])
    size = len(world.entries)
    leaf = replace(
        last,
        **{
            "covered_size": size,
            "map_root": after.root,
            "key_count": len(after),
            "previous_state_index": size - 1,
            "time": last.time + 60,
        }
        | leaf_changes,  # type: ignore[arg-type]
    )
    tree = (
        CompactRange.empty().extend(map(leaf_hash, world.entries)).append(leaf_hash(leaf.encode()))
    )
    return after, leaf.encode(), Checkpoint(world.origin, size + 1, tree.root())


def next_bundle(world: BoardWorld, writes: dict[bytes, bytes], **leaf_changes: object) -> bytes:
    """A bundle of the head in a state that no rule made, cosigned by everybody."""
    after, leaf, checkpoint = _stated(world, writes, **leaf_changes)
    edge = CompactRange.empty().extend(map(leaf_hash, world.entries)).edge()
    signed = world.cosignatures(checkpoint=checkpoint, timestamp=world.time + 60)
    return build_bundle(
        map=after, key=head_key(world), state_leaf=leaf, edge=edge, cosignatures=signed
    )


def moved_head(world: BoardWorld, epoch: int, link: bytes) -> dict[bytes, bytes]:
    """The write that puts the head under another link of its maker."""
    value = world.value(head_key(world))
    assert value is not None
    head = decode_head(value, Reading.LEDGER)
    return {head_key(world): replace(head, maker_epoch=epoch, maker_link=link).encode()}
