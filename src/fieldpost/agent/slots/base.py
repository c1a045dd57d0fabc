# SPDX-License-Identifier: Apache-2.0
"""The port behind which images are written and booted: two slots, one of which runs.

A trial is booted once. Whoever boots consumes it: unless the image is confirmed, the next start
finds the slots put back (as MCUboot's test swap). Only `confirm` ends a trial well.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn, Protocol


class Boot(Enum):
    """On what the agent was started."""

    CONFIRMED = "confirmed"
    TRIAL = "trial"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in a slot. `digest` is the SHA-256 of its `size` bytes."""

    sequence: int
    version: str
    digest: bytes
    size: int


class Slots(Protocol):
    """Two places for images. Every method raises Unavailable where the medium fails."""

    def start(self) -> Boot:
        """Called once by every start, first: consumes a trial, ends one that died."""
        ...

    def running(self) -> Image | None:
        """The image of the slot that boots; None on a device that has none yet."""
        ...

    def environment(self) -> dict[str, str]:
        """FIELDPOST_SLOT and FIELDPOST_IMAGE of what runs, for the health check."""
        ...

    def holds(self, image: Image) -> bool:
        """Whether the other slot holds this image, every byte of it."""
        ...

    def install(self, image: Image, chunks: Iterable[bytes]) -> None:
        """Write the image into the other slot, whole or not at all, and durably.

        Raises Untrusted("wrong-digest") if `chunks` are not the image, and what `chunks` raises.
        """
        ...

    def begin_trial(self) -> None:
        """Let the next boot, and only that, take the other slot."""
        ...

    def confirm(self) -> None:
        """Keep what runs. Raises Conflict if it is not on trial any more."""
        ...

    def revert(self) -> None:
        """Put the image before back; without a trial nothing happens."""
        ...

    def reboot(self) -> NoReturn:
        """Boot what `start` will find."""
        ...
