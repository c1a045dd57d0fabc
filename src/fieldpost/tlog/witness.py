# SPDX-License-Identifier: Apache-2.0
r"""What a log asks of a witness, and what it is told (C2SP tlog-witness, "add-checkpoint").

    POST <submission prefix>/add-checkpoint

    old <size>\n
    <base64 hash>\n        0 to 63 of them: the consistency proof from the old size
    \n
    <signed checkpoint>

    200    signature lines
    409    <size>\n        what the witness cosigned last (text/x.tlog.size)

Nothing is verified here: the note may be anybody's, the proof may prove nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Conflict, Malformed, Untrusted
from fieldpost.tlog.hashing import HASH_BYTES, Hash
from fieldpost.tlog.note import MAX_NOTE_BYTES, format_base64, parse_base64
from fieldpost.tlog.treehead import MAX_SIZE, parse_decimal

SIZE_TYPE: Final = "text/x.tlog.size"
MAX_PROOF_HASHES: Final = 63
MAX_REQUEST_BYTES: Final = MAX_NOTE_BYTES + 4_096
MAX_ANSWER_BYTES: Final = 262_144

_PREFIX: Final = "old "


class OtherSize(Conflict):
    """409: the old size is not what the witness cosigned last; `size` is."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness cosigned size {size} last", str(size))
        self.size = size


class Inconsistent(Untrusted):
    """422: what was sent does not extend what the witness cosigned."""

    def __init__(self, detail: str) -> None:
        super().__init__("inconsistent", detail)


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A request: the size that the witness is believed to know, the proof, and the signed note.

    Raises Malformed for a size outside 0…2^63-1, over 63 hashes, or one that is not 32 bytes.
    """

    old_size: int
    proof: tuple[Hash, ...]
    note: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.old_size <= MAX_SIZE:
            raise Malformed("an old size is 0…2^63-1")
        if len(self.proof) > MAX_PROOF_HASHES:
            raise Malformed(f"a consistency proof of more than {MAX_PROOF_HASHES} hashes")
        if any(len(item) != HASH_BYTES for item in self.proof):
            raise Malformed("a hash of a consistency proof has 32 bytes")


def parse_add_checkpoint(body: bytes) -> AddCheckpoint:
    """Read a request of at most `MAX_REQUEST_BYTES`. Raises Malformed."""
    if len(body) > MAX_REQUEST_BYTES:
        raise Malformed(f"a request of more than {MAX_REQUEST_BYTES} bytes")
    # The first blank line ends the proof; the note has one of its own.
    head, seam, note = body.partition(b"\n\n")
    if not seam:
        raise Malformed("a request is an old size, proof lines, a blank line and a checkpoint")
    try:
        first, *lines = head.decode("ascii").split("\n", MAX_PROOF_HASHES + 1)
    except UnicodeDecodeError as error:
        raise Malformed("an old size and proof lines are ASCII") from error
    if not first.startswith(_PREFIX):
        raise Malformed("a request begins with the word old and a size")
    old_size = parse_decimal(first.removeprefix(_PREFIX))
    return AddCheckpoint(old_size, tuple(map(parse_base64, lines)), note)


def format_add_checkpoint(old_size: int, proof: Sequence[Hash], note: bytes) -> bytes:
    """The bytes of a request. Raises Malformed as `AddCheckpoint` does."""
    request = AddCheckpoint(old_size, tuple(proof), note)
    lines = [f"{_PREFIX}{request.old_size}", *map(format_base64, request.proof)]
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + request.note


def parse_known_size(body: bytes) -> int:
    """The size that a witness answers with 409. Raises Malformed."""
    if not body.endswith(b"\n") or not body.isascii():
        raise Malformed("a witness's size is a decimal number and a newline")
    return parse_decimal(body[:-1].decode("ascii"))


def format_known_size(size: int) -> bytes:
    """The body of a 409."""
    return f"{size}\n".encode()
