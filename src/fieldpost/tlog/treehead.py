# SPDX-License-Identifier: Apache-2.0
"""The text of a checkpoint: one log's size and root (C2SP tlog-checkpoint, "Note text").

    <origin>
    <size, decimal>
    <root, base64 of 32 bytes>
    [extension lines, in other people's logs]

Extension lines are refused unless asked for: ML-DSA cosignatures do not cover them, so nobody
may act on them. A tree head is a claim; `fieldpost.tlog.checkpoint` says who made it.
"""

import re
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Malformed
from fieldpost.tlog.hashing import HASH_BYTES, Hash
from fieldpost.tlog.note import format_base64, parse_base64

MAX_SIZE: Final = 2**63 - 1
MAX_ORIGIN_BYTES: Final = 255

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_CONTROL: Final = re.compile(r"[\x00-\x1f]")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head. `size` counts entries; `extensions` are another log's lines, never ours.

    Raises Malformed for an origin that is empty, over 255 bytes of UTF-8 or has control
    characters, a size outside 0…2^63-1, a root that is not 32 bytes, an empty extension line.
    """

    origin: str
    size: int
    root: Hash
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = _bytes_of_line(self.origin)
        if size > MAX_ORIGIN_BYTES:
            raise Malformed(f"an origin over {MAX_ORIGIN_BYTES} bytes")
        for line in self.extensions:
            size += 1 + _bytes_of_line(line)
        if size > 65_535:
            raise Malformed("a checkpoint over 65,535 bytes")
        if not 0 <= self.size <= MAX_SIZE:
            raise Malformed("a tree size is 0…2^63-1")
        if len(self.root) != HASH_BYTES:
            raise Malformed("a root hash must have 32 bytes")


def _bytes_of_line(line: str) -> int:
    if not line or _CONTROL.search(line):
        raise Malformed("a checkpoint line is empty or has control characters")
    try:
        return len(line.encode())
    except UnicodeEncodeError as error:
        raise Malformed("a checkpoint must be UTF-8") from error


def parse_decimal(text: str) -> int:
    """A number in 0…2^63-1 without sign, spaces or leading zeroes. Raises Malformed."""
    if _DECIMAL.fullmatch(text) is None or int(text) > MAX_SIZE:
        raise Malformed("a number is decimal, without leading zeroes, at most 2^63-1")
    return int(text)


def parse_checkpoint(text: str, *, extensions: bool = False) -> Checkpoint:
    """Read a checkpoint's text (a note's text, without signatures).

    Raises Malformed; extension lines are malformed too unless `extensions` is true.
    """
    if not text.endswith("\n"):
        raise Malformed("a checkpoint's text ends in a newline")
    origin, *rest = text[:-1].split("\n")
    if len(rest) < 2 or (len(rest) > 2 and not extensions):
        raise Malformed("a checkpoint has three lines: origin, size and root")
    return Checkpoint(origin, parse_decimal(rest[0]), parse_base64(rest[1]), tuple(rest[2:]))


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Write a checkpoint's text: what log keys and Ed25519 cosigners sign."""
    root = format_base64(checkpoint.root)
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n"
    return text + "".join([line + "\n" for line in checkpoint.extensions])
