# SPDX-License-Identifier: Apache-2.0
"""Heads of the log that devices reported to their fleet service, as it hands them out.

Nothing of it is believed: a head counts by the cosignatures under it, and without any it is a
reason to look.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from fieldpost import cbor
from fieldpost.client.transport import MIB, HttpClient
from fieldpost.errors import Malformed, Unavailable
from fieldpost.tlog.cosignature import Cosignature

MOST_BYTES: Final = 8 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedHead:
    """One head: the number of its row, what the device verified, and the first such device."""

    number: int
    size: int
    root: bytes
    cosignatures: tuple[Cosignature, ...]
    device: str


def fetch_heads(http: HttpClient, after: int) -> list[ReportedHead]:
    """Heads after a number, oldest first, at most a thousand. Raises as `HttpClient.send`,
    Unavailable for an answer that is no list of heads."""
    rows = http.send("GET", f"/v1/fleet/heads?after={after}", most_bytes=MOST_BYTES).json()
    if not isinstance(rows, list):
        raise Unavailable(f"{http.base_url} answered no list of heads")
    try:
        return [_read_head(row) for row in rows]
    except (Malformed, ValueError) as error:
        raise Unavailable(f"{http.base_url} answered no heads: {error}") from error


def fetch_all_heads(http: HttpClient) -> Iterator[ReportedHead]:
    """Every head that is kept, oldest first. Raises as `fetch_heads`."""
    after = 0
    while heads := fetch_heads(http, after):
        yield from heads
        if heads[-1].number <= after:
            raise Unavailable(f"{http.base_url} answers heads without an end")
        after = heads[-1].number


def _read_head(row: object) -> ReportedHead:
    match row:
        case {
            "number": int(number),
            "size": int(size),
            "root": str(root),
            "device": str(device),
            "cosignatures": str(cosignatures),
        }:
            return ReportedHead(
                number=number,
                size=size,
                root=bytes.fromhex(root),
                cosignatures=_read_cosignatures(bytes.fromhex(cosignatures)),
                device=device,
            )
    raise Malformed("a head lacks something")


def _read_cosignatures(data: bytes) -> tuple[Cosignature, ...]:
    found = []
    value = cbor.decode(data)
    if not isinstance(value, tuple):
        raise Malformed("cosignatures are an array")
    for item in value:
        match item:
            case (bytes(key_id), int(timestamp), bytes(signature)):
                found.append(Cosignature(key_id, timestamp, signature))
            case _:
                raise Malformed("a cosignature is [key id, time, signature]")
    return tuple(found)
