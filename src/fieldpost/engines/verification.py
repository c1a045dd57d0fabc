# SPDX-License-Identifier: Apache-2.0
"""Posts read before the ledger asks, where that does not hold up the engine's thread.

Decoding a post, finding its keys and verifying its signatures needs no order among posts, so it is
done ahead, against the newest map. Whatever was found is only a memory of `decode_post` and
`verify_signature`: the ledger asks the same questions, and what is not remembered is answered
then. No rule is decided here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fieldpost.errors import Malformed
from fieldpost.ledger.context import Reader
from fieldpost.ledger.preverify import SignatureCheck, remembering, signature_checks
from fieldpost.posts.envelope import Post, decode_post


@dataclass(frozen=True, slots=True)
class ReadPost:
    """An entry, its SHA-256, what it decodes to, and the signatures that a rule will ask for."""

    entry: bytes
    digest: bytes
    post: Post | Malformed
    checks: tuple[SignatureCheck, ...] = ()


def read_post(entry: bytes, read: Reader) -> ReadPost:
    """Decode one entry and find its keys, as far as `read` knows them. Never raises."""
    digest = sha256(entry).digest()
    try:
        post = decode_post(entry)
    except Malformed as error:
        return ReadPost(entry, digest, error)
    return ReadPost(entry, digest, post, signature_checks(read, post))


def checks_of(posts: Iterable[ReadPost]) -> list[SignatureCheck]:
    """All signatures of some posts, in order."""
    return [check for post in posts for check in post.checks]


def valid_of(checks: Sequence[SignatureCheck], verdicts: Sequence[bool]) -> list[SignatureCheck]:
    """The checks that were found valid."""
    return [check for check, valid in zip(checks, verdicts, strict=True) if valid]


class Memory:
    """`decode` and `check_signature` for one batch: what was read, and what was found valid."""

    def __init__(self, posts: Iterable[ReadPost], valid: Iterable[SignatureCheck]) -> None:
        self._posts = {post.entry: post.post for post in posts}
        self.check_signature = remembering(valid)

    def decode(self, entry: bytes) -> Post:
        """See `decode_post`."""
        found = self._posts[entry]
        if isinstance(found, Malformed):
            raise found
        return found
