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

from fieldpost.errors import Malformed, Untrusted
from fieldpost.ledger.preverify import SignatureCheck, remembering, signature_checks
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.statemap import StateMap


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPost:
    """An entry, its SHA-256, what it decodes to, and the signatures that were found valid."""

    entry: bytes
    digest: bytes
    post: Post | Malformed
    valid: tuple[SignatureCheck, ...] = ()


class Memory:
    """`decode` and `check_signature` for one batch, from its checked posts."""

    def __init__(self, checked: Iterable[CheckedPost]) -> None:
        posts = list(checked)
        self._posts = {post.entry: post.post for post in posts}
        self.check_signature = remembering(check for post in posts for check in post.valid)

    def decode(self, entry: bytes) -> Post:
        """See `decode_post`."""
        found = self._posts[entry]
        if isinstance(found, Malformed):
            raise found
        return found


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
    valid = tuple(check for check in signature_checks(map_, post) if _holds(check))
    return CheckedPost(entry=entry, digest=digest, post=post, valid=valid)


def _holds(check: SignatureCheck) -> bool:
    try:
        check.verify()
    except Untrusted:
        return False
    return True
