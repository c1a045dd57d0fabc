# SPDX-License-Identifier: Apache-2.0
"""A long log replayed with its signatures verified ahead, by the processes beside this one.

    read a chunk ──checks──► verifiers ──verdicts, records──┐
    apply the chunk before  ◄───────────────────────────────┘

What is judged, and how, is `ledger.replay`: what was found valid ahead is only remembered, and
whatever is not remembered is verified when the rule asks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fieldpost.engines.verification import Asked, Memory, ReadPost, read_post
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import Untrusted
from fieldpost.ledger.batch import Batch, LedgerState
from fieldpost.ledger.replay import replay_batches
from fieldpost.ledger.rules import VERSIONS, Versions
from fieldpost.posts.envelope import Post
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.statemap import StateMap
from fieldpost.store.log_files import MAX_BATCH_ENTRIES

# Entries that are read ahead: enough that a pipe's latency does not count, few enough that makers
# who were registered shortly before are mostly known in time.
_AHEAD: Final = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A batch of a log, and the state before it. `decode` knows the batch's posts."""

    before: LedgerState | None
    batch: Batch
    decode: Callable[[bytes], Post]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Whole batches on their way."""

    entries: Sequence[bytes]
    reads: Sequence[ReadPost]
    asked: Asked

    def memory(self) -> Memory:
        return Memory(self.reads, self.asked.valid())


def replay_ahead(
    state: LedgerState | None,
    entries: Iterable[bytes],
    verifiers: Verifiers,
    versions: Versions = VERSIONS,
) -> Iterator[Replayed]:
    """The batches of `entries`, which follow `state`. Raises as `ledger.replay.replay_batches`."""
    waiting: _Chunk | None = None
    for chunk in _cut(entries):
        ahead = _read(chunk, state, verifiers)
        if waiting is not None:
            for replayed in _apply(state, waiting, versions):
                yield replayed
                state = replayed.batch.state
        waiting = ahead
    if waiting is not None:
        yield from _apply(state, waiting, versions)


def _cut(entries: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The entries in chunks that end behind a state leaf; what has none is the last."""
    chunk: list[bytes] = []
    open_posts = 0
    for entry in entries:
        chunk.append(entry)
        open_posts = 0 if is_state_leaf(entry) else open_posts + 1
        if open_posts >= MAX_BATCH_ENTRIES:
            raise Untrusted("incomplete-log", f"{open_posts} posts without a state leaf")
        if not open_posts and len(chunk) >= _AHEAD:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read(chunk: list[bytes], state: LedgerState | None, verifiers: Verifiers) -> _Chunk:
    map_ = StateMap.empty() if state is None else state.map
    reads = [read_post(entry, map_) for entry in chunk if not is_state_leaf(entry)]
    return _Chunk(chunk, reads, Asked(reads, verifiers))


def _apply(state: LedgerState | None, chunk: _Chunk, versions: Versions) -> Iterator[Replayed]:
    memory = chunk.memory()
    for batch in replay_batches(
        state, chunk.entries, memory.check_signature, versions, memory.decode
    ):
        yield Replayed(before=state, batch=batch, decode=memory.decode)
        state = batch.state
