# SPDX-License-Identifier: Apache-2.0
"""What every engine answers from a log, its state database and the newest published head."""

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
    """A log as far as `size`, which is published. For any thread."""

    log: LogFiles
    db: StateDb
    size: int

    def find_receipt(self, digest: bytes) -> Receipt:
        """See Engine."""
        receipt = Receipt(*self.db.find_receipt(digest))
        if receipt.size > self.size:
            raise NotFound("the entry is not published yet")
        return receipt

    def read_entry(self, index: int) -> bytes:
        """See Engine."""
        if not 0 <= index < self.size:
            raise NotFound(f"no entry {index} is published")
        return self.log.read_entry(index)

    def prove_many(self, indexes: Sequence[int], size: int) -> list[tuple[Hash, ...]]:
        """See Engine."""
        for index in indexes:
            if not 0 <= index < size <= self.size:
                raise NotFound(f"no entry {index} in a published tree of size {size}")
        return prove_inclusions(self.log.hash_reader(size), indexes=indexes, size=size)

    def links(self, record_key: bytes, since: int, *, most_bytes: int) -> list[bytes]:
        """See Engine."""
        entries: list[bytes] = []
        left = most_bytes
        for index in self.db.links_since(record_key, since, size=self.size):
            entry = self.log.read_entry(index)
            left -= len(entry)
            if left < 0 and entries:
                break
            entries.append(entry)
        return entries
