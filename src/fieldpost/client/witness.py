# SPDX-License-Identifier: Apache-2.0
"""Asking a witness for its cosignature (C2SP tlog-witness), ours or anybody's.

What comes back is as trustworthy as the network: the caller verifies the lines under the witness's
key. A board's checkpoint goes with its state proof, which other people's witnesses ignore.
"""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from fieldpost import cbor
from fieldpost.client.answers import Response, content_type, error_of, parse_count
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed, NotFound, Unavailable, Untrusted
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import NoteSignature, parse_signature_lines
from fieldpost.tlog.witness import (
    MAX_ANSWER_BYTES,
    SIZE_TYPE,
    Inconsistent,
    OtherSize,
    format_add_checkpoint,
    parse_known_size,
)

STATE_HEADER: Final = "Fieldpost-State"
EPOCH_HEADER: Final = "Fieldpost-Board-Epoch"
_REFUSALS: Final = (403, 409, 422)


class NeedsLinks(Untrusted):
    """The witness follows the board up to `epoch` (-1: not at all): it needs the links after."""

    def __init__(self, epoch: int) -> None:
        super().__init__("missing-links", f"the witness knows no link after epoch {epoch}")
        self.epoch = epoch


def add_checkpoint(
    http: HttpClient, *, old_size: int, proof: Sequence[Hash], note: bytes, state: bytes | None
) -> tuple[NoteSignature, ...]:
    """Ask for cosignatures over the checkpoint in `note`; nothing that comes back is verified.

    `old_size` is what the witness is believed to have cosigned last, `proof` leads from there,
    `state` is an encoded state proof where the log is a board's. Raises OtherSize with what the
    witness has, NeedsLinks, Inconsistent, NotFound for a log that it does not witness, Untrusted,
    Malformed, Unavailable.
    """
    headers = {} if state is None else {STATE_HEADER: b64encode(state).decode("ascii")}
    answer = http.send(
        "POST",
        "/add-checkpoint",
        format_add_checkpoint(old_size, proof, note),
        most_bytes=MAX_ANSWER_BYTES,
        headers=headers,
        admit=_REFUSALS,
    )
    _check(answer)
    try:
        return parse_signature_lines(answer.body.decode("utf-8"))
    except (Malformed, UnicodeDecodeError) as error:
        raise Unavailable(f"{http.base_url} answers no cosignatures: {error}") from error


def _check(answer: Response) -> None:
    error = error_of(answer.status, answer.headers, answer.body) if answer.status >= 400 else None
    match answer.status:
        case 409 if content_type(answer.headers) == SIZE_TYPE:
            try:
                raise OtherSize(parse_known_size(answer.body))
            except Malformed as wrong:
                raise Unavailable(f"the witness states no size: {wrong}") from wrong
        case 409 | 422:
            # Older witnesses say 409 where equal sizes have different roots.
            raise Inconsistent(str(error))
        case 403 if EPOCH_HEADER.lower() in answer.headers:
            raise NeedsLinks(_epoch(answer.headers[EPOCH_HEADER.lower()]))
        case 403:
            raise Untrusted("refused", str(error))


def _epoch(text: str) -> int:
    epoch = -1 if text == "-1" else parse_count(text)
    if epoch is None:
        raise Unavailable("the witness states no board epoch")
    return epoch


def add_board_links(http: HttpClient, *, origin: str, entries: Sequence[bytes]) -> None:
    """Tell a witness of ours links of a board, oldest first.

    Raises NotFound for one that does not follow the board, Untrusted, Unavailable.
    """
    path = f"/{sha256(origin.encode()).hexdigest()}/board-links"
    http.send("POST", path, cbor.encode(list(entries)), content_type="application/cbor")


def fetch_cosigned(http: HttpClient, origin: str) -> bytes:
    """The newest checkpoint that a witness cosigned, as it shows it to monitors; not verified.

    Raises NotFound, Unavailable.
    """
    path = f"/{sha256(origin.encode()).hexdigest()}/checkpoint"
    try:
        return http.fetch(path, most_bytes=MAX_ANSWER_BYTES)
    except NotFound as error:
        raise NotFound(f"{http.base_url} cosigned nothing of {origin}") from error
