# SPDX-License-Identifier: Apache-2.0
"""Evidence files that devices sent to their fleet service, as it hands them out; not verified."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from fieldpost.client.transport import MIB, HttpClient
from fieldpost.errors import NotFound, Unavailable

_MOST_BYTES: Final = 8 * MIB


def fetch_all_evidence(http: HttpClient) -> Iterator[bytes]:
    """Every file that is kept, oldest first; none where the service is older than its address.

    Raises as `HttpClient.send`, Unavailable for an answer that is no list of files.
    """
    after = 0
    while rows := _rows(http, after):
        before = after
        for row in rows if isinstance(rows, list) else [rows]:
            match row:
                case {"number": int(number), "evidence": str(text)} if number > after:
                    after = number
                    yield _octets(text, http.base_url)
                case _:
                    raise Unavailable(f"{http.base_url} answered no list of evidence")
        if after == before:
            raise Unavailable(f"{http.base_url} answers evidence without an end")


def _rows(http: HttpClient, after: int) -> object:
    with suppress(NotFound):
        path = f"/v1/fleet/evidence?after={after}"
        return http.send("GET", path, most_bytes=_MOST_BYTES).json()
    return []


def _octets(text: str, url: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise Unavailable(f"{url} answered evidence that is not in hex") from error
