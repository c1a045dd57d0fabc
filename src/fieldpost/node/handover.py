# SPDX-License-Identifier: Apache-2.0
"""From other threads to the event loop, many calls to one wake-up.

To wake the loop costs a write to a pipe and a turn of the loop. An engine that answers a thousand
posts at once wakes it once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress


class Handover:
    """Calls that run on `loop`, in the order in which any thread brought them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._is_awake = False

    def call(self, function: Callable[[], None]) -> None:
        """Have `function` run on the loop soon. From any thread."""
        self._calls.append(function)
        # Appended before the question and cleared before the work: nothing is forgotten between.
        if not self._is_awake:
            self._is_awake = True
            # A loop that is closed has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        self._is_awake = False
        for _ in range(len(self._calls)):
            self._calls.popleft()()
