# SPDX-License-Identifier: Apache-2.0
"""Check-in answers as prepared bytes: made once per published head and key, then handed out.

All devices of a class and channel get identical bytes, so any cache may serve them until the
cosigners' next epoch.
"""

from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from fieldpost.checkin.build import build_bundle
from fieldpost.engines.base import PublishedHead
from fieldpost.keys import SIGNATURE_BYTES, Algorithm


@dataclass(frozen=True, slots=True)
class Prepared:
    """A body with its strong entity tag, quotes included."""

    body: bytes
    etag: str


class Checkins:
    """The cache. It holds one published head's answers and forgets them with it."""

    def __init__(self, most_entries: int) -> None:
        self._most = most_entries
        self._head: PublishedHead | None = None
        self._answers: dict[tuple[bytes, bool], Prepared] = {}
        self._lock = Lock()

    def answer(self, head: PublishedHead, key: bytes, *, post_quantum: bool) -> Prepared:
        """The bundle for a map key at a published head.

        `post_quantum` adds the ML-DSA cosignatures, which are larger than the rest together.
        """
        with self._lock:
            if head is not self._head:
                self._head = head
                self._answers = {}
            found = self._answers.get((key, post_quantum))
        if found is not None:
            return found
        body = build_bundle(
            map=head.map,
            key=key,
            state_leaf=head.state_leaf,
            edge=head.edge,
            cosignatures=[
                cosignature
                for cosignature in head.cosignatures
                if post_quantum or len(cosignature.signature) == SIGNATURE_BYTES[Algorithm.ED25519]
            ],
        )
        prepared = Prepared(body, f'"{sha256(body).hexdigest()[:32]}"')
        with self._lock:
            if head is self._head and len(self._answers) < self._most:
                self._answers[key, post_quantum] = prepared
        return prepared
