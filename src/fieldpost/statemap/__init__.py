# SPDX-License-Identifier: Apache-2.0
"""The state map: one hash over every record of a board, with short proofs of any one of them.

A Merkle Patricia tree over 32-byte keys (docs/spec/state-map.md). `tree` is the persistent map
that a ledger keeps; `proof` is all that a device needs.
"""

from fieldpost.statemap.proof import root_from_proof, verify_proof
from fieldpost.statemap.tree import StateMap

__all__ = ["StateMap", "root_from_proof", "verify_proof"]
