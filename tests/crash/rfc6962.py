# SPDX-License-Identifier: Apache-2.0
"""The root of a log by the words of RFC 6962 §2.1 alone: what a stranger would recompute."""

from collections.abc import Sequence
from hashlib import sha256


def root_of(entries: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of `entries`."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    split = 1 << (len(entries) - 1).bit_length() - 1
    return sha256(b"\1" + root_of(entries[:split]) + root_of(entries[split:])).digest()
