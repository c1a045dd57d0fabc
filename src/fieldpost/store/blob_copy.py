# SPDX-License-Identifier: Apache-2.0
"""Copies of blobs and manifests, each hashed on the way: what is damaged is named and left out."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs, open_partial, publish, remove, write_file
from fieldpost.errors import Malformed, NotFound, Unavailable, Untrusted
from fieldpost.store.log_files import read_file
from fieldpost.suit.envelope import decode_envelope

_CHUNK: Final = 1024 * 1024


def stored_files(blobs: Path) -> Iterator[Path]:
    """Every finished blob and manifest below a blob folder, in order."""
    for kind in ("sha256", "manifests"):
        for path in sorted((blobs / kind).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path


def is_manifest(blobs: Path, path: Path) -> bool:
    """Whether a file below a blob folder is a manifest; names above that folder say nothing."""
    return path.relative_to(blobs).parts[0] == "manifests"


def check_file(blobs: Path, path: Path) -> None:
    """Check that a finished blob or manifest below a blob folder is what its name says.

    Raises Malformed, NotFound for one that was removed meanwhile, Unavailable.
    """
    if is_manifest(blobs, path):
        _check_manifest(path, read_file(path))
        return
    digest = sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    if digest.hexdigest() != path.name:
        raise Malformed(f"{path} is damaged: its bytes have another digest than its name says")


def copy_blobs(
    source: Path, target: Path, *, copied: Callable[[int], None] = lambda _: None, disk: Disk = OS
) -> list[str]:
    """Copy what is finished below `source`; a blob that is there already is left alone.

    Returns what is damaged, each with its path; nothing of it is copied. Raises Unavailable.
    """
    damaged: list[str] = []
    for path in stored_files(source):
        file = target / path.relative_to(source)
        make_dirs(file.parent, disk=disk)
        try:
            if is_manifest(source, path):
                data = read_file(path)
                _check_manifest(path, data)
                write_file(file, data, disk=disk)
            elif not file.exists():
                _copy_blob(path, file, disk)
        except Malformed as error:
            damaged.append(str(error))
        copied(1)
    return damaged


def _copy_blob(path: Path, file: Path, disk: Disk) -> None:
    temporary = file.with_name(f".{file.name}.copy")
    digest = sha256()
    with open_partial(temporary, disk=disk) as partial:
        partial.truncate(0)
        for chunk in _chunks(path):
            digest.update(chunk)
            partial.append(chunk)
    if digest.hexdigest() != path.name:
        remove(temporary, disk=disk)
        raise Malformed(f"{path} is damaged: its bytes have another digest than its name says")
    publish(temporary, file, disk=disk)


def _check_manifest(path: Path, data: bytes) -> None:
    try:
        envelope = decode_envelope(data)
    except (Malformed, Untrusted) as error:
        raise Malformed(f"{path} is damaged: {error}") from error
    if envelope.digest.hex() != path.name or envelope.encode() != data:
        raise Malformed(f"{path} is damaged: it is another manifest than its name says")


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no {path.name} here") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from error
