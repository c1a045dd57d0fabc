# SPDX-License-Identifier: Apache-2.0
"""The state leaf v1: last entry of every batch that changed anything (docs/spec/log.md).

    ["fieldpost/state", 1, covered_size, map_root, key_count, previous_state_index | null, time,
     board_epoch, board_link]

`covered_size` is its own index, so a tree of size N ends in the leaf that states the map over
entries 0…N-2, and its inclusion proof is the tree's right edge.
"""

from dataclasses import dataclass
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed

PREFIX = "fieldpost/state"
_VERSION: Final = 1
_NONE: Final = "an entry that is no state leaf of version 1"

_BEGIN: Final = b"\x89" + cbor.encode(PREFIX) + cbor.encode(_VERSION)

_NULL: Final = b"\xf6"
_HASH_HEAD: Final = b"\x58\x20"


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
    if not entry.startswith(_BEGIN):
        raise Malformed(_NONE)
    # One form and no other, so it is read as it stands.
    covered, at = cbor.read_head(entry, len(_BEGIN), 0)
    root, at = _read_hash(entry, at)
    count, at = cbor.read_head(entry, at, 0)
    previous: int | None = None
    if entry[at : at + 1] == _NULL:
        at += 1
    else:
        previous, at = cbor.read_head(entry, at, 0)
    time, at = cbor.read_head(entry, at, 0)
    epoch, at = cbor.read_head(entry, at, 0)
    link, at = _read_hash(entry, at)
    if at != len(entry) or (previous is not None and previous >= covered):
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


def _read_hash(entry: bytes, at: int) -> tuple[bytes, int]:
    end = at + 34
    if entry[at : at + 2] != _HASH_HEAD or end > len(entry):
        raise Malformed(_NONE)
    return entry[at + 2 : end], end
