# SPDX-License-Identifier: Apache-2.0
"""Who waits until this operator has signed a size, so that nobody needs to ask again and again.

Under load the operators reach a size at moments that differ by tenths of a second. A peer that asks
until the answer is there would take as much of a node's time as some hundred posts do.
"""

import threading
from collections.abc import Callable
from typing import Final

# Seven operators ask for two sizes at a time; strangers may take the other places, and no more.
MOST_WAITING: Final = 64


def _nobody() -> None:
    """There is nothing to take back."""


class SignedWaits:
    """Calls that are made once a size is signed. For any thread; each call is made once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._largest = 0
        self._waiting: dict[object, tuple[int, Callable[[], None]]] = {}

    def add(self, size: int, call: Callable[[], None]) -> Callable[[], None]:
        """Make `call` when `size` or a larger one is signed; what is given back forgets it.

        It is made at once where that is so already, and where too many wait.
        """
        place = object()
        with self._lock:
            waits = size > self._largest and len(self._waiting) < MOST_WAITING
            if waits:
                self._waiting[place] = size, call
        if not waits:
            call()
            return _nobody

        def forget() -> None:
            with self._lock:
                self._waiting.pop(place, None)

        return forget

    def signed(self, size: int) -> None:
        """This operator has signed `size`."""
        with self._lock:
            self._largest = max(self._largest, size)
            due = [place for place, (wanted, _) in self._waiting.items() if wanted <= size]
            calls = [self._waiting.pop(place)[1] for place in due]
        for call in calls:
            call()
