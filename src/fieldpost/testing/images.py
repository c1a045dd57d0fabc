# SPDX-License-Identifier: Apache-2.0
"""Releases of a few bytes for slots.

release = release_of(2, b"application", radio=b"radio")
slots.install(release, filled(b"application", b"radio"))
"""

from collections.abc import Iterable
from hashlib import sha256

from fieldpost.agent.slots.base import ONLY, Fill, Image, ImageSet, Write, parse_name


def image_of(data: bytes, component: tuple[bytes, ...] = ONLY) -> Image:
    """What a manifest says of these bytes."""
    return Image(id=component, digest=sha256(data).digest(), size=len(data))


def release_of(sequence: int, data: bytes, *, version: str = "", **more: bytes) -> ImageSet:
    """A release of one image, and of `more` by the names of their components."""
    images = [image_of(data)]
    images += [image_of(other, parse_name(name)) for name, other in more.items()]
    return ImageSet(sequence=sequence, version=version or f"{sequence}.0", images=tuple(images))


def filled(*images: bytes | Iterable[bytes]) -> Fill:
    """Gives the one of these that is asked for, by digest; where none is it, the next in turn."""
    left = [[data] if isinstance(data, bytes) else list(data) for data in images]

    def fill(image: Image, write: Write) -> None:
        right = [chunks for chunks in left if sha256(b"".join(chunks)).digest() == image.digest]
        chosen = (right or left)[0]
        left.remove(chosen)
        write(chosen)

    return fill
