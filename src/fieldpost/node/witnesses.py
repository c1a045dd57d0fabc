# SPDX-License-Identifier: Apache-2.0
"""Outside witnesses of a node's board: who they are, and that each of them is asked.

The board record names witnesses, some with a URL. A C2SP tlog-policy file of the node's operator
may name URLs for others, or better ones; and further witnesses, whose lines are shown in this
node's checkpoint. What counts is said by the record alone.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.base import CommittedHead, Cosignable
from fieldpost.errors import Malformed, Misconfigured, Unavailable
from fieldpost.journal import tell
from fieldpost.node.witness_thread import WitnessState, WitnessThread
from fieldpost.records.board import BoardRecord
from fieldpost.tlog.note import NoteSignature, VerifierKey
from fieldpost.tlog.policy import MAX_POLICY_BYTES, parse_policy

Addresses = Mapping[VerifierKey, str]
NO_ADDRESS: Final = "no-address"
# A URL, and whether the record names the witness there.
_Place = tuple[str, bool]

_log = logging.getLogger(__name__)


def load_addresses(path: Path | None) -> dict[VerifierKey, str]:
    """The URLs of witnesses in a tlog-policy file. Raises Misconfigured, saying what to do."""
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            policy = parse_policy(file.read(MAX_POLICY_BYTES + 1))
        found = {witness.key: witness.url for witness in policy.witnesses if witness.url}
        for url in found.values():
            HttpClient(url).close()  # what is no URL is said now
    except OSError as error:
        raise Misconfigured(f"{path} cannot be read: {error.strerror}") from error
    except (Malformed, Misconfigured) as error:
        raise Misconfigured(f"{path} is no tlog-policy file: {error}") from error
    return found


class Witnesses:
    """The witnesses of a board, asked while the node runs. `log` is the log's directory."""

    def __init__(self, engine: Cosignable, log: Path, addresses: Addresses) -> None:
        self._engine = engine
        self._log = log
        self._addresses = addresses
        self._lock = Lock()
        self._record: BoardRecord | None = None
        self._threads: dict[_Place, tuple[tuple[VerifierKey, ...], WitnessThread]] = {}
        self._closed = False
        engine.subscribe_committed(self._follow)
        try:
            self._follow(engine.committed())
        except Unavailable:
            return  # the next size that is signed begins it

    def states(self) -> list[WitnessState]:
        """What each witness of the record did last."""
        with self._lock:
            record, threads = self._record, list(self._threads.values())
        found = [thread.state for _, thread in threads]
        asked = {key for keys, _ in threads for key in keys}
        named = record.witnesses if record else ()
        silent = [witness.key.name for witness in named if witness.key not in asked]
        return [*found, *(WitnessState(name, NO_ADDRESS) for name in silent)]

    def further_lines(self, size: int) -> tuple[NoteSignature, ...]:
        """Cosignatures over a size by witnesses that the record does not name."""
        with self._lock:
            shown = [thread.shown for _, thread in self._threads.values()]
        return tuple(line for over, lines in shown if over == size for line in lines)

    def close(self) -> None:
        """Ask nobody any more."""
        with self._lock:
            self._closed = True
            threads = [thread for _, thread in self._threads.values()]
        for thread in threads:
            thread.close()

    def _follow(self, head: CommittedHead) -> None:
        """A size was signed; its record says who is asked. On the engine's thread."""
        with self._lock:
            if self._closed:
                return
            if head.record != self._record:
                self._record = head.record
                self._choose(head.record)
            threads = [thread for _, thread in self._threads.values()]
        for thread in threads:
            thread.wake()

    def _choose(self, record: BoardRecord) -> None:
        wanted: dict[_Place, list[VerifierKey]] = {}
        named = {witness.key: witness.url for witness in record.witnesses}
        for key, listed_url in {**self._addresses, **named}.items():
            url = self._addresses.get(key) or listed_url
            if url is not None:
                wanted.setdefault((url.rstrip("/"), key in named), []).append(key)
        for place in [place for place in self._threads if place not in wanted]:
            self._threads.pop(place)[1].stop()
        for place, listed in wanted.items():
            keys = tuple(listed)
            before = self._threads.get(place)
            if before is not None and before[0] == keys:
                continue
            if before is not None:
                before[1].stop()
            self._begin(place, keys)

    def _begin(self, place: "_Place", keys: tuple[VerifierKey, ...]) -> None:
        url, counts = place
        try:
            thread = WitnessThread(url, keys, engine=self._engine, log=self._log, counts=counts)
        except Misconfigured as error:
            # A URL in the record that is none: the operators' to correct, and no reason to stop.
            tell(_log, "witness-not-had", witness=keys[0].name, state=NO_ADDRESS, error=error)
            self._threads.pop(place, None)
            return
        self._threads[place] = keys, thread
        thread.start()
