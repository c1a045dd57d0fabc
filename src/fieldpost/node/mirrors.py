# SPDX-License-Identifier: Apache-2.0
"""Copies of a node's log as its operator names them: folders, and URLs of nodes or web servers.

/mnt/copy              a log, or a data or backup folder with a log in it
https://copy.example   what serves the files below /log, as a node does
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.mirrors import Mirror
from fieldpost.engines.recovery import Watch
from fieldpost.engines.tail import Caught, catch_up
from fieldpost.errors import FieldpostError, Malformed, Misconfigured, NotFound, Unavailable
from fieldpost.store.log_files import read_file

_SILENCE_S: Final = 5.0
_TOTAL_S: Final = 30.0


def asking(
    data: Path, mirrors: Sequence[str], *, watch: Watch | None = None
) -> Callable[[], Caught]:
    """What asks the mirrors of the node over `data`. Raises Misconfigured for what is no mirror."""
    found = [open_mirror(text) for text in mirrors]
    return lambda: catch_up(data, found, watch=watch)


def open_mirror(text: str) -> Mirror:
    """The mirror that an operator wrote. Raises Misconfigured."""
    if "://" not in text:
        return _folder(Path(text))
    url = text.rstrip("/").removesuffix("/log")
    HttpClient(url).close()  # what is no URL is said now
    return _site(url, text)


def _folder(folder: Path) -> Mirror:
    def read(path: str, most_bytes: int) -> bytes:
        root = folder / "log" if (folder / "log").is_dir() else folder
        if not root.is_dir():
            raise Unavailable(f"there is no folder {folder}")
        file = root / path
        try:
            length = file.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{file} is missing") from None
        except OSError as error:
            raise Unavailable(f"cannot read {file}: {error.strerror}") from error
        if length > most_bytes:
            raise Malformed(f"{file} has {length} bytes, more than any such file")
        return read_file(file)

    return Mirror(str(folder), read)


def _site(url: str, name: str) -> Mirror:
    def read(path: str, most_bytes: int) -> bytes:
        # A connection of its own for each: starts are rare, and a mirror may stall at any time.
        with HttpClient(url, timeout_s=_SILENCE_S, total_s=_TOTAL_S) as http:
            try:
                return http.fetch(f"/log/{path}", most_bytes=most_bytes)
            except NotFound:
                raise NotFound(f"{name} lacks {path}") from None
            except Misconfigured:
                raise
            except (Malformed, Unavailable):
                raise
            except FieldpostError as error:
                raise Unavailable(f"{name} does not give {path}: {error}") from error

    return Mirror(name, read)
