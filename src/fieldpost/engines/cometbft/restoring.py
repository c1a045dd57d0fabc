# SPDX-License-Identifier: Apache-2.0
"""A replica that begins with a snapshot of its peers instead of their first block.

CometBFT finds snapshots and fetches chunks; the application hash that it hands over with an offer
was verified by its light client. Everything is judged by that hash:

    state leaf + edge = application hash     before the first chunk is asked for
    SHA-256 of each chunk                    as the metadata says; another one is fetched again
    all pairs = the state leaf's map root    before anything is written
    the log = application hash               fetched as static files, before anything is served

Nothing is kept of a snapshot that is not as it says, and its replica stays at its base.
"""

import logging
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, Final

from fieldpost.engines.cometbft import messages
from fieldpost.engines.cometbft.replica import Replica
from fieldpost.engines.cometbft.snapshots import (
    FORMAT,
    Metadata,
    Pair,
    decode_chunk,
    decode_metadata,
)
from fieldpost.errors import FieldpostError, Malformed, Untrusted
from fieldpost.journal import tell
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.links import linked_record
from fieldpost.posts.envelope import decode_post
from fieldpost.records.state_leaf import StateLeaf, decode_state_leaf, is_state_leaf
from fieldpost.statemap import StateMap
from fieldpost.store.log_files import LogFiles
from fieldpost.store.state_db import StateChange
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.proof import root_from_edge

_ACCEPT: Final = 1
_REJECT: Final = 3
_REJECT_FORMAT: Final = 4
_RETRY_CHUNK: Final = 3
_REJECT_SNAPSHOT: Final = 5
_READ_AT_ONCE: Final = 4_096

# Makes the replica's log as long as the state, whose root is given. Raises FieldpostError.
FetchLog = Callable[[LogFiles, LedgerState, Hash], None]

_log = logging.getLogger(__name__)


class Restoring:
    """Takes one snapshot into `replica`, which stands at its base. On CometBFT's threads."""

    def __init__(self, replica: Replica, fetch_log: FetchLog) -> None:
        self._replica = replica
        self._fetch_log = fetch_log
        self._metadata: Metadata | None = None
        self._height = 0
        self._root: Hash = b""
        self._pairs: list[Pair] = []

    def offer(self, request: Any) -> Any:
        """The answer to OfferSnapshot."""
        snapshot = request.snapshot
        if snapshot.format != FORMAT:
            return messages.OfferSnapshotResponse(result=_REJECT_FORMAT)
        try:
            self._metadata = self._judge(snapshot, request.app_hash)
        except FieldpostError as error:
            tell(_log, "snapshot-refused", height=snapshot.height, error=error)
            return messages.OfferSnapshotResponse(result=_REJECT)
        self._height, self._root, self._pairs = snapshot.height, request.app_hash, []
        return messages.OfferSnapshotResponse(result=_ACCEPT)

    def _judge(self, snapshot: Any, app_hash: bytes) -> Metadata:
        """The metadata, if the verified hash vouches for it. Raises Malformed, Untrusted."""
        if self._replica.height:
            raise Untrusted("not-newer", "this replica has blocks already")
        metadata = decode_metadata(snapshot.metadata)
        leaf = decode_state_leaf(metadata.state_leaf)
        if metadata.board != self._replica.state.board or leaf.covered_size + 1 != metadata.size:
            raise Malformed("the snapshot is of another board, or of another size than it says")
        if len(metadata.chunks) != snapshot.chunks or leaf.key_count == 0:
            raise Malformed("the snapshot has another number of chunks than it says")
        root = root_from_edge(
            leaf_hash=leaf_hash(metadata.state_leaf), index=leaf.covered_size, edge=metadata.edge
        )
        if root != app_hash:
            raise Untrusted("bad-proof", "its state leaf does not lead to the application hash")
        return metadata

    def apply(self, request: Any) -> Any:
        """The answer to ApplySnapshotChunk. CometBFT hands chunks over in order."""
        metadata = self._metadata
        if metadata is None or request.index >= len(metadata.chunks):
            return messages.ApplyChunkResponse(result=_REJECT_SNAPSHOT)
        if sha256(request.chunk).digest() != metadata.chunks[request.index]:
            tell(_log, "snapshot-refused", height=self._height, error="a chunk is another one")
            return messages.ApplyChunkResponse(
                result=_RETRY_CHUNK,
                refetch_chunks=[request.index],
                reject_senders=[request.sender] if request.sender else [],
            )
        try:
            self._pairs += decode_chunk(request.chunk)
            if request.index + 1 == len(metadata.chunks):
                self._finish(metadata)
        except FieldpostError as error:
            self._metadata, self._pairs = None, []
            tell(_log, "snapshot-refused", height=self._height, error=error)
            return messages.ApplyChunkResponse(result=_REJECT_SNAPSHOT)
        return messages.ApplyChunkResponse(result=_ACCEPT)

    def _finish(self, metadata: Metadata) -> None:
        leaf = decode_state_leaf(metadata.state_leaf)
        try:
            map_ = StateMap.from_sorted(self._pairs)
        except ValueError as error:
            raise Malformed(f"a snapshot's pairs are not sorted by key: {error}") from error
        check_pairs(map_, leaf)
        state = LedgerState(map=map_, size=metadata.size, board=metadata.board, last=leaf)
        self._fetch_log(self._replica.log, state, self._root)
        self._replica.adopt(state, self._height, _changes(self._replica.log, state, self._pairs))
        self._metadata, self._pairs = None, []
        tell(_log, "snapshot-restored", height=self._height, size=state.size, keys=len(map_))


def check_pairs(map_: StateMap, leaf: StateLeaf) -> None:
    """Check that a map is the one that a state leaf names. Raises Untrusted("bad-proof")."""
    if (map_.root, len(map_)) != (leaf.map_root, leaf.key_count):
        raise Untrusted("bad-proof", "the pairs are not those of the state leaf")


def _changes(log: LogFiles, state: LedgerState, pairs: list[Pair]) -> Iterator[StateChange]:
    """What the state database has of a log: receipts and links of its entries, and the pairs."""
    batch: list[bytes] = []
    before = 0
    for start in range(0, state.size, _READ_AT_ONCE):
        for entry in log.read_entries(start, min(start + _READ_AT_ONCE, state.size)):
            batch.append(entry)
            if not is_state_leaf(entry):
                continue
            size = before + len(batch)
            posts = list(enumerate(batch[:-1], before))
            linked = [(linked_record(decode_post(post)), index) for index, post in posts]
            yield StateChange(
                before=before,
                size=size,
                writes=dict(pairs) if size == state.size else {},
                replaced={},
                receipts=[(sha256(post).digest(), index) for index, post in posts],
                links=[(*link, index) for link, index in linked if link is not None],
            )
            before, batch = size, []
