# SPDX-License-Identifier: Apache-2.0
"""What every engine answers from a log, its state database and the newest published head."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from fieldpost.engines.base import Receipt
from fieldpost.errors import NotFound
from fieldpost.store.log_files import LogFiles
from fieldpost.store.state_db import StateDb
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.proof import prove_inclusions


@dataclass(frozen=True, slots=True)
class PublishedLog:
    """A log as far as `size`, which is published."""

    log: LogFiles
    db: StateDb
    size: int


class PublishedReads(ABC):
    """The reading half of `Engine`, over what `published_log` gives. For any thread."""

    @property
    @abstractmethod
    def published_log(self) -> PublishedLog:
        """The log as far as it is published now. Raises Unavailable where nothing is."""

    def find_receipt(self, digest: bytes) -> Receipt:
        """See Engine."""
        now = self.published_log
        receipt = Receipt(*now.db.find_receipt(digest))
        if receipt.size > now.size:
            raise NotFound("the entry is not published yet")
        return receipt

    def read_entry(self, index: int) -> bytes:
        """See Engine."""
        now = self.published_log
        if not 0 <= index < now.size:
            raise NotFound(f"no entry {index} is published")
        return now.log.read_entry(index)

    def prove(self, index: int, size: int) -> tuple[Hash, ...]:
        """See Engine."""
        return self.prove_many([index], size)[0]

    def prove_many(self, indexes: Sequence[int], size: int) -> list[tuple[Hash, ...]]:
        """See Engine."""
        now = self.published_log
        for index in indexes:
            if not 0 <= index < size <= now.size:
                raise NotFound(f"no entry {index} in a published tree of size {size}")
        return prove_inclusions(now.log.hash_reader(), indexes=indexes, size=size)

    def links(self, record_key: bytes, since: int, *, most_bytes: int) -> list[bytes]:
        """See Engine."""
        return read_links(self.published_log, record_key, since, most_bytes=most_bytes)


def read_links(log: PublishedLog, record_key: bytes, since: int, *, most_bytes: int) -> list[bytes]:
    """The link entries of a record with epoch > `since`, as `Engine.links` gives them."""
    entries: list[bytes] = []
    left = most_bytes
    for index in log.db.links_since(record_key, since, size=log.size):
        entry = log.log.read_entry(index)
        left -= len(entry)
        if left < 0 and entries:
            break
        entries.append(entry)
    return entries
