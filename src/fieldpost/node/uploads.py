# SPDX-License-Identifier: Apache-2.0
"""Uploads of blobs: who may send what, how much of it, and one at a time for each maker and blob.

Only what a posted release names is taken, and only from whoever shows a permit by a release key of
a maker that names it. What one artifact, one release and one maker may take of the disk is limited,
and a reserve is never used up, so that posts, check-ins and reports go on when uploads cannot.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from fieldpost.durable import DiskFull, free_bytes
from fieldpost.errors import Conflict, Malformed, NotFound, Unavailable
from fieldpost.node.catalog import Catalog, Named
from fieldpost.node.config import Limits
from fieldpost.posts.permit import Permit
from fieldpost.store.blobs import BlobStore


class TooMuch(Malformed):
    """A blob, release or maker with more bytes than this node keeps of one."""


@dataclass(frozen=True, slots=True)
class UploadState:
    """How many bytes of a blob are here, and whether that is all of it."""

    offset: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that may go on: by which maker, of how many bytes."""

    digest: bytes
    maker: bytes
    size: int


def check_reserve(directory: Path, count: int, reserve: int) -> None:
    """Room for `count` more bytes is there beside the reserve. Raises DiskFull."""
    if free_bytes(directory) - count < reserve:
        raise DiskFull(
            f"this node keeps {reserve} bytes of its disk free, and {count} more would not "
            "leave them"
        )


class Uploads:
    """Uploads into a blob store below `root`, as a catalog of posted releases allows.

    For any thread.
    """

    def __init__(self, blobs: BlobStore, catalog: Catalog, *, limits: Limits, root: Path) -> None:
        self._blobs = blobs
        self._catalog = catalog
        self._limits = limits
        self._root = root
        self._running: set[tuple[bytes, bytes]] = set()
        # By maker: how many blobs its releases named when its bytes were counted, and the bytes.
        self._used: dict[bytes, tuple[int, int]] = {}
        self._lock = Lock()

    def state(self, digest: bytes, *, maker: bytes | None, log_size: int) -> UploadState:
        """How far a blob is, for its maker; for others only whether it is here.

        Raises NotFound if no release names it.
        """
        if self._blobs.is_stored(digest):
            size = self._blobs.stored_bytes(digest)
            # Whoever reads that it is complete sends it no more, so that must be durable by then.
            self._blobs.finish(digest, size=size, maker=maker or b"")
            return UploadState(size, complete=True)
        self._catalog.check_named(digest, size=log_size)
        offset = 0 if maker is None else self._blobs.uploaded_bytes(digest, maker=maker)
        return UploadState(offset, complete=False)

    def named(self, maker: bytes, digest: bytes, *, log_size: int) -> list[Named]:
        """The maker's releases that name a blob. Raises NotFound if there are none."""
        found = self._catalog.named_by(maker, digest, size=log_size)
        if not found:
            raise NotFound("no posted release of this maker names this blob; publish it first")
        return found

    def check(
        self, permit: Permit, named: list[Named], offset: int, *, maker: bytes, log_size: int
    ) -> Upload:
        """The upload, if it may go on at `offset`.

        Raises Conflict with the offset that stands, Malformed, TooMuch, DiskFull.
        """
        sizes = {release.size for release in named}
        size = permit.size if None in sizes else min(s for s in sizes if s is not None)
        state = self.state(permit.digest, maker=maker, log_size=log_size)
        if state.complete:
            raise Conflict("the blob is here already, complete", str(state.offset))
        if offset != state.offset:
            raise Conflict(f"{state.offset} bytes are here; go on from there", str(state.offset))
        if permit.size != size:
            raise Malformed(f"the release says {size} bytes, and the permit {permit.size}")
        if offset > size:
            raise Malformed(f"the release says {size} bytes")
        self._check_limits(permit.digest, size, named, log_size=log_size)
        used = self._used_by(maker, log_size=log_size)
        if used + size - offset > self._limits.maker_blob_bytes:
            raise TooMuch(
                f"{used} bytes of this maker are here, and this would be {size - offset} more "
                f"than the {self._limits.maker_blob_bytes} that a maker has"
            )
        self.check_room(size - offset)
        return Upload(permit.digest, maker, size)

    def _check_limits(self, digest: bytes, size: int, named: list[Named], *, log_size: int) -> None:
        limits = self._limits
        most = limits.document_bytes if named[0].size is None else limits.blob_bytes
        if size > most:
            raise TooMuch(f"a blob of {size} bytes; this node keeps at most {most} of one")
        release = self._catalog.blobs_of_release(named[0], size=log_size)
        whole = sum(self._bytes_of(other, stated) for other, stated in release if other != digest)
        if whole + size > limits.release_blob_bytes:
            raise TooMuch(
                f"a release of {whole + size} bytes; this node keeps at most "
                f"{limits.release_blob_bytes} of one"
            )

    def _bytes_of(self, digest: bytes, stated: int | None) -> int:
        if stated is not None:
            return stated
        return self._blobs.stored_bytes(digest) if self._blobs.is_stored(digest) else 0

    def _used_by(self, maker: bytes, *, log_size: int) -> int:
        digests = self._catalog.blobs_of_maker(maker, size=log_size)
        with self._lock:
            count, used = self._used.get(maker, (-1, 0))
        if count != len(digests):
            used = sum(self._kept(digest, maker) for digest in digests)
            with self._lock:
                self._used[maker] = len(digests), used
        return used

    def _kept(self, digest: bytes, maker: bytes) -> int:
        if self._blobs.is_stored(digest):
            return self._blobs.stored_bytes(digest)
        return self._blobs.uploaded_bytes(digest, maker=maker)

    def check_room(self, count: int) -> None:
        """Room for `count` more bytes is there beside the reserve. Raises DiskFull."""
        check_reserve(self._root, count, self._limits.reserve_bytes)

    def save(self, upload: Upload, offset: int, data: bytes) -> int:
        """Keep a piece; how much is here then. Raises as `BlobStore.upload`, and DiskFull."""
        self.check_room(len(data))
        after = self._blobs.upload(
            upload.digest, offset, [data], size=upload.size, maker=upload.maker
        )
        self._count(upload.maker, after - offset)
        return after

    def finish(self, upload: Upload) -> None:
        """Publish a blob whose last byte came. Raises as `BlobStore.finish`."""
        try:
            self._blobs.finish(upload.digest, size=upload.size, maker=upload.maker)
        except Malformed:
            self._count(upload.maker, -upload.size)
            raise

    def _count(self, maker: bytes, change: int) -> None:
        with self._lock:
            count, used = self._used.get(maker, (-1, 0))
            self._used[maker] = count, used + change

    @contextmanager
    def running(self, digest: bytes, maker: bytes) -> Iterator[None]:
        """Keep this maker from uploading the same blob twice. Raises Conflict, Unavailable."""
        key = (digest, maker)
        with self._lock:
            if key in self._running:
                raise Conflict("this blob is being uploaded already; ask again with HEAD")
            if len(self._running) >= self._limits.uploads_at_once:
                raise Unavailable("too many uploads at once", 5)
            if sum(other == maker for _, other in self._running) >= self._limits.uploads_per_maker:
                raise Unavailable("too many uploads of this maker at once", 5)
            self._running.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(key)
