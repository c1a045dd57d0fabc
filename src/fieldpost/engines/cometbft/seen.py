# SPDX-License-Identifier: Apache-2.0
"""Posts that this node has read and whose signatures it has verified: once, whoever asks again.

A post comes by up to three ways: from its sender, in a transaction of the mempool, in a block.
What was found is a memory of pure functions (see `engines.verification`): forgetting it costs time
and changes nothing.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from fieldpost.engines.quick_yes import find_quick_yes
from fieldpost.engines.verification import Asked, Memory, ReadPost, read_post
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import Malformed
from fieldpost.ledger.preverify import SignatureCheck
from fieldpost.posts.envelope import Post
from fieldpost.statemap import StateMap

# More than a mempool and a block hold together; of 300 to 65,535 bytes each.
_MOST_POSTS: Final = 32_768
_MOST_BYTES: Final = 128 * 1024 * 1024


class SeenPosts:
    """The memory of one node. For any thread; `verifiers` is used by one at a time."""

    def __init__(self, verifiers: Verifiers | None = None) -> None:
        # Posts of other operators come in CheckTx, which waits for the answer: another process
        # would only add its turn.
        self._verifiers = verifiers or Verifiers(0, quick_yes=find_quick_yes())
        self._lock = threading.Lock()
        self._posts: OrderedDict[bytes, tuple[ReadPost, tuple[SignatureCheck, ...]]] = OrderedDict()
        self._bytes = 0

    def remember(self, posts: Iterable[ReadPost], valid: Iterable[SignatureCheck]) -> None:
        """Keep what somebody found out."""
        found = set(valid)
        with self._lock:
            for post in posts:
                self._keep(post, tuple(check for check in post.checks if check in found))

    def look(
        self, entries: Sequence[bytes], map_: StateMap
    ) -> tuple[list[ReadPost], list[SignatureCheck]]:
        """These entries, read, and those of their signatures that are valid.

        Keys that are unknown in `map_` are not asked for; the ledger does so in its own time.
        """
        with self._lock:
            known = [self._posts.get(sha256(entry).digest()) for entry in entries]
        fresh = [
            read_post(entry, map_)
            for entry, found in zip(entries, known, strict=True)
            # Whose keys were unknown may be known by now.
            if found is None or not found[0].checks
        ]
        valid = Asked(fresh, self._verifiers).valid()
        self.remember(fresh, valid)
        again = iter(fresh)
        posts: list[ReadPost] = []
        for found in known:
            if found is None or not found[0].checks:
                posts.append(next(again))
            else:
                posts.append(found[0])
                valid.extend(found[1])
        return posts, valid

    def memory(self, entries: Sequence[bytes], map_: StateMap) -> Memory:
        """What a batch of these entries asks for."""
        return Memory(*self.look(entries, map_))

    def forget(self, digests: Iterable[bytes]) -> None:
        """Of posts that are in the log: nobody asks again."""
        with self._lock:
            for digest in digests:
                found = self._posts.pop(digest, None)
                if found is not None:
                    self._bytes -= _weight(found[0])

    def close(self) -> None:
        """End the verifying processes."""
        self._verifiers.close()

    def _keep(self, post: ReadPost, valid: tuple[SignatureCheck, ...]) -> None:
        old = self._posts.pop(post.digest, None)
        if old is not None:
            self._bytes -= _weight(old[0])
        self._posts[post.digest] = post, valid
        self._bytes += _weight(post)
        while len(self._posts) > _MOST_POSTS or self._bytes > _MOST_BYTES:
            _, (gone, _valid) = self._posts.popitem(last=False)
            self._bytes -= _weight(gone)


def _weight(read: ReadPost) -> int:
    """Bytes that count for a post; of a record, which it is kept with, as many as it may take."""
    weight = len(read.entry)
    if isinstance(read.post, Post) and read.post.records:
        # Four bytes of a payload may be a tuple of integers.
        weight += 32 * len(read.post.statement.payload)
    return weight


def is_admissible(post: ReadPost, valid: frozenset[SignatureCheck], board: str) -> bool:
    """Whether a post is worth a place in a block.

    It can be read, is for this board, and no signature of a known key is bad. One whose author is
    not known here yet may have registered a moment ago, by another node: the block decides.
    """
    if isinstance(post.post, Malformed) or post.post.statement.audience != board:
        return False
    return all(check in valid for check in post.checks)
