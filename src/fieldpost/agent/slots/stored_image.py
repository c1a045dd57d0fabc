# SPDX-License-Identifier: Apache-2.0
"""One verified release as files of a folder: the bytes of its images, and what they are.

    FOLDER/image, FOLDER/image-1, …    the bytes, numbered as in the manifest
    FOLDER/slot.cbor                   [sequence, version, [[component id, SHA-256, bytes]…]];
                                       absent = no release

Names are fixed, so nothing of a release ever becomes part of a path. `slot.cbor` is removed before
the first byte changes and written after the last, so images of two releases never stand for one.
"""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from fieldpost import cbor
from fieldpost.agent.reading import read_chunks
from fieldpost.agent.slots.base import Fill, Image, ImageSet
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
from fieldpost.errors import Malformed, Unavailable, Untrusted
from fieldpost.suit.manifest import MAX_COMPONENTS


def image_path(folder: Path, number: int) -> Path:
    """Where the image of this number lies."""
    return folder / (f"image-{number}" if number else "image")


def write_release(
    folder: Path, release: ImageSet, fill: Fill, *, beside: Path | None = None, disk: Disk = OS
) -> None:
    """Replace what `folder` holds, all images or none.

    What is there already of an attempt that was cut off stays; what stands in the folder `beside`
    is copied; the rest is asked of `fill`. Raises Untrusted("wrong-digest") for other bytes, what
    `fill` raises, and Unavailable.
    """
    make_dirs(folder, disk=disk)
    # First of all the folder stops holding one: a half-written release is never taken for it.
    remove(folder / "slot.cbor", disk=disk)
    remove_leftovers(folder, disk=disk)
    for number in range(len(release.images), MAX_COMPONENTS):
        if (path := image_path(folder, number)).exists():
            remove(path, disk=disk)
    for number, image in enumerate(release.images):
        path = image_path(folder, number)
        if _holds(path, image):
            continue

        def write(chunks: Iterable[bytes], path: Path = path, image: Image = image) -> None:
            _write_image(path, image, chunks, disk=disk)

        source = None if beside is None else _find(beside, image)
        if source is not None:
            write(read_chunks(source))
        else:
            fill(image, write)
    if not all(
        _holds(image_path(folder, number), image) for number, image in enumerate(release.images)
    ):
        raise Unavailable(f"{folder} does not keep what was written to it")
    write_facts(folder / "slot.cbor", release, disk=disk)


def _write_image(path: Path, image: Image, chunks: Iterable[bytes], *, disk: Disk) -> None:
    hasher = sha256()
    part = path.with_name("image.part")
    with open_partial(part, disk=disk) as file:
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
    publish(part, path, disk=disk)


def write_facts(path: Path, release: ImageSet, *, disk: Disk = OS) -> None:
    """Say what a release is. Raises Unavailable."""
    write_file(path, cbor.encode(facts_of(release)), disk=disk)


def facts_of(release: ImageSet) -> list[object]:
    """The CBOR form."""
    return [release.sequence, release.version, images_value(release.images)]


def images_value(images: Iterable[Image]) -> list[object]:
    """The CBOR form of images."""
    return [[list(image.id), image.digest, image.size] for image in images]


def read_facts(path: Path) -> ImageSet | None:
    """What `write_facts` wrote; None for everything else."""
    try:
        return parse_facts(cbor.decode(path.read_bytes()))
    except (OSError, Malformed):
        return None


def parse_facts(value: cbor.Value) -> ImageSet | None:
    """Read the CBOR form; None for everything else."""
    match value:
        case (int(sequence), str(version), images):
            read = parse_images(images)
            return None if not read else ImageSet(sequence=sequence, version=version, images=read)
        case _:
            return None


def parse_images(value: cbor.Value) -> tuple[Image, ...]:
    """Read the CBOR form of images; none for everything else."""
    images = []
    for item in value if isinstance(value, tuple) else ():
        match item:
            case (tuple(parts), bytes(digest), int(size)):
                id_ = tuple(part for part in parts if isinstance(part, bytes))
                images.append(Image(id=id_, digest=digest, size=size))
            case _:
                return ()
    return tuple(images) if len(images) <= MAX_COMPONENTS else ()


def is_whole(folder: Path) -> bool:
    """Whether `folder` holds a release, every byte of it."""
    release = read_facts(folder / "slot.cbor")
    return release is not None and all(
        _holds(image_path(folder, number), image) for number, image in enumerate(release.images)
    )


def _find(folder: Path, image: Image) -> Path | None:
    """The file of a whole image with these bytes, if the release in `folder` has one."""
    release = read_facts(folder / "slot.cbor")
    for number, other in enumerate(release.images if release else ()):
        path = image_path(folder, number)
        if other.digest == image.digest and _holds(path, image):
            return path
    return None


def _holds(path: Path, image: Image) -> bool:
    hasher = sha256()
    try:
        if path.stat().st_size != image.size:
            return False
        for chunk in read_chunks(path):
            hasher.update(chunk)
    except (OSError, Unavailable):
        return False
    return is_content(image, hasher.digest())


def is_content(image: Image, digest: bytes) -> bool:
    """Whether bytes of this SHA-256 are the image."""
    return digest == image.digest
