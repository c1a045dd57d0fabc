# SPDX-License-Identifier: Apache-2.0
"""A transaction is a bundle of posts: one entry of CometBFT's mempool for many of the ledger's.

    bundle = [ post … ]     deterministic CBOR: an array of 1 to 1,024 byte strings, ≤ 65,536 bytes,
                            or one post alone that is larger than that allows

CometBFT works per transaction, the ledger per post; bundling is worth a factor of almost two
(docs/benchmarks.md). What became of a bundle is one code for each of its posts.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records.limits import MAX_ENTRY_BYTES

BUNDLE_BYTES: Final = 65_536
# A post of 65,535 bytes in an array of its own: one byte for the array, three for the string.
MAX_TX_BYTES: Final = MAX_ENTRY_BYTES + 4
MAX_POSTS: Final = 1_024
_ARRAY_BYTES: Final = 3
_STRING_BYTES: Final = 3


def encode_bundle(posts: Sequence[bytes]) -> bytes:
    """One transaction."""
    return cbor.encode(tuple(posts))


def decode_bundle(tx: bytes) -> tuple[bytes, ...]:
    """The posts of a transaction. Raises Malformed."""
    if len(tx) > MAX_TX_BYTES:
        raise Malformed(f"a transaction of {len(tx)} bytes; at most {MAX_TX_BYTES}")
    match cbor.decode(tx):
        case tuple(posts) if 1 <= len(posts) <= MAX_POSTS:
            found = tuple(post for post in posts if isinstance(post, bytes) and post)
            if len(found) == len(posts):
                return found
    raise Malformed(f"a transaction is an array of 1 to {MAX_POSTS} posts")


def bundles(posts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Posts in their order, cut into as few bundles as their sizes allow."""
    bundle: list[bytes] = []
    size = _ARRAY_BYTES
    for post in posts:
        more = _STRING_BYTES + len(post)
        if bundle and (size + more > BUNDLE_BYTES or len(bundle) == MAX_POSTS):
            yield bundle
            bundle, size = [], _ARRAY_BYTES
        bundle.append(post)
        size += more
    if bundle:
        yield bundle
