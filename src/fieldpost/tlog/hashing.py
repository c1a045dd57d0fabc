# SPDX-License-Identifier: Apache-2.0
"""The three hashes of the log's tree (RFC 6962 §2.1, SHA-256).

    empty tree   H("")
    leaf         H(00 ‖ entry)
    inner node   H(01 ‖ left ‖ right)

The first byte keeps leaves and nodes apart, so no entry can pass for a subtree.
"""

from hashlib import sha256
from typing import Final

Hash = bytes
"""32 bytes of SHA-256."""

HASH_BYTES: Final = 32
EMPTY_ROOT: Final[Hash] = sha256(b"").digest()
NODE_PREFIX: Final = b"\x01"


def leaf_hash(entry: bytes) -> Hash:
    """The hash of one log entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    """The hash of an inner node over its two children."""
    return sha256(NODE_PREFIX + left + right).digest()
