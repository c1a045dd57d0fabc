# SPDX-License-Identifier: Apache-2.0
"""Signatures checked before the ledger asks, where they do not hold up the engine's thread.

Decoding a post and finding its keys needs no order among posts, so it is done on other threads
(signature checks release the interpreter's lock) against the newest map. Whatever was found is
only a memory of `decode_post` and `verify_signature`: the ledger asks the same questions, and
what is not remembered is answered then. No rule is decided here.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from hashlib import sha256

from fieldpost.errors import FieldpostError, Malformed, Untrusted
from fieldpost.keys import PublicKey, verify_signature
from fieldpost.ledger.reading import read_board, read_maker
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.statemap import StateMap

_Fact = tuple[PublicKey, bytes, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPost:
    """An entry, its SHA-256, what it decodes to, and the signatures that were found valid."""

    entry: bytes
    digest: bytes
    post: Post | Malformed
    valid: tuple[_Fact, ...] = ()


class Memory:
    """`decode` and `check_signature` for one batch, from its checked posts."""

    def __init__(self, checked: Iterable[CheckedPost]) -> None:
        self._posts: dict[bytes, Post | Malformed] = {}
        self._valid: set[_Fact] = set()
        for post in checked:
            self._posts[post.entry] = post.post
            self._valid.update(post.valid)

    def decode(self, entry: bytes) -> Post:
        """See `decode_post`."""
        found = self._posts[entry]
        if isinstance(found, Malformed):
            raise found
        return found

    def check_signature(self, key: PublicKey, message: bytes, signature: bytes) -> None:
        """See `verify_signature`."""
        if (key, message, signature) not in self._valid:
            verify_signature(key, message, signature)


def check_posts(entries: Sequence[bytes], map_: StateMap, pool: Executor) -> list[CheckedPost]:
    """Check `entries` in two halves, one of them in `pool`; the result keeps their order."""
    if len(entries) < 4:
        return check_post_by_post(entries, map_)
    middle = len(entries) // 2
    second = pool.submit(check_post_by_post, entries[middle:], map_)
    return check_post_by_post(entries[:middle], map_) + second.result()


def check_post_by_post(entries: Sequence[bytes], map_: StateMap) -> list[CheckedPost]:
    """Check `entries` on this thread."""
    return [check_post(entry, map_) for entry in entries]


def check_post(entry: bytes, map_: StateMap) -> CheckedPost:
    """Decode one entry and check its signatures by keys that `map_` knows. Never raises."""
    digest = sha256(entry).digest()
    try:
        post = decode_post(entry)
    except Malformed as error:
        return CheckedPost(entry=entry, digest=digest, post=error)
    valid = []
    keys = _keys_of(post, map_)
    for signature in post.signatures:
        key = keys.get(signature.kid)
        if key is not None and key.algorithm is signature.algorithm:
            message = post.signed_bytes(signature)
            try:
                verify_signature(key, message, signature.signature)
            except Untrusted:
                continue
            valid.append((key, message, signature.signature))
    return CheckedPost(entry=entry, digest=digest, post=post, valid=tuple(valid))


def _keys_of(post: Post, map_: StateMap) -> dict[bytes, PublicKey]:
    """The keys by thumbprint that the post's issuer has in `map_`: a guess, no judgement."""
    try:
        if post.statement.kind.startswith("board."):
            operators = read_board(map_).operators
            keys = [operator.governance_key for operator in operators]
            return {key.thumbprint(): key for key in keys}
        maker = read_maker(map_, bytes.fromhex(post.statement.issuer))
    except (FieldpostError, ValueError):
        return {}
    return {kid: entry.key for role in maker.keys.values() for kid, entry in role.items()}
