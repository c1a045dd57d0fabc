# SPDX-License-Identifier: Apache-2.0
"""What a rule is given, and what it gives back.

    decide(read: Reader, post: Post, ctx: Context) -> Writes    raises Rejected or Malformed

A rule reads nothing but the map and its arguments; two machines can only agree for that reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Protocol

from fieldpost.keys import PublicKey
from fieldpost.posts.envelope import Post

Writes = dict[bytes, bytes]
CheckSignature = Callable[[PublicKey, bytes, bytes], None]


class Reader(Protocol):
    """The map as a post finds it: earlier posts of its batch have already written."""

    def value(self, key: bytes) -> bytes | None:
        """The value under a 32-byte map key, or None."""
        ...


class Context(NamedTuple):
    """The rest of what a rule may know.

    `time`: of the batch, Unix seconds. `entry`: the post as it came. `previous_map_root`: root of
    the last state leaf (docs/spec/check-in.md, salts). `check_signature(key, message, signature)`
    raises Untrusted. A tuple, as one is made for each post: in a third of a dataclass's time.
    """

    board: str
    time: int
    entry: bytes
    previous_map_root: bytes
    check_signature: CheckSignature

    @property
    def entry_digest(self) -> bytes:
        """SHA-256 of the entry: what a link is named by. Few rules ask."""
        return sha256(self.entry).digest()


Rule = Callable[[Reader, Post, Context], Writes]


@dataclass(frozen=True, slots=True)
class Overlay:
    """Writes that lie over a map until the batch is done."""

    below: Reader
    writes: Mapping[bytes, bytes]

    def value(self, key: bytes) -> bytes | None:
        """What was written last."""
        written = self.writes.get(key)
        return self.below.value(key) if written is None else written
