# SPDX-License-Identifier: Apache-2.0
"""What a replicated engine offers to whoever asks outside witnesses for it.

Witnesses are asked once the operators' quorum has cosigned, since before that they must refuse.
"""

from collections.abc import Callable, Sequence

from fieldpost.engines.base import CommittedHead, PublishedHead
from fieldpost.engines.cometbft.publishing import Publisher
from fieldpost.engines.cometbft.replica import Replica
from fieldpost.engines.reading import PublishedLog, read_links
from fieldpost.records import map_keys
from fieldpost.tlog.note import NoteSignature


class Witnessed:
    """A `Cosignable` over a publisher, and the replica that is open now."""

    def __init__(self, publisher: Publisher, replica: Callable[[], Replica]) -> None:
        self._publisher = publisher
        self._replica = replica

    def committed(self) -> CommittedHead:
        """See Cosignable: the newest size that a quorum of the operators cosigned."""
        return self._publisher.newest_cosigned()

    def subscribe_committed(self, callback: Callable[[CommittedHead], None]) -> None:
        """See Cosignable."""
        self._publisher.followers.append(callback)

    def committed_links(self, since: int, *, most_bytes: int) -> list[bytes]:
        """See Cosignable."""
        replica, size = self._replica(), self.committed().checkpoint.size
        log = PublishedLog(replica.log, replica.db, size)
        return read_links(log, map_keys.board(), since, most_bytes=most_bytes)

    def add_cosignatures(self, size: int, lines: Sequence[NoteSignature]) -> PublishedHead:
        """See Engine."""
        return self._publisher.add_lines(size, tuple(lines))
