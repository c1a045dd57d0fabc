# SPDX-License-Identifier: Apache-2.0
"""The state leaf of a checkpoint, and the proof that it is its last entry.

    [state leaf, edge hash…]            CBOR byte strings; the edge leaf to root

A tree of size N ends in its state leaf, so the leaf and its right edge lead to the root: whoever
has both knows under which board record the checkpoint stands (docs/spec/witness.md).
"""

from dataclasses import dataclass
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.records.limits import MAX_EDGE_HASHES
from fieldpost.records.state_leaf import StateLeaf, decode_state_leaf
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.proof import root_from_edge
from fieldpost.tlog.treehead import Checkpoint

MAX_STATE_PROOF_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class StateProof:
    """An entry that claims to be a state leaf, and its right edge. Nothing is verified."""

    leaf: bytes
    edge: tuple[Hash, ...]

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode([self.leaf, *self.edge])

    def verify(self, checkpoint: Checkpoint) -> StateLeaf:
        """The state leaf in which the checkpoint's tree ends.

        Raises Malformed, Untrusted("bad-proof") if it is another tree's.
        """
        leaf = decode_state_leaf(self.leaf)
        root = root_from_edge(
            leaf_hash=leaf_hash(self.leaf), index=leaf.covered_size, edge=self.edge
        )
        if (leaf.covered_size + 1, root) != (checkpoint.size, checkpoint.root):
            raise Untrusted("bad-proof", "the state leaf is not the last entry of this checkpoint")
        return leaf


def decode_state_proof(data: bytes) -> StateProof:
    """Read a state proof of at most `MAX_STATE_PROOF_BYTES`. Raises Malformed."""
    if len(data) > MAX_STATE_PROOF_BYTES:
        raise Malformed(f"a state proof of more than {MAX_STATE_PROOF_BYTES} bytes")
    parts = cbor.decode_byte_strings(data, most=1 + MAX_EDGE_HASHES)
    if not parts:
        raise Malformed("a state proof without a state leaf")
    leaf, *edge = parts
    return StateProof(leaf, tuple(edge))
