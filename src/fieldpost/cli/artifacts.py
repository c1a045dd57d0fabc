# SPDX-License-Identifier: Apache-2.0
"""From an image file to what a board's node stores: digests and the smaller, packed form.

Files are read as streams, so an image may be larger than memory. A packed file is kept, because
another version of the compressor may write other bytes, and an upload that was interrupted must go
on with those whose digest was posted.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from fieldpost import durable
from fieldpost.cli.console import progress, size
from fieldpost.errors import Malformed
from fieldpost.records.device_class import ClassRecord, Encoding
from fieldpost.records.release import Artifact

# A smaller download must be worth the decoder: below this gain the plain image serves alone.
_LEAST_GAIN: Final = 0.95
_LEVEL: Final = 19
# A device holds the whole window in memory while it unpacks: half of what it must admit costs an
# image of 40 MB 1.7 % more bytes.
_WINDOW_LOG: Final = 22


@dataclass(frozen=True, slots=True)
class Stored:
    """One artifact, and the file that holds its bytes."""

    artifact: Artifact
    path: Path

    def words(self) -> str:
        """For people: `zstd 1.2 MB`."""
        return f"{self.artifact.encoding.name.lower()} {size(self.artifact.size)}"


def measure_image(path: Path, class_: ClassRecord) -> Stored:
    """The plain image. Raises Malformed unless devices of the class can hold it."""
    artifact = _measure(path, Encoding.IDENTITY)
    if not 1 <= artifact.size <= class_.limits.image_bytes:
        raise Malformed(
            f"{path} has {artifact.size} bytes; devices of the class hold "
            f"1…{class_.limits.image_bytes}"
        )
    return Stored(artifact, path)


def pack_image(plain: Stored, folder: Path, *, as_json: bool) -> list[Stored]:
    """The zstd form of an image in `folder`; none where it saves too little."""
    path = folder / f"{plain.artifact.image.hex()}.zst"
    if not path.exists():
        durable.make_dirs(folder)
        partial = path.with_suffix(".partial")
        durable.remove(partial)
        with (
            plain.path.open("rb") as file,
            progress("packing", plain.artifact.size, as_json=as_json) as advance,
        ):
            parameters = zstandard.ZstdCompressionParameters.from_level(
                _LEVEL, window_log=_WINDOW_LOG, write_content_size=True
            )
            compressor = zstandard.ZstdCompressor(compression_params=parameters)
            counted = _Counted(file, advance)
            chunks = compressor.read_to_iter(counted, size=plain.artifact.size)  # type: ignore[arg-type]
            durable.append_stream(partial, 0, chunks)
        durable.publish(partial, path)
    packed = _measure(path, Encoding.ZSTD, image=plain.artifact.image)
    if packed.size > plain.artifact.size * _LEAST_GAIN:
        return []
    return [Stored(packed, path)]


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, advance: Callable[[int], None]) -> None:
        self._file = file
        self._advance = advance

    def read(self, count: int = -1) -> bytes:
        """As of a file."""
        data = self._file.read(count)
        self._advance(len(data))
        return data


def _measure(path: Path, encoding: Encoding, image: bytes | None = None) -> Artifact:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        count = os.fstat(file.fileno()).st_size
    return Artifact(digest=digest, size=count, encoding=encoding, image=image or digest)
