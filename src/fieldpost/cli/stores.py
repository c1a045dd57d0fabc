# SPDX-License-Identifier: Apache-2.0
"""What is kept beside the log (manifests, blobs, leaves) is sent to every operator of a board.

The log is everybody's, and each operator stores such bytes by itself. A device fetches them by
digest from any address that has them, so one operator that has them is enough to go on; which ones
lack them is said, and the same command again brings them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fieldpost.cli.board_access import Board
from fieldpost.cli.console import note
from fieldpost.cli.refusals import name_all
from fieldpost.client.sources import Failure
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, Misconfigured, NotFound, Unavailable

# Lines upwards are slow.
_SILENCE_S: Final = 60.0
_TOTAL_S: Final = 1800.0
# How long a node has to learn of the post that names what is sent.
_BEHIND_S: Final = 10.0
_PAUSE_S: Final = 0.25

Send = Callable[[HttpClient], None]


@dataclass(slots=True)
class _Store:
    """One operator: any of its addresses will do. `gone` says why it is not asked any more."""

    operator: str
    urls: list[str]
    lacks: dict[str, str] = field(default_factory=dict)
    gone: Unavailable | None = None


class Stores:
    """The stores of a board's operators, for one command. Times in seconds."""

    def __init__(self, board: Board, *, silence_s: float = _SILENCE_S) -> None:
        self.board = board
        self._silence_s = silence_s
        record, _ = board.record()
        named = [_Store(one.name, list(one.urls)) for one in record.operators if one.urls]
        if len(named) < 2:
            # Under whatever address the maker knows it: it is the only one that can be asked.
            named = [_Store(record.operators[0].name, list(board.urls))]
        self._stores = named

    @property
    def count(self) -> int:
        """How many operators are sent to."""
        return len(self._stores)

    @property
    def lacking(self) -> dict[str, list[str]]:
        """What operators lack, and why, by the operator's name."""
        return {
            store.operator: [f"{what}: {why}" for what, why in store.lacks.items()]
            for store in self._stores
            if store.lacks
        }

    def send(self, what: str, send: Send) -> None:
        """Send `what` to every operator. Raises what all of them said, if none has it now."""
        failures: list[Failure] = []
        for store in self._stores:
            try:
                self._send_to(store, send)
            except Misconfigured:
                raise
            except FieldpostError as error:
                store.lacks[what] = str(error)
                failures.append(Failure(store.urls[0], error))
            else:
                store.lacks.pop(what, None)
        if len(failures) == len(self._stores):
            raise name_all(failures)

    def tell(self, *, as_json: bool) -> None:
        """Say what is lacking where."""
        for operator, lacks in self.lacking.items():
            note(f"{operator} lacks {'; '.join(lacks)}", as_json=as_json)
        if self.lacking:
            note("the same command again sends what is lacking", as_json=as_json)

    def _send_to(self, store: _Store, send: Send) -> None:
        if store.gone is not None:
            raise store.gone
        for url in tuple(store.urls):
            try:
                self._send_at(url, send)
            except Unavailable as error:
                gone = error
                continue
            store.urls.remove(url)
            store.urls.insert(0, url)
            return
        store.gone = gone
        raise gone

    def _send_at(self, url: str, send: Send) -> None:
        until = time.monotonic() + _BEHIND_S
        with HttpClient(url, timeout_s=self._silence_s, total_s=_TOTAL_S) as client:
            while True:
                try:
                    send(client)
                except NotFound:
                    # Posted at another node a moment ago.
                    if self.count == 1 or time.monotonic() > until:
                        raise
                    time.sleep(_PAUSE_S)
                else:
                    return
