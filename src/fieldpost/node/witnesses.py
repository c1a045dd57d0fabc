# SPDX-License-Identifier: Apache-2.0
"""Outside witnesses of a node's board: who they are, and that each of them is asked.

The board record names witnesses, some with a URL. A C2SP tlog-policy file of the node's operator
may name URLs for others, or better ones; a witness counts by the record alone.
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
from fieldpost.tlog.note import VerifierKey
from fieldpost.tlog.policy import MAX_POLICY_BYTES, parse_policy

Addresses = Mapping[VerifierKey, str]
NO_ADDRESS: Final = "no-address"

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
        self._threads: dict[str, tuple[tuple[VerifierKey, ...], WitnessThread]] = {}
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
        wanted: dict[str, list[VerifierKey]] = {}
        for witness in record.witnesses:
            url = self._addresses.get(witness.key) or witness.url
            if url is not None:
                wanted.setdefault(url.rstrip("/"), []).append(witness.key)
        for url in [url for url in self._threads if url not in wanted]:
            self._threads.pop(url)[1].stop()
        for url, listed in wanted.items():
            keys = tuple(listed)
            before = self._threads.get(url)
            if before is not None and before[0] == keys:
                continue
            if before is not None:
                before[1].stop()
            self._begin(url, keys)

    def _begin(self, url: str, keys: tuple[VerifierKey, ...]) -> None:
        try:
            thread = WitnessThread(url, keys, engine=self._engine, log=self._log)
        except Misconfigured as error:
            # A URL in the record that is none: the operators' to correct, and no reason to stop.
            tell(_log, "witness-not-had", witness=keys[0].name, state=NO_ADDRESS, error=error)
            self._threads.pop(url, None)
            return
        self._threads[url] = keys, thread
        thread.start()
