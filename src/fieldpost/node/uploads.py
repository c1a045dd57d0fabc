# SPDX-License-Identifier: Apache-2.0
"""Uploads of blobs: what may come, how far it came, and one at a time for each blob.

Only what a posted release names is taken, so nobody can fill the disk who may not publish.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from fieldpost.errors import Conflict, Malformed, Unavailable
from fieldpost.node.catalog import Catalog
from fieldpost.store.blobs import BlobStore

DOCUMENT_BYTES: Final = 64 * 1024 * 1024
"""The most that an SBOM or notes may have, whose size no release states."""


@dataclass(frozen=True, slots=True)
class UploadState:
    """How many bytes of a blob are here, and whether that is all of it."""

    offset: int
    complete: bool


class Uploads:
    """Uploads into a blob store, as a catalog of posted releases allows. For any thread."""

    def __init__(self, blobs: BlobStore, catalog: Catalog, *, at_once: int) -> None:
        self._blobs = blobs
        self._catalog = catalog
        self._at_once = at_once
        self._running: set[bytes] = set()
        self._lock = Lock()

    def state(self, digest: bytes, *, log_size: int) -> UploadState:
        """How far a blob is. Raises NotFound if no release names it."""
        if self._blobs.is_stored(digest):
            size = self._blobs.stored_bytes(digest)
            # Whoever reads that it is complete sends it no more, so that must be durable by then.
            self._blobs.finish(digest, size=size)
            return UploadState(size, complete=True)
        self._catalog.blob_size(digest, size=log_size)
        return UploadState(self._blobs.uploaded_bytes(digest), complete=False)

    def check(self, digest: bytes, offset: int, *, log_size: int) -> int:
        """The most bytes that a blob may have, if an upload may go on at `offset`.

        Raises NotFound if no release names it, Conflict with the offset that stands, Malformed.
        """
        size = self._catalog.blob_size(digest, size=log_size)
        most = DOCUMENT_BYTES if size is None else size
        state = self.state(digest, log_size=log_size)
        if state.complete:
            raise Conflict("the blob is here already, complete", str(state.offset))
        if offset != state.offset:
            raise Conflict(f"{state.offset} bytes are here; go on from there", str(state.offset))
        if offset > most:
            raise Malformed(f"the release says {most} bytes")
        return most

    def finish(self, digest: bytes, uploaded: int, *, log_size: int) -> None:
        """Publish a blob whose last byte came. Raises as `BlobStore.finish`."""
        size = self._catalog.blob_size(digest, size=log_size)
        self._blobs.finish(digest, size=uploaded if size is None else size)

    @contextmanager
    def running(self, digest: bytes) -> Iterator[None]:
        """Keep others from uploading the same blob meanwhile. Raises Conflict, Unavailable."""
        with self._lock:
            if digest in self._running:
                raise Conflict("this blob is being uploaded by somebody else; ask again with HEAD")
            if len(self._running) >= self._at_once:
                raise Unavailable("too many uploads at once", 5)
            self._running.add(digest)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(digest)
