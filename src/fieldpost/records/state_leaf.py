# SPDX-License-Identifier: Apache-2.0
"""The state leaf v1: last entry of every batch that changed anything (docs/spec/log.md).

    ["fieldpost/state", 1, covered_size, map_root, key_count, previous_state_index | null, time,
     board_epoch, board_link]

`covered_size` is its own index, so a tree of size N ends in the leaf that states the map over
entries 0…N-2, and its inclusion proof is the tree's right edge.
"""

from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.errors import Malformed

PREFIX = "fieldpost/state"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLeaf:
    """What the map was after a batch. `time` in Unix seconds."""

    covered_size: int
    map_root: bytes
    key_count: int
    previous_state_index: int | None
    time: int
    board_epoch: int
    board_link: bytes

    def encode(self) -> bytes:
        """Deterministic CBOR: the entry."""
        return cbor.encode(
            [
                PREFIX,
                1,
                self.covered_size,
                self.map_root,
                self.key_count,
                self.previous_state_index,
                self.time,
                self.board_epoch,
                self.board_link,
            ]
        )


def is_state_leaf(entry: bytes) -> bool:
    """Whether an entry is a state leaf; posts begin with a COSE tag instead."""
    return entry[:1] == b"\x89"


def decode_state_leaf(entry: bytes) -> StateLeaf:
    """Read a state leaf. Raises Malformed."""
    match cbor.decode(entry):
        case (
            "fieldpost/state",
            int(version),
            int(covered),
            bytes(root),
            int(count),
            (None | int()) as previous,
            int(time),
            int(epoch),
            bytes(link),
        ) if (
            # In a match true is an int and equals 1, so types are asked for by name.
            type(version) is int
            and version == 1
            and len(root) == len(link) == 32
            and min(covered, count, time, epoch) >= 0
            and (previous is None or 0 <= previous < covered)
            and not any(isinstance(v, bool) for v in (covered, count, previous, time, epoch))
        ):
            return StateLeaf(
                covered_size=covered,
                map_root=root,
                key_count=count,
                previous_state_index=previous,
                time=time,
                board_epoch=epoch,
                board_link=link,
            )
        case _:
            raise Malformed("an entry that is no state leaf of version 1")
