# SPDX-License-Identifier: Apache-2.0
"""An update in one file, for devices without network (docs/spec/check-in.md, offline).

    [1, check-in bundle, [board link…], [maker link…], manifest envelope, release proof | null,
     [artifact…]]

All members are byte strings of deterministic CBOR. Nothing of it is believed for standing here: a
device runs the same checks as online. Artifacts are large, so they are not read into memory: a
reader gives pieces of the file, and `OfflineBundle` says where each artifact lies.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits

VERSION: Final = 1
MAX_LINKS: Final = 4_096
MAX_LINKS_BYTES: Final = 4 * 1024 * 1024

# read(offset, count) gives exactly that piece of the file, or less at its end.
Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Span:
    """Where an artifact's bytes lie in the file."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineBundle:
    """The container, unverified. `release_proof` is the bundle of the release's map key."""

    check_in: bytes
    board_links: tuple[bytes, ...]
    maker_links: tuple[bytes, ...]
    envelope: bytes
    release_proof: bytes | None
    artifacts: tuple[Span, ...] = ()


def encode_offline_bundle(
    bundle: OfflineBundle, artifacts: Sequence[tuple[int, Iterable[bytes]]]
) -> Iterator[bytes]:
    """The file in pieces; every artifact is its size in bytes and its bytes in chunks.

    `bundle.artifacts` is not looked at. Raises Malformed for what `read_offline_bundle` would
    refuse, and for an artifact of another size.
    """
    _check_limits(bundle)
    _check_artifacts([size for size, _ in artifacts])
    members = [
        VERSION,
        bundle.check_in,
        list(bundle.board_links),
        list(bundle.maker_links),
        bundle.envelope,
        bundle.release_proof,
    ]
    # An array's members follow its head, so the last one can be written as it comes.
    yield bytes([0x87]) + b"".join(cbor.encode(member) for member in members)
    yield _head(4, len(artifacts))
    for size, chunks in artifacts:
        yield _head(2, size)
        written = 0
        for chunk in chunks:
            written += len(chunk)
            yield chunk
        if written != size:
            raise Malformed(f"an artifact of {written} bytes where {size} were announced")


def read_offline_bundle(read: Read, size: int) -> OfflineBundle:
    """The container in a file of `size` bytes. Raises Malformed."""
    cursor = _Cursor(read, size)
    if cursor.head(4) != 7 or cursor.head(0) != VERSION:
        raise Malformed("not an offline update of version 1")
    bundle = OfflineBundle(
        check_in=cursor.octets(limits.MAX_PROOF_BYTES),
        board_links=cursor.links(),
        maker_links=cursor.links(),
        envelope=cursor.octets(limits.MAX_ENVELOPE_BYTES),
        release_proof=None if cursor.is_null() else cursor.octets(limits.MAX_PROOF_BYTES),
        artifacts=tuple(cursor.spans()),
    )
    if cursor.at != size:
        raise Malformed("bytes follow the offline update")
    _check_limits(bundle)
    return bundle


def _check_limits(bundle: OfflineBundle) -> None:
    for links in (bundle.board_links, bundle.maker_links):
        most = max(map(len, links), default=0)
        if len(links) > MAX_LINKS or sum(map(len, links)) > MAX_LINKS_BYTES:
            raise Malformed(f"more than {MAX_LINKS} links or {MAX_LINKS_BYTES} bytes of them")
        if most > limits.MAX_ENTRY_BYTES:
            raise Malformed(f"a link of {most} bytes; at most {limits.MAX_ENTRY_BYTES}")
    for data, most in (
        (bundle.check_in, limits.MAX_PROOF_BYTES),
        (bundle.envelope, limits.MAX_ENVELOPE_BYTES),
        (bundle.release_proof or b"", limits.MAX_PROOF_BYTES),
    ):
        if len(data) > most:
            raise Malformed(f"a member of {len(data)} bytes; at most {most}")
    _check_artifacts([span.size for span in bundle.artifacts])


def _check_artifacts(sizes: Sequence[int]) -> None:
    if len(sizes) > limits.MAX_ARTIFACTS or max(sizes, default=0) > limits.MAX_IMAGE_BYTES:
        raise Malformed(
            f"at most {limits.MAX_ARTIFACTS} artifacts of {limits.MAX_IMAGE_BYTES} bytes"
        )


def _head(major: int, argument: int) -> bytes:
    """The head of an item, in its shortest form."""
    if argument < 24:
        return bytes([major << 5 | argument])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * width):
            return bytes([major << 5 | info]) + argument.to_bytes(width, "big")
    raise Malformed("a length of more than 64 bits")


class _Cursor:
    """Reads the file's items in order; never more of it at once than a member may have."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self._size = size
        self.at = 0

    def head(self, major: int) -> int:
        """The argument of the next item, which must be of this major type."""
        first = self._take(1)[0]
        info = first & 31
        if first >> 5 != major or info > 27:
            raise Malformed(f"an offline update has something else at byte {self.at - 1}")
        argument = info if info < 24 else int.from_bytes(self._take(1 << (info - 24)), "big")
        if info >= 24 and len(_head(major, argument)) != 1 + (1 << (info - 24)):
            raise Malformed("a length is not in its shortest form")
        return argument

    def octets(self, most: int) -> bytes:
        """A byte string of at most `most` bytes."""
        count = self.head(2)
        if count > most:
            raise Malformed(f"a member of {count} bytes; at most {most}")
        return self._take(count)

    def links(self) -> tuple[bytes, ...]:
        """An array of entries."""
        count = self.head(4)
        if count > MAX_LINKS:
            raise Malformed(f"{count} links; at most {MAX_LINKS}")
        left, entries = MAX_LINKS_BYTES, []
        for _ in range(count):
            entries.append(self.octets(min(left, limits.MAX_ENTRY_BYTES)))
            left -= len(entries[-1])
        return tuple(entries)

    def is_null(self) -> bool:
        """Whether the next item is null; then it is passed."""
        found = self._read(self.at, 1) == b"\xf6"
        self.at += found
        return found

    def spans(self) -> Iterator[Span]:
        """The artifacts, passed over."""
        count = self.head(4)
        if count > limits.MAX_ARTIFACTS:
            raise Malformed(f"{count} artifacts; at most {limits.MAX_ARTIFACTS}")
        for _ in range(count):
            size = self.head(2)
            span = Span(self.at, size)
            self.at += size
            if self.at > self._size:
                raise Malformed("the offline update ends early")
            yield span

    def _take(self, count: int) -> bytes:
        data = self._read(self.at, count)
        if len(data) != count:
            raise Malformed("the offline update ends early")
        self.at += count
        return data
