# SPDX-License-Identifier: Apache-2.0
"""What makers send to a board: posts, manifests and blobs.

Posts may be sent again without harm: the same bytes give the same receipt. Blobs are sent in
pieces under the headers of the IETF's resumable uploads draft (Upload-Offset, Upload-Complete), so
an upload that broke off goes on where it stopped. Receipts come back as bytes; who verifies them
decides whose keys to believe.
"""

import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from fieldpost.client.transport import MIB, HttpClient
from fieldpost.errors import Conflict, Malformed, NotFound, Rejected, Unavailable

POSTS_PER_REQUEST: Final = 100
PIECE_BYTES: Final = 4 * MIB
_RECEIPT_BYTES: Final = 512 * 1024
_MOST_PAUSE_S: Final = 60
_TEXT: Final = "text/plain"
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A post that is in the log. `receipt` is a tlog-proof, unverified; empty in sequences."""

    index: int
    size: int
    receipt: bytes = b""


def submit_post(http: HttpClient, entry: bytes) -> Accepted:
    """Send one post. Raises Rejected with the rules' code, Malformed, Unavailable."""
    response = http.send(
        "POST",
        "/v1/posts",
        entry,
        content_type="application/cose",
        accept=_JSON,
        most_bytes=_RECEIPT_BYTES,
    )
    match response.json():
        case {"index": int(index), "size": int(size), "receipt": str(receipt)}:
            return Accepted(index, size, receipt.encode())
        case _:
            raise Unavailable("the node did not answer with index, size and receipt")


def submit_posts(http: HttpClient, entries: Sequence[bytes]) -> list[Accepted | Rejected]:
    """Send up to 100 posts at once; the result of each, in order."""
    if not 1 <= len(entries) <= POSTS_PER_REQUEST:
        raise ValueError(f"1 to {POSTS_PER_REQUEST} posts in one request")
    response = http.send(
        "POST",
        "/v1/posts",
        b"".join(entries),
        content_type="application/cbor-seq",
        accept=_JSON,
        most_bytes=_RECEIPT_BYTES,
    )
    match response.json():
        case {"results": [*results]} if len(results) == len(entries):
            return [_result(value) for value in results]
        case _:
            raise Unavailable("the node did not answer with a result for each post")


def _result(value: object) -> Accepted | Rejected:
    match value:
        case {"index": int(index), "size": int(size)}:
            return Accepted(index, size)
        case {"code": int(code), "name": str(name), **rest}:
            return Rejected(code, name, str(rest.get("detail", "")))
        case _:
            raise Unavailable("the node's result for a post is neither place nor refusal")


def fetch_receipt(http: HttpClient, entry: bytes) -> bytes:
    """The tlog-proof of an entry, unverified. Raises NotFound."""
    path = f"/v1/receipts/{sha256(entry).hexdigest()}"
    return http.fetch(path, accept=_TEXT, most_bytes=_RECEIPT_BYTES)


def upload_manifest(http: HttpClient, envelope: bytes, *, digest: bytes) -> None:
    """Send the SUIT envelope of a published release; `digest` is its manifest digest."""
    http.send(
        "PUT",
        f"/v1/manifests/{digest.hex()}",
        envelope,
        content_type="application/suit-envelope+cose",
    )


def upload_blob(
    http: HttpClient,
    path: Path,
    *,
    digest: bytes,
    permit: bytes,
    progress: Callable[[int], None] = lambda _: None,
    attempts: int = 5,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Send the bytes of a file that a published release names by SHA-256.

    `permit` is the maker's, for this blob (`fieldpost.posts.permit.sign_permit`).
    `progress` is called with advances in bytes, what the node has already included. After a
    network failure it asks how far the node got and goes on, `attempts` times without progress,
    with growing pauses, or those that the node asks for, of a minute at most. Raises NotFound if no
    release names the digest, Unavailable, Conflict.
    """
    reached = failures = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while True:
            try:
                offset, done = _reached(http, digest, permit)
                if offset > size:
                    raise Malformed(f"{path} has {size} bytes, but the node has {offset} already")
                while not done:
                    if offset > reached:
                        progress(offset - reached)
                        reached, failures = offset, 0
                    offset, done = _send_piece(
                        http, file, digest, permit=permit, offset=offset, size=size
                    )
                progress(size - reached)
                return
            except (Unavailable, Conflict) as error:
                failures += 1
                pause = getattr(error, "retry_after_s", None) or 0.2 * 2**failures
                # Whoever is told to come back much later (a full disk) says so, instead of waiting.
                if failures >= attempts or pause > _MOST_PAUSE_S:
                    raise
                wait(pause)


def is_stored(http: HttpClient, digest: bytes) -> bool:
    """Whether the node holds all of a blob."""
    try:
        return _reached(http, digest, None)[1]
    except NotFound:
        return False


def _reached(http: HttpClient, digest: bytes, permit: bytes | None) -> tuple[int, bool]:
    answer = http.send("HEAD", _blob(digest), headers=_shown(permit))
    offset = answer.headers.get("upload-offset", "")
    if not (offset.isascii() and offset.isdigit()):
        raise Unavailable("the node does not say how much of the blob it has")
    return int(offset), answer.headers.get("upload-complete") == "?1"


def _send_piece(
    http: HttpClient, file: BinaryIO, digest: bytes, *, permit: bytes, offset: int, size: int
) -> tuple[int, bool]:
    file.seek(offset)
    piece = file.read(PIECE_BYTES)
    last = offset + len(piece) >= size
    http.send(
        "PATCH",
        _blob(digest),
        piece,
        content_type="application/partial-upload",
        headers={
            "Upload-Offset": str(offset),
            "Upload-Complete": "?1" if last else "?0",
            **_shown(permit),
        },
    )
    return offset + len(piece), last


def _shown(permit: bytes | None) -> dict[str, str]:
    if permit is None:
        return {}
    return {"Authorization": f"Bearer {urlsafe_b64encode(permit).rstrip(b'=').decode()}"}


def _blob(digest: bytes) -> str:
    return f"/v1/blobs/sha256/{digest.hex()}"
