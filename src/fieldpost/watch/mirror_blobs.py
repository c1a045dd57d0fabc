# SPDX-License-Identifier: Apache-2.0
"""Manifests and artifacts of a mirrored board: whatever its releases name and a source has.

Nothing is believed: a manifest must be the one that the release names, signed as its maker's keys
demand, and an artifact has the digest that names it. Downloads are resumed where they were cut off.
What no source has is asked for again, ever less often: its maker may not have sent it yet.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.durable import DiskFull
from fieldpost.errors import FieldpostError, Malformed, NotFound, Unavailable
from fieldpost.journal import tell
from fieldpost.node.config import Limits
from fieldpost.node.service import NodeService
from fieldpost.node.uploads import check_reserve
from fieldpost.records import map_keys
from fieldpost.records.release import decode_release_record
from fieldpost.store.blobs import BlobStore

_LOOK_S: Final = 30.0
_FIRST_RETRY_S: Final = 30.0
_MOST_RETRY_S: Final = 3_600.0
# Whose partial downloads these are, where a node would name the maker that uploads.
_OURS: Final = b"mirror"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob that the board names. `size` in bytes; None where no release says it."""

    digest: bytes
    is_manifest: bool
    size: int | None


@dataclass(slots=True)
class _Late:
    due: float
    wait_s: float = _FIRST_RETRY_S


class BlobKeeper:
    """Fetches on a thread of its own, so that no large image holds up the log. `look` wakes it."""

    def __init__(
        self,
        service: NodeService,
        urls: Sequence[str],
        *,
        data: Path,
        limits: Limits,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = service
        self._clients = [HttpClient(url.rstrip("/").removesuffix("/log")) for url in urls]
        self._data = data
        self._limits = limits
        self._uptime = uptime
        self._here: set[tuple[bool, bytes]] = set()
        self._late: dict[tuple[bool, bytes], _Late] = {}
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fieldpost-blobs", daemon=True)

    @property
    def _blobs(self) -> BlobStore:
        return self._service.blobs

    def missing(self) -> int:
        """How many blobs were wanted at the last look, and are not here."""
        return len(self._late)

    def look(self) -> None:
        """Something may be new."""
        self._wake.set()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what was downloaded in part stays for the next start."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for client in self._clients:
            client.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.fetch_missing()
            except FieldpostError as error:
                tell(_log, "blobs-not-fetched", error=error)
            self._wake.wait(_LOOK_S)
            self._wake.clear()

    def fetch_missing(self) -> None:
        """Fetch what is due and not here. Raises Unavailable where the disk is full or fails."""
        for wanted in self._wanted():
            if self._stop.is_set():
                return
            name = (wanted.is_manifest, wanted.digest)
            if name in self._here or self._is_stored(wanted):
                self._here.add(name)
                self._late.pop(name, None)
                continue
            late = self._late.setdefault(name, _Late(self._uptime()))
            if late.due > self._uptime():
                continue
            if self._fetch(wanted):
                self._here.add(name)
                del self._late[name]
            else:
                late.due = self._uptime() + late.wait_s
                late.wait_s = min(2 * late.wait_s, _MOST_RETRY_S)

    def _wanted(self) -> Iterator[Wanted]:
        head = self._service.head()
        for class_id, sequence in self._service.releases():
            value = head.map.value(map_keys.release(class_id, sequence))
            if value is None:
                continue
            record = decode_release_record(value)
            yield Wanted(record.manifest, is_manifest=True, size=None)
            for artifact in record.artifacts:
                yield Wanted(artifact.digest, is_manifest=False, size=artifact.size)
            for document in (record.sbom, record.notes):
                if document is not None:
                    yield Wanted(document, is_manifest=False, size=None)

    def _is_stored(self, wanted: Wanted) -> bool:
        if not wanted.is_manifest:
            return self._blobs.is_stored(wanted.digest)
        try:
            self._blobs.load_manifest(wanted.digest)
        except NotFound:
            return False
        return True

    def _fetch(self, wanted: Wanted) -> bool:
        for client in self._clients:
            try:
                if wanted.is_manifest:
                    self._fetch_manifest(client, wanted.digest)
                else:
                    self._fetch_artifact(client, wanted)
            except DiskFull:
                raise
            except NotFound:
                continue
            except FieldpostError as error:
                name = wanted.digest.hex()
                tell(_log, "blob-refused", source=client.base_url, digest=name, error=error)
            else:
                return True
        return False

    def _fetch_manifest(self, client: HttpClient, digest: bytes) -> None:
        path = f"/v1/manifests/{digest.hex()}"
        self._service.store_manifest(
            digest, client.fetch(path, most_bytes=self._limits.manifest_bytes)
        )

    def _fetch_artifact(self, client: HttpClient, wanted: Wanted) -> None:
        begun = self._blobs.uploaded_bytes(wanted.digest, maker=_OURS)
        try:
            self._download(client, wanted, begun)
        except Malformed:
            # What was begun may be another source's invention; it is removed by now.
            if not begun:
                raise
            self._download(client, wanted, 0)

    def _download(self, client: HttpClient, wanted: Wanted, offset: int) -> None:
        digest, size = wanted.digest, wanted.size
        if size is None and offset:
            # It may be whole already: nobody says how long it is.
            self._blobs.finish(digest, size=offset, maker=_OURS)
            return
        most = self._limits.document_bytes if size is None else size
        check_reserve(self._data, most - offset, self._limits.reserve_bytes)
        here = offset
        if offset < most:
            path = f"/v1/blobs/sha256/{digest.hex()}"
            with client.stream(path, offset=offset, most_bytes=most) as download:
                chunks = self._until_stop(_behind(download.chunks, offset - download.start))
                here = self._blobs.upload(digest, offset, chunks, size=most, maker=_OURS)
        self._blobs.finish(digest, size=here if size is None else size, maker=_OURS)

    def _until_stop(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk
            if self._stop.is_set():
                raise Unavailable("stopped; it is resumed from here")


def _behind(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """The bytes behind the first `count`, for a server that sends all of it again."""
    for chunk in chunks:
        yield chunk[count:]
        count = max(0, count - len(chunk))
