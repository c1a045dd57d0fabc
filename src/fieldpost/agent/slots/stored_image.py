# SPDX-License-Identifier: Apache-2.0
"""One verified image as two files of a folder: its bytes, and what it is.

    FOLDER/image        the bytes
    FOLDER/slot.cbor    [sequence, version, SHA-256, bytes]; absent = no image

Names are fixed, so nothing of a release ever becomes part of a path.
"""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost import cbor
from fieldpost.agent.slots.base import Image
from fieldpost.durable import (
    OS,
    Disk,
    make_dirs,
    open_partial,
    publish,
    remove,
    remove_leftovers,
    write_file,
)
from fieldpost.errors import Malformed, Untrusted

_CHUNK_BYTES: Final = 65_536


def write_image(folder: Path, image: Image, chunks: Iterable[bytes], *, disk: Disk = OS) -> None:
    """Replace what `folder` holds, whole or not at all.

    Raises Untrusted("wrong-digest") if `chunks` are not the image, what `chunks` raises, and
    Unavailable.
    """
    make_dirs(folder, disk=disk)
    # First of all the folder stops holding one: a half-written image is never taken for it.
    remove(folder / "slot.cbor", disk=disk)
    remove_leftovers(folder, disk=disk)
    hasher = sha256()
    with open_partial(folder / "image.part", disk=disk) as file:
        file.truncate(0)
        for chunk in chunks:
            if file.size + len(chunk) > image.size:
                raise Untrusted("wrong-digest", f"more than the {image.size} signed bytes")
            hasher.update(chunk)
            file.append(chunk)
        file.sync()
        size = file.size
    if size != image.size or not is_content(image, hasher.digest()):
        raise Untrusted("wrong-digest", "the image is not the one that the manifest signs")
    publish(folder / "image.part", folder / "image", disk=disk)
    write_facts(folder / "slot.cbor", image, disk=disk)


def write_facts(path: Path, image: Image, *, disk: Disk = OS) -> None:
    """Say what an image is. Raises Unavailable."""
    write_file(path, cbor.encode(facts_of(image)), disk=disk)


def facts_of(image: Image) -> list[object]:
    """The CBOR form."""
    return [image.sequence, image.version, image.digest, image.size]


def read_facts(path: Path) -> Image | None:
    """What `write_facts` wrote; None for everything else."""
    try:
        return parse_facts(cbor.decode(path.read_bytes()))
    except (OSError, Malformed):
        return None


def parse_facts(value: cbor.Value) -> Image | None:
    """Read the CBOR form; None for everything else."""
    match value:
        case (int(sequence), str(version), bytes(digest), int(size)):
            return Image(sequence=sequence, version=version, digest=digest, size=size)
        case _:
            return None


def is_whole(folder: Path) -> bool:
    """Whether `folder` holds an image, every byte of it."""
    image = read_facts(folder / "slot.cbor")
    if image is None:
        return False
    hasher = sha256()
    try:
        with (folder / "image").open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
    except OSError:
        return False
    return is_content(image, hasher.digest())


def is_content(image: Image, digest: bytes) -> bool:
    """Whether bytes of this SHA-256 are the image."""
    return digest == image.digest
