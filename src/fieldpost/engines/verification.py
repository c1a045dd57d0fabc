# SPDX-License-Identifier: Apache-2.0
"""Posts read before the ledger asks, where that does not hold up the engine's thread.

    read_post ─► Asked ─► verifying processes ─verdicts, records─► valid ─► Memory

Decoding a post, finding its keys, verifying its signatures and decoding its payload need no order
among posts, so all of it is done ahead, against the newest map, and the last two, which take most
of the time, by other processes. Whatever was found is only a memory of `decode_post`,
`verify_signature` and the payload's decoder: the ledger asks the same questions, and what is not
remembered is answered then. No rule is decided here.
"""

import logging
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, NamedTuple

from fieldpost.engines.verifier import Question
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import Malformed
from fieldpost.journal import tell
from fieldpost.ledger.context import Reader
from fieldpost.ledger.preverify import SignatureCheck, remembering, signature_checks
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.posts.kinds import DECODERS

# Nearly all payloads are smaller, and posts that wait hold no more than some 30 times this: what
# takes four bytes of a payload may be a tuple of integers.
_MOST_CARRIED_BYTES: Final = 1_024

_log = logging.getLogger(__name__)


class ReadPost(NamedTuple):
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


class Asked:
    """Posts whose signatures are being verified, and their payloads decoded."""

    def __init__(self, reads: Iterable[ReadPost], verifiers: Verifiers) -> None:
        self._checks: list[SignatureCheck] = []
        # Who asks for a record, by the place of the question.
        self._posts: list[Post | None] = []
        questions = []
        for read in reads:
            post: Post | None = None if isinstance(read.post, Malformed) else read.post
            for check in read.checks:
                questions.append(_question(check, post))
                self._checks.append(check)
                self._posts.append(post)
                post = None  # one signature is enough to ask by
        self._verdicts = verifiers.verify_posts(questions)

    def wait(self, most_s: float) -> None:
        """Wait for the answers. Raises TimeoutError after `most_s` seconds."""
        self._verdicts.exception(most_s)

    def valid(self) -> list[SignatureCheck]:
        """The valid ones, once all were verified; from now on the posts know their records."""
        bug = self._verdicts.exception()
        if bug is not None:
            # Nothing is remembered then, and the ledger asks itself.
            tell(_log, "posts-not-verified-ahead", trace=bug)
            return []
        found = []
        for check, post, (valid, record) in zip(
            self._checks, self._posts, self._verdicts.result(), strict=True
        ):
            if valid:
                found.append(check)
            if record is not None and post is not None:
                post.records[DECODERS[post.statement.kind]] = record
        return found


def _question(check: SignatureCheck, post: Post | None) -> Question:
    if post is not None:
        kind, size = post.statement.kind, len(post.statement.payload)
        if size <= _MOST_CARRIED_BYTES and kind in DECODERS:
            return Question(*check, kind, size)
    return Question(*check)


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
