# SPDX-License-Identifier: Apache-2.0
"""The port behind which releases are written and booted: two slots, one of which runs.

A slot holds the images of one whole release, one for each component of its manifest, or nothing.
They are tried, kept and put back together. A trial is booted once. Whoever boots consumes it:
unless the release is confirmed, the next start finds the slots put back (as MCUboot's test swap).
Only `confirm` ends a trial well.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NoReturn, Protocol

from fieldpost.errors import Malformed, Misconfigured
from fieldpost.suit.manifest import Component

ONLY: Final = (b"image",)
"""The component id of a release that is one image."""


class Boot(Enum):
    """On what the agent was started."""

    CONFIRMED = "confirmed"
    TRIAL = "trial"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One component's image. `digest` is the SHA-256 of its `size` bytes, `id` its SUIT id."""

    digest: bytes
    size: int
    id: tuple[bytes, ...] = ONLY


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """All images of one release, in the order of its manifest."""

    sequence: int
    version: str
    images: tuple[Image, ...]

    @property
    def digests(self) -> tuple[bytes, ...]:
        """The images' SHA-256, in order."""
        return tuple(image.digest for image in self.images)

    @property
    def size(self) -> int:
        """The bytes of all images."""
        return sum(image.size for image in self.images)


# fill(image, write): calls write(chunks) once with the bytes of the image. `write` raises
# Untrusted("wrong-digest") for others, and may be called again then.
Write = Callable[[Iterable[bytes]], None]
Fill = Callable[[Image, Write], None]


def name_of(component: tuple[bytes, ...]) -> str:
    """A component id for people and commands: parts of printable ASCII as they are, others as `0x`
    and hex, joined by `/`. Never part of a path of ours."""
    return "/".join(_part(part) for part in component)


def _part(part: bytes) -> str:
    text = part.decode("latin-1")
    plain = text.isascii() and text.isprintable() and "/" not in text
    return text if plain and not text.startswith("0x") else f"0x{part.hex()}"


def parse_name(text: str) -> tuple[bytes, ...]:
    """The component id that `name_of` shows as `text`. Raises Misconfigured."""
    try:
        id_ = tuple(
            bytes.fromhex(part[2:]) if part.startswith("0x") else part.encode("ascii")
            for part in text.split("/")
        )
        # The id's own limits.
        Component(id_, bytes(32), 1)
    except (ValueError, Malformed):
        id_ = ()
    if not id_ or name_of(id_) != text:
        raise Misconfigured(f"{text!r} names no component, as application or boot/0x01 do")
    return id_


class Slots(Protocol):
    """Two places for releases. Every method raises Unavailable where the medium fails."""

    def start(self) -> Boot:
        """Called once by every start, first: consumes a trial, ends one that died."""
        ...

    def running(self) -> ImageSet | None:
        """What the slot that boots holds; None on a device that has nothing yet."""
        ...

    def environment(self) -> dict[str, str]:
        """FIELDPOST_SLOT and the images of what runs, for the health check; see `image_words`."""
        ...

    def check_fits(self, release: ImageSet) -> None:
        """Raises Untrusted("unsupported") where there is no place for one of the components."""
        ...

    def holds(self, release: ImageSet) -> bool:
        """Whether the other slot holds this release, every byte of it."""
        ...

    def install(self, release: ImageSet, fill: Fill) -> None:
        """Write the images into the other slot, all or none, and durably.

        `fill` is asked for each image that is not there already. Raises what it raises.
        """
        ...

    def begin_trial(self) -> None:
        """Let the next boot, and only that, take the other slot."""
        ...

    def confirm(self) -> None:
        """Keep what runs. Raises Conflict if it is not on trial any more."""
        ...

    def revert(self) -> None:
        """Put the release before back; without a trial nothing happens."""
        ...

    def reboot(self) -> NoReturn:
        """Boot what `start` will find."""
        ...


def image_words(release: ImageSet, paths: Iterable[object]) -> dict[str, str]:
    """What commands are told of a release by their environment; `paths` are its images' files.

    FIELDPOST_COMPONENTS = how many, then for each number i from 0 FIELDPOST_COMPONENT_i (its
    name), FIELDPOST_IMAGE_i, FIELDPOST_DIGEST_i and FIELDPOST_SIZE_i; without a number the first.
    """
    words = {"FIELDPOST_COMPONENTS": str(len(release.images))}
    for number, (image, path) in enumerate(zip(release.images, paths, strict=True)):
        told = {
            "FIELDPOST_IMAGE": str(path),
            "FIELDPOST_DIGEST": image.digest.hex(),
            "FIELDPOST_SIZE": str(image.size),
        }
        words |= told if number == 0 else {}
        words |= {f"{name}_{number}": word for name, word in told.items()}
        words[f"FIELDPOST_COMPONENT_{number}"] = name_of(image.id)
    return words
