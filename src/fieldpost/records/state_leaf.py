# SPDX-License-Identifier: Apache-2.0
"""The state leaf v1: last entry of every batch that changed anything (docs/spec/log.md).

    ["fieldpost/state", 1, covered_size, map_root, key_count, previous_state_index | null, time,
     board_epoch, board_link]

`covered_size` is its own index, so a tree of size N ends in the leaf that states the map over
entries 0…N-2, and its inclusion proof is the tree's right edge.
"""

from dataclasses import dataclass
from typing import Any, Final

from fieldpost import cbor
from fieldpost.errors import Malformed

PREFIX = "fieldpost/state"
_VERSION: Final = 1
_NONE: Final = "an entry that is no state leaf of version 1"

# By name, since true is an int to a match; and at once, since a match asks nine times.
_TYPES: Final = (str, int, int, bytes, int, int, int, int, bytes)
_TYPES_OF_FIRST: Final = (*_TYPES[:5], type(None), *_TYPES[6:])


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
                _VERSION,
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
    value = cbor.decode(entry)
    if not isinstance(value, tuple) or tuple(map(type, value)) not in (_TYPES, _TYPES_OF_FIRST):
        raise Malformed(_NONE)
    fields: Any = value
    prefix, version, covered, root, count, previous, time, epoch, link = fields
    if (
        prefix != PREFIX
        or version != _VERSION
        or len(root) != 32
        or len(link) != 32
        or min(covered, count, time, epoch) < 0
        or (previous is not None and not 0 <= previous < covered)
    ):
        raise Malformed(_NONE)
    return StateLeaf(
        covered_size=covered,
        map_root=root,
        key_count=count,
        previous_state_index=previous,
        time=time,
        board_epoch=epoch,
        board_link=link,
    )
