# SPDX-License-Identifier: Apache-2.0
"""Check-in answers as prepared bytes: made once per published head and key, then handed out.

All devices of a class and channel get identical bytes, so any cache may serve them until the
cosigners' next epoch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock

from fieldpost.checkin.build import build_bundle
from fieldpost.engines.base import PublishedHead
from fieldpost.keys import SIGNATURE_BYTES, Algorithm


@dataclass(frozen=True, slots=True)
class Prepared:
    """A body with its strong entity tag, quotes included, and the time of its cosignatures."""

    body: bytes
    etag: str
    timestamp: int


Name = tuple[bytes, str, bool]


class Checkins:
    """The cache. It holds what is published now, and forgets it when anything new is."""

    def __init__(self, most_entries: int) -> None:
        self._most = most_entries
        self._newest: PublishedHead | None = None
        self._answers: dict[Name, Prepared] = {}
        self._lock = Lock()

    def forget(self) -> None:
        """Something was published: every answer may be another one now."""
        with self._lock:
            self._newest = None
            self._answers = {}

    def answer(
        self,
        newest: PublishedHead,
        name: Name,
        make: Callable[[], Prepared],
    ) -> Prepared:
        """What is prepared under `name` while `newest` is the newest head; else it is made."""
        with self._lock:
            if newest is not self._newest:
                self._newest = newest
                self._answers = {}
            answers = self._answers
            found = answers.get(name)
        if found is not None:
            return found
        prepared = make()
        with self._lock:
            # Answers that were begun before something new was published land in what is forgotten.
            if len(answers) < self._most:
                answers[name] = prepared
        return prepared


def prepare(head: PublishedHead, key: bytes, *, post_quantum: bool) -> Prepared:
    """The bundle of a map key at a published head.

    `post_quantum` adds the ML-DSA cosignatures, which are larger than the rest together.
    """
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
    return Prepared(body, f'"{sha256(body).hexdigest()[:32]}"', head.timestamp)
