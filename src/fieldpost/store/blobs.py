# SPDX-License-Identifier: Apache-2.0
"""Content-addressed blobs, and manifests by the digest that names them.

    BLOBS/sha256/ab/cd/<hex>      finished: the bytes have this SHA-256
    BLOBS/partial/<hex>.<maker>   an upload under way, trusted by nobody; one for each maker
    BLOBS/manifests/ab/<hex>      SUIT envelopes by SUIT digest; signatures may be added later

A blob gets its name in one step, after its whole content was hashed and is on the disk. What may
be stored at all, and how large it is, decides the caller, who knows what releases name.
"""

from collections.abc import Iterable
from contextlib import suppress
from hashlib import file_digest
from pathlib import Path
from typing import Final, Protocol

from fieldpost.durable import (
    OS,
    Disk,
    append_stream,
    make_dirs,
    publish,
    remove,
    remove_leftovers,
    write_file,
)
from fieldpost.errors import Conflict, Malformed, NotFound, Unavailable
from fieldpost.store.log_files import read_file

DIGEST_BYTES: Final = 32


class BlobStore(Protocol):
    """Where artifacts and manifests lie. Digests are 32 bytes, sizes and offsets count bytes.

    Every method raises Unavailable if the store cannot be reached, ValueError for a digest of
    another length.
    """

    def is_stored(self, digest: bytes) -> bool:
        """Whether the finished blob is here."""
        ...

    def stored_bytes(self, digest: bytes) -> int:
        """The size of a finished blob. Raises NotFound."""
        ...

    def read(self, digest: bytes, start: int, end: int) -> bytes:
        """The bytes [start, end) of a finished blob, fewer where it ends. Raises NotFound."""
        ...

    def uploaded_bytes(self, digest: bytes, *, maker: bytes) -> int:
        """How much of a maker's unfinished upload is here; 0 if it has not begun."""
        ...

    def upload(
        self, digest: bytes, offset: int, chunks: Iterable[bytes], *, size: int, maker: bytes
    ) -> int:
        """Take up a maker's upload of a blob of `size` bytes at `offset`; returns what is here.

        Raises Conflict, with the offset that stands, for another offset or a finished blob;
        Malformed for bytes beyond `size`, which are not kept.
        """
        ...

    def finish(self, digest: bytes, *, size: int, maker: bytes) -> None:
        """Publish a maker's upload that has all its bytes. A finished blob stays as it is.

        Raises Conflict, with the offset that stands, while bytes are missing; Malformed if the
        bytes have another digest: then the upload is removed and begins anew.
        """
        ...

    def save_manifest(self, digest: bytes, envelope: bytes) -> None:
        """Put a SUIT envelope under its SUIT digest, which the caller has checked."""
        ...

    def load_manifest(self, digest: bytes) -> bytes:
        """The SUIT envelope under a SUIT digest. Raises NotFound."""
        ...


class FileBlobs:
    """A BlobStore below the directory `root`. Uploads of one blob come one at a time."""

    def __init__(self, root: Path, *, disk: Disk = OS) -> None:
        self._root = root
        self._disk = disk

    def path(self, digest: bytes) -> Path:
        """Where a finished blob lies, for servers that send files."""
        name = _hex(digest)
        return self._root / "sha256" / name[:2] / name[2:4] / name

    def manifest_path(self, digest: bytes) -> Path:
        """Where a manifest lies."""
        name = _hex(digest)
        return self._root / "manifests" / name[:2] / name

    def is_stored(self, digest: bytes) -> bool:
        """See BlobStore."""
        return self.path(digest).is_file()

    def stored_bytes(self, digest: bytes) -> int:
        """See BlobStore."""
        size = _size(self.path(digest))
        if size is None:
            raise NotFound(f"no blob {digest.hex()} here")
        return size

    def read(self, digest: bytes, start: int, end: int) -> bytes:
        """See BlobStore."""
        try:
            with self.path(digest).open("rb") as file:
                file.seek(start)
                return file.read(max(end - start, 0))
        except FileNotFoundError:
            raise NotFound(f"no blob {digest.hex()} here") from None
        except OSError as error:
            raise Unavailable(f"cannot read blob {digest.hex()}: {error.strerror}") from error

    def uploaded_bytes(self, digest: bytes, *, maker: bytes) -> int:
        """See BlobStore."""
        return _size(self._partial(digest, maker)) or 0

    def upload(
        self, digest: bytes, offset: int, chunks: Iterable[bytes], *, size: int, maker: bytes
    ) -> int:
        """See BlobStore. Chunks that arrived are kept, also when `chunks` raises."""
        if self.is_stored(digest):
            raise Conflict(f"blob {digest.hex()} is here already", str(self.stored_bytes(digest)))
        partial = self._partial(digest, maker)
        make_dirs(partial.parent, disk=self._disk)
        return append_stream(partial, offset, _limit(chunks, size - offset), disk=self._disk)

    def finish(self, digest: bytes, *, size: int, maker: bytes) -> None:
        """See BlobStore. What others had sent of the blob is removed."""
        partial, final = self._partial(digest, maker), self.path(digest)
        if self.is_stored(digest):
            # Whoever named it may have failed, or been killed, before the name was durable.
            make_dirs(final.parent, disk=self._disk)
            remove_leftovers(final.parent, disk=self._disk)
            return
        uploaded = self.uploaded_bytes(digest, maker=maker)
        if uploaded < size:
            raise Conflict(f"{uploaded} of {size} bytes are here", str(uploaded))
        if uploaded > size or _digest(partial) != digest:
            remove(partial, disk=self._disk)
            raise Malformed(f"the uploaded bytes are not those of blob {digest.hex()}")
        make_dirs(final.parent, disk=self._disk)
        try:
            publish(partial, final, disk=self._disk)
        except Unavailable:
            # Nobody knows how much of it is on the medium, and no later fsync would say.
            with suppress(Unavailable):
                remove(partial, disk=self._disk)
            raise
        for other in partial.parent.glob(f"{_hex(digest)}.*"):
            remove(other, disk=self._disk)

    def save_manifest(self, digest: bytes, envelope: bytes) -> None:
        """See BlobStore."""
        path = self.manifest_path(digest)
        make_dirs(path.parent, disk=self._disk)
        write_file(path, envelope, disk=self._disk)

    def load_manifest(self, digest: bytes) -> bytes:
        """See BlobStore."""
        return read_file(self.manifest_path(digest))

    def _partial(self, digest: bytes, maker: bytes) -> Path:
        return self._root / "partial" / f"{_hex(digest)}.{maker.hex()}"


def _hex(digest: bytes) -> str:
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a digest of {len(digest)} bytes")
    return digest.hex()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").digest()
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error


def _limit(chunks: Iterable[bytes], most: int) -> Iterable[bytes]:
    for chunk in chunks:
        most -= len(chunk)
        if most < 0:
            raise Malformed("more bytes than the blob has")
        yield chunk
