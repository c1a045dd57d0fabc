# SPDX-License-Identifier: Apache-2.0
"""One pass over the log for all makers: each new entry is read once, and judged for its maker.

The log is a verified copy on this disk, so what is read here was signed, replayed and published.
What a stretch of entries led to is one transaction with how far it went.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records.state_leaf import decode_state_leaf, is_state_leaf
from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.expectations import Expected
from fieldpost.watch.monitor.judging import Posted, Watched, judge
from fieldpost.watch.monitor.memory import Memory

ENTRIES_AT_ONCE: Final = 4_096
_BOARD_LINKS: Final = frozenset({"genesis", "board.set"})


class Log(Protocol):
    """As much of a log on the disk as is read here."""

    def read_entries(self, start: int, end: int) -> Sequence[bytes]:
        """Entries [start, end)."""
        ...


@dataclass(slots=True)
class Makers:
    """Who is watched, what each expects, and what is remembered of it; `since` for newcomers."""

    expected: Mapping[str, Expected]
    known: dict[bytes, Watched]

    def begin(self, maker: bytes, since: int) -> None:
        """Watch a maker from entry `since` on."""
        self.known[maker] = Watched(since=since)


@dataclass(slots=True)
class Pass:
    """One pass: what it found so far, and how many posts in watched makers' names there were."""

    board: str
    makers: Makers
    now: Callable[[], int]
    posts: int = 0

    def batch(
        self, posts: Sequence[tuple[int, Post]], time: int
    ) -> tuple[dict[bytes, Watched], list[Alarm]]:
        """Judge one batch; which makers changed, and the alarms."""
        changed: dict[bytes, Watched] = {}
        alarms: list[Alarm] = []
        for index, post in posts:
            expected = self.makers.expected.get(post.statement.issuer)
            if expected is None:
                continue
            self.posts += 1
            before = self.makers.known[expected.maker]
            posted = Posted(post=post, index=index, time=time, board=self.board)
            after, found = judge(posted, before, expected, now=self.now())
            if after != before:
                self.makers.known[expected.maker] = changed[expected.maker] = after
            alarms += found
        return changed, alarms


def judge_new(
    log: Log,
    published: int,
    memory: Memory,
    pass_: Pass,
    paths: Sequence[str],
    *,
    go_on: Callable[[], bool] = lambda: True,
) -> int:
    """Judge what is published and was not judged; how many new alarms. Raises Unavailable."""
    count = 0
    try:
        while memory.judged < published and go_on():
            count += _stretch(log, published, memory, pass_, paths)
    except BaseException:
        # What was not written did not happen.
        pass_.makers.known = memory.makers()
        raise
    return count


def _stretch(log: Log, published: int, memory: Memory, pass_: Pass, paths: Sequence[str]) -> int:
    """Judge some whole batches, at least one, and write what they led to."""
    changed: dict[bytes, Watched] = {}
    alarms: list[Alarm] = []
    links: list[bytes] = []
    start = reached = at = memory.judged
    batch: list[tuple[int, bytes, Post]] = []
    # A published log ends with a state leaf, so a batch that begins also ends.
    while at < published and start in (at, reached):
        end = min(at + ENTRIES_AT_ONCE, published)
        for index, entry in enumerate(log.read_entries(at, end), at):
            if not is_state_leaf(entry):
                batch.append((index, entry, decode_post(entry)))
                continue
            posts = [(place, post) for place, _, post in batch]
            new, found = pass_.batch(posts, decode_state_leaf(entry).time)
            changed |= new
            alarms += found
            links += [one for _, one, post in batch if post.statement.kind in _BOARD_LINKS]
            batch, reached = [], index + 1
        at = end
    with memory.transaction():
        for maker, watched in changed.items():
            memory.save_maker(maker, watched)
        for entry in links:
            memory.add_link(entry)
        raised = memory.raise_alarms(alarms, paths)
        memory.set_meta("judged", str(reached))
    return len(raised)


def judge_history(
    log: Log, memory: Memory, pass_: Pass, newcomers: Sequence[bytes], paths: Sequence[str]
) -> int:
    """Judge what was judged already for makers that were not watched then; all of it at once.

    How many new alarms: there are some only where a maker's expectations begin earlier.
    """
    alarms: list[Alarm] = []
    waiting: list[tuple[int, Post]] = []
    for start in range(0, memory.judged, ENTRIES_AT_ONCE):
        end = min(start + ENTRIES_AT_ONCE, memory.judged)
        for index, entry in enumerate(log.read_entries(start, end), start):
            if is_state_leaf(entry):
                alarms += pass_.batch(waiting, decode_state_leaf(entry).time)[1]
                waiting = []
            else:
                waiting.append((index, decode_post(entry)))
    with memory.transaction():
        for maker in newcomers:
            memory.save_maker(maker, pass_.makers.known[maker])
        return len(memory.raise_alarms(alarms, paths))
