# SPDX-License-Identifier: Apache-2.0
"""From other threads to the event loop, many things to one wake-up.

To wake the loop costs a write to a pipe and a turn of the loop. An engine that answers a thousand
posts at once wakes it once, and what it brought is heard at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

Whom = TypeVar("Whom")
What = TypeVar("What")


class Handover(Generic[Whom, What]):
    """`hear` is called on `loop` with what any thread brought, in the order in which it came."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, hear: Callable[[list[tuple[Whom, What]]], None]
    ) -> None:
        self._loop = loop
        self._hear = hear
        self._brought: deque[tuple[Whom, What]] = deque()
        self._is_awake = False

    def bring(self, whom: Whom, what: What) -> None:
        """Have heard on the loop soon that this is for him. From any thread."""
        self._brought.append((whom, what))
        # Appended before the question and cleared before the work: nothing is forgotten between.
        if not self._is_awake:
            self._is_awake = True
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        self._is_awake = False
        brought = self._brought
        if brought:
            self._hear([brought.popleft() for _ in range(len(brought))])
