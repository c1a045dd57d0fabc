# SPDX-License-Identifier: Apache-2.0
"""The way out of a board that no longer answers (docs/spec/policy.md, leaving a dead board).

When isolation (`isolation`) has lasted as long as the policy's grace, which is never where that is
0, the maker's links are fetched from its own link URLs and believed for its root's signatures
alone. A person at the device may hand the same links over at once.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from fieldpost import cbor
from fieldpost.agent import trust
from fieldpost.agent.memory import Memory
from fieldpost.agent.trust import Chain
from fieldpost.agent.world import World
from fieldpost.checkin.way_out import is_grace_over
from fieldpost.client.transport import HttpClient, split_url
from fieldpost.errors import FieldpostError, Malformed
from fieldpost.keys import Algorithm
from fieldpost.records.limits import MAX_ENTRY_BYTES

MOST_LINKS_BYTES: Final = 4 * 1024 * 1024
MOST_LINKS: Final = 16_384


def read_links(data: bytes) -> tuple[bytes, ...]:
    """A links file: a CBOR array of a maker's links, oldest first. Raises Malformed."""
    if len(data) > MOST_LINKS_BYTES:
        raise Malformed(f"a links file of {len(data)} bytes; at most {MOST_LINKS_BYTES}")
    entries = cbor.decode_byte_strings(data, most=MOST_LINKS)
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise Malformed(f"a links file holds entries of at most {MAX_ENTRY_BYTES} bytes")
    return entries


class WayOut:
    """Leads off a board whose isolation has lasted as long as the policy's grace."""

    def __init__(
        self, *, world: World, algorithms: Collection[Algorithm], timeout_s: float = 10.0
    ) -> None:
        self._world = world
        self._algorithms = algorithms
        self._timeout_s = timeout_s

    def leave(self, memory: Memory) -> Memory | None:
        """The memory under the maker's newest links, if grace is over and they could be had.

        Every link URL is asked, so that none can hide what another one shows. Raises
        Misbehaviour("maker-fork") where two of them show two histories.
        """
        policy = memory.belief.policy
        if not is_grace_over(policy.grace_s, memory.isolated_s):
            return None
        chains: list[Chain] = []
        for url in policy.link_urls:
            try:
                chains.append(self._judge(memory, self._fetch(url)))
            except FieldpostError as failure:
                self._world.emit("no-way-out", {"url": url, "detail": str(failure)})
        return replace(memory, belief=trust.longest_chain(chains).belief) if chains else None

    def follow(self, memory: Memory, entries: Sequence[bytes]) -> Memory:
        """The memory after all of the maker's links that are new to it.

        Raises MissingLinks where there is none, and what following links raises.
        """
        return replace(memory, belief=self._judge(memory, entries).belief)

    def _judge(self, memory: Memory, entries: Sequence[bytes]) -> Chain:
        return trust.follow_links(memory.belief, entries, algorithms=self._algorithms)

    def _fetch(self, url: str) -> tuple[bytes, ...]:
        base, path = split_url(url)
        with HttpClient(base, timeout_s=self._timeout_s, user_agent="fieldpost-agent") as client:
            return read_links(client.fetch(path, most_bytes=MOST_LINKS_BYTES))
