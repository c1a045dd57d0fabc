# SPDX-License-Identifier: Apache-2.0
"""The way out of a board that no longer answers (docs/spec/policy.md, leaving a dead board).

What counts is powered time between failed attempts on every known address; a clock never does, any
acceptable check-in ends it, and a grace of 0 is never over. When the policy's grace is over, the
maker's links are fetched from its own link URLs and believed for its root's signatures alone. A
person at the device may hand the same links over at once. The count is saved at most daily.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from fieldpost import cbor
from fieldpost.agent import trust
from fieldpost.agent.memory import Memory
from fieldpost.agent.world import World
from fieldpost.checkin.belief import Belief
from fieldpost.checkin.way_out import is_grace_over
from fieldpost.client.transport import HttpClient, split_url
from fieldpost.errors import FieldpostError, Malformed
from fieldpost.keys import Algorithm
from fieldpost.records.limits import MAX_ENTRY_BYTES

MOST_LINKS_BYTES: Final = 4 * 1024 * 1024
MOST_LINKS: Final = 16_384
_DAY_S: Final = 86_400


def read_links(data: bytes) -> tuple[bytes, ...]:
    """A links file: a CBOR array of a maker's links, oldest first. Raises Malformed."""
    if len(data) > MOST_LINKS_BYTES:
        raise Malformed(f"a links file of {len(data)} bytes; at most {MOST_LINKS_BYTES}")
    entries = cbor.decode_byte_strings(data, most=MOST_LINKS)
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise Malformed(f"a links file holds entries of at most {MAX_ENTRY_BYTES} bytes")
    return entries


class WayOut:
    """Counts isolation and ends it. `isolated_s` is what an earlier boot had counted and saved."""

    def __init__(
        self,
        *,
        world: World,
        algorithms: Collection[Algorithm],
        isolated_s: int,
        timeout_s: float = 10.0,
    ) -> None:
        self._world = world
        self._algorithms = algorithms
        self._timeout_s = timeout_s
        self._begin(isolated_s)

    def _begin(self, isolated_s: int) -> None:
        # Counted before `_since`, the uptime of the first failure in a row of this boot.
        self._before_s = self._saved_s = isolated_s
        self._since: float | None = None

    def note_failure(self, memory: Memory) -> tuple[Memory, bool]:
        """After an attempt that failed everywhere: the memory, and whether it must be saved."""
        now = self._world.uptime()
        if self._since is None:
            self._since = now
        isolated_s = self._before_s + int(now - self._since)
        due = isolated_s - self._saved_s >= _DAY_S
        if due:
            self._saved_s = isolated_s
        return replace(memory, isolated_s=isolated_s), due

    def note_acceptable(self, memory: Memory) -> tuple[Memory, bool]:
        """After an acceptable check-in: nothing is counted any more, on the disk neither."""
        saved_s = self._saved_s
        self._begin(0)
        return replace(memory, isolated_s=0), saved_s > 0

    def leave(self, memory: Memory) -> Memory | None:
        """The memory under the maker's newest links, if grace is over and they could be had."""
        policy = memory.belief.policy
        if not is_grace_over(policy.grace_s, memory.isolated_s):
            return None
        for url in policy.link_urls:
            try:
                return self.follow(memory, self._fetch(url))
            except FieldpostError as failure:
                self._world.emit("no-way-out", {"url": url, "detail": str(failure)})
        return None

    def follow(self, memory: Memory, entries: Sequence[bytes]) -> Memory:
        """The memory after all of the maker's links that are new to it.

        Raises MissingLinks where there is none, and what following links raises.
        """
        belief: Belief = trust.follow_links(memory.belief, entries, algorithms=self._algorithms)
        self._begin(0)
        return replace(memory, belief=belief, isolated_s=0)

    def _fetch(self, url: str) -> tuple[bytes, ...]:
        base, path = split_url(url)
        with HttpClient(base, timeout_s=self._timeout_s, user_agent="fieldpost-agent") as client:
            return read_links(client.fetch(path, most_bytes=MOST_LINKS_BYTES))
