# SPDX-License-Identifier: Apache-2.0
"""Chains of links and documents of one node, read with limits.

Whom a command asks, and what it does with one that refuses, is `board_access`'s.
"""

from typing import Final

from fieldpost import cbor
from fieldpost.checkin.chains import LEAST_PART_BYTES
from fieldpost.client.transport import MIB, HttpClient
from fieldpost.errors import Malformed, Unavailable, Untrusted
from fieldpost.ledger.links import linked_record
from fieldpost.posts.envelope import decode_post
from fieldpost.tlog.hashing import leaf_hash

_MOST_JSON: Final = 8 * MIB
_MOST_LINK_BYTES: Final = 4 * MIB
_MOST_LINKS: Final = 16_384
_MOST_PARTS: Final = 64


def fetch_object(client: HttpClient, path: str) -> dict[str, object]:
    """A JSON object of the API. Raises NotFound, Unavailable."""
    value = client.send("GET", path, most_bytes=_MOST_JSON).json()
    if not isinstance(value, dict):
        raise Unavailable(f"{client.base_url}{path} answered no JSON object; ask another node")
    return value


def fetch_links(client: HttpClient, path: str, since: int = -1) -> list[bytes]:
    """Entries of a chain of links after epoch `since`, oldest first, to the chain's end.

    Raises NotFound, Unavailable.
    """
    links: list[bytes] = []
    for _ in range(_MOST_PARTS):
        data = client.fetch(f"{path}?since={since}", most_bytes=_MOST_LINK_BYTES)
        try:
            links += cbor.decode_byte_strings(data, most=_MOST_LINKS)
            if len(data) < LEAST_PART_BYTES:
                return links
            since = _epoch_of(links[-1])
        except Malformed as error:
            raise Unavailable(f"{client.base_url}{path} answered no links: {error}") from error
    raise Unavailable(f"{client.base_url}{path} answers links without an end; ask another node")


def read_chain(client: HttpClient, board: str) -> list[bytes]:
    """A board's links from its genesis on, which must be that of the id `board`.

    Raises Untrusted("wrong-board"), Unavailable.
    """
    links = fetch_links(client, "/v1/board")
    if not links or not board.endswith("#" + leaf_hash(links[0])[:16].hex()):
        raise Untrusted(
            "wrong-board",
            f"{client.base_url} shows another genesis than that of {board}; ask another node",
        )
    return links


def _epoch_of(link: bytes) -> int:
    try:
        linked = linked_record(decode_post(link))
    except (AssertionError, KeyError, ValueError) as error:
        raise Malformed("the last one is none") from error
    if linked is None:
        raise Malformed("the last one is none")
    return linked[1]
