# SPDX-License-Identifier: Apache-2.0
"""Making bundles: what a node does for every class and channel, once per published head.

One encoder for heads, for other records and for absence, as there is one verifier for them.
"""

from collections.abc import Iterable

from fieldpost.checkin.bundle import Bundle, encode_bundle
from fieldpost.statemap import StateMap
from fieldpost.tlog.cosignature import Cosignature
from fieldpost.tlog.hashing import Hash


def build_bundle(
    *,
    map: StateMap,  # noqa: A002 - the spec's word for what is proven
    key: bytes,
    state_leaf: bytes,
    edge: Iterable[Hash],
    cosignatures: Iterable[Cosignature],
) -> bytes:
    """The bundle for `key` (32 bytes) in the map whose root `state_leaf` states.

    `edge` is the inclusion path of that leaf, leaf to root, and `cosignatures` are over the tree
    that ends in it. Raises Malformed for more than 16 cosignatures.
    """
    value, path = map.prove(key)
    return encode_bundle(
        Bundle(
            value=value,
            path=path,
            state_leaf=state_leaf,
            edge=tuple(edge),
            cosignatures=tuple(cosignatures),
        )
    )
