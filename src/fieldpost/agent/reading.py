# SPDX-License-Identifier: Apache-2.0
"""Reading large files a piece at a time: a device has less memory than an image has bytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fieldpost.errors import Unavailable

CHUNK_BYTES: Final = 65_536


def read_chunks(path: Path) -> Iterator[bytes]:
    """The file in pieces of at most 64 KiB. Raises Unavailable."""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
