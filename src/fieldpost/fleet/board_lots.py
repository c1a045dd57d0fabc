# SPDX-License-Identifier: Apache-2.0
"""Lots as a board proves them, for a fleet service that runs apart from any node.

It believes what a device believes: the provisioning record of its maker, and from there what the
board's cosigners signed (docs/spec/check-in.md). The node that answers needs no trust. What was
verified is saved before it is used, so a restart does not forget how far the board was.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final, Protocol, TypeVar

from fieldpost import cbor
from fieldpost.checkin.belief import Belief, believe, decode_belief
from fieldpost.checkin.chains import LEAST_PART_BYTES, MissingLinks
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.durable import write_file
from fieldpost.errors import (
    FieldpostError,
    Malformed,
    Misconfigured,
    NotFound,
    Unavailable,
    Untrusted,
)
from fieldpost.fleet.board import PostedLot
from fieldpost.records import map_keys
from fieldpost.records.fields import Reading
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.records.lot import decode_lot_record

T = TypeVar("T")
CHECKIN: Final = "application/vnd.fieldpost.checkin+cbor"
_LINKS_BYTES: Final = 4 * 1024 * 1024
_MOST_LINKS: Final = 16_384
_MOST_PARTS: Final = 64
_LOTS_KEPT: Final = 4_096
_VIEW_BYTES: Final = 65_536
_PAGES_KEPT: Final = 65_536
_PAGE_S: Final = 300


class Fetcher(Protocol):
    """As much of an HTTP client as is needed here."""

    def fetch(self, path: str, *, accept: str, most_bytes: int) -> bytes:
        """The body at a path. Raises NotFound, Unavailable."""
        ...


class BoardLots:
    """Verified lot records. For any thread; one request to the board at a time.

    `nodes` are asked one after the other until one proves what it says, the last good one first.
    `belief` is the file that remembers; `clock` gives whole Unix seconds.
    """

    def __init__(
        self, *nodes: Fetcher, provisioning: bytes, belief: Path, clock: Callable[[], int]
    ) -> None:
        self._nodes = list(nodes)
        self._path = belief
        self._clock = clock
        self._lock = Lock()
        self._lots: dict[bytes, PostedLot] = {}
        self._pages: dict[tuple[bytes, int], tuple[int, bytes | None]] = {}
        try:
            self._belief, record = believe(provisioning)
        except (Malformed, Untrusted) as error:
            raise Misconfigured(f"the provisioning record is not good: {error}") from error
        self._least_time = record.least_time
        if belief.exists():
            self._belief = self._remembered(self._belief)

    @property
    def board(self) -> str:
        """The board id."""
        return self._belief.board

    def _remembered(self, provisioned: Belief) -> Belief:
        try:
            found = decode_belief(self._path.read_bytes())
        except (Malformed, Untrusted, OSError) as error:
            raise Misconfigured(f"{self._path} cannot be read: {error}") from error
        if (found.board, found.maker) != (provisioned.board, provisioned.maker):
            raise Misconfigured(
                f"{self._path} is about another board or maker; choose another data directory"
            )
        return found

    def read(self, lot: bytes) -> PostedLot:
        """A lot, its record proven. Raises NotFound if the board proves that there is none.

        Raises Unavailable where the node cannot be reached or its answer proves nothing: then it
        is the node that is wrong, not whoever asks.
        """
        with self._lock:
            known = self._lots.get(lot)
            if known is not None:
                return known
            verified = self._ask(lambda node: self._prove(node, map_keys.lot(lot)))
            if verified.value is None:
                raise NotFound(f"the board has no such lot (at size {verified.belief.size})")
            record = decode_lot_record(verified.value, Reading.DEVICE)
            posted = PostedLot(record, self._ask(lambda node: _entry_of(node, lot)))
            if len(self._lots) < _LOTS_KEPT:
                self._lots[lot] = posted
            return posted

    def status_page(self, lot: bytes, page: int) -> bytes | None:
        """See FleetBoard. A page is asked for again after five minutes."""
        with self._lock:
            now = self._clock()
            asked, known = self._pages.get((lot, page), (None, None))
            if asked is None or not asked <= now < asked + _PAGE_S:
                with suppress(Unavailable):
                    key = map_keys.status(lot, page)
                    known = self._ask(lambda node: self._prove(node, key)).value
                if len(self._pages) >= _PAGES_KEPT:
                    self._pages.clear()
                self._pages[lot, page] = now, known
            return known

    def links(self) -> list[bytes]:
        """See FleetBoard. They prove themselves."""
        with self._lock:
            return self._ask(lambda node: _board_links(node, -1))

    def _ask(self, question: Callable[[Fetcher], T]) -> T:
        failures: list[FieldpostError] = []
        for node in tuple(self._nodes):
            try:
                answer = question(node)
            except (NotFound, Unavailable) as error:
                failures.append(error)
                continue
            self._nodes.remove(node)
            self._nodes.insert(0, node)
            return answer
        if len(failures) == 1:
            raise failures[0]
        words = "; ".join(map(str, failures)) or "no URL of the board is known"
        raise Unavailable(words, 60)

    def _prove(self, node: Fetcher, key: bytes) -> Verified:
        try:
            path = f"/v1/proof/{key.hex()}?maker={self._belief.maker.hex()}"
            data = node.fetch(path, accept=CHECKIN, most_bytes=MAX_PROOF_BYTES)
            try:
                verified = self._verify(data, key, ())
            except MissingLinks as missing:
                verified = self._verify(data, key, _board_links(node, missing.since))
        except (Malformed, Untrusted, NotFound) as error:
            raise Unavailable(f"the board's answer proves nothing: {error}", 60) from error
        write_file(self._path, verified.belief.encode(), mode=0o600)
        self._belief = verified.belief
        return verified

    def _verify(self, data: bytes, key: bytes, links: Sequence[bytes]) -> Verified:
        return verify_bundle(
            self._belief,
            data,
            key=key,
            now=self._clock(),
            least_time=self._least_time,
            board_links=links,
            head=False,
        )


def _entry_of(node: Fetcher, lot: bytes) -> int:
    """Where the node says that the lot's post stands."""
    data = node.fetch(f"/v1/lots/{lot.hex()}", accept="application/json", most_bytes=_VIEW_BYTES)
    try:
        view = json.loads(data)
    except ValueError as error:
        raise Unavailable("the node's view of the lot is no JSON", 60) from error
    match view:
        case {"entry": int(entry)} if entry >= 0:
            return entry
    raise Unavailable("the node does not say where the lot's post stands", 60)


def _board_links(node: Fetcher, since: int) -> list[bytes]:
    """The board's links after epoch `since`, in as many parts as the node makes of them."""
    links: list[bytes] = []
    for _ in range(_MOST_PARTS):
        path = f"/v1/board?since={since + len(links)}"
        data = node.fetch(path, accept="application/cbor", most_bytes=_LINKS_BYTES)
        links += cbor.decode_byte_strings(data, most=_MOST_LINKS)
        if len(data) < LEAST_PART_BYTES:
            break
    return links
