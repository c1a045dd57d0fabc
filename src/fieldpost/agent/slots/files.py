# SPDX-License-Identifier: Apache-2.0
"""Slots as two directories and a link, for programs and containers on Linux, and for trying out.

    slots/a/image, slots/b/image      the images
    slots/a/slot.cbor                 [sequence, version, SHA-256, bytes]; absent = empty slot
    slots/current -> a                what boots
    slots/trial.cbor                  ["b", "a", booted]: b is on trial, a is what to go back to

Booting means: the agent's program is executed anew and goes through the link. `trial.cbor` is
written before the link moves and removed after it moved back, and `booted` is set before anything
of the new image runs, so at every moment a start finds a whole image.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final, NoReturn

from fieldpost import cbor
from fieldpost.agent.slots.base import Boot, Image
from fieldpost.durable import (
    OS,
    Disk,
    make_dirs,
    open_partial,
    publish,
    remove,
    remove_leftovers,
    replace_link,
    write_file,
)
from fieldpost.errors import Conflict, Malformed, Unavailable, Untrusted

_NAMES: Final = ("a", "b")
_CHUNK_BYTES: Final = 65_536


class FileSlots:
    """The slots below `root`. `boot` executes the agent anew and does not return."""

    def __init__(self, root: Path, *, boot: Callable[[], NoReturn], disk: Disk = OS) -> None:
        self._root = root
        self._boot = boot
        self._disk = disk
        self._link = root / "current"
        self._trial = root / "trial.cbor"

    def place_factory_image(self, image: Image, chunks: Iterable[bytes]) -> None:
        """Put the first image into slot a and let it boot. Raises as `install`."""
        make_dirs(self._root, disk=self._disk)
        self._write(self._root / "a", image, chunks)
        replace_link(self._link, "a", disk=self._disk)

    def start(self) -> Boot:
        """See `Slots`."""
        make_dirs(self._root, disk=self._disk)
        remove_leftovers(self._root, disk=self._disk)
        trial = self._read_trial()
        if trial is None:
            return Boot.CONFIRMED
        name, _, booted = trial
        if self._current() != name:
            # The power went between writing the trial and moving the link, or in a revert.
            self.revert()
            return Boot.REVERTED if booted else Boot.CONFIRMED
        if booted or not self._is_whole(name):
            self.revert()
            return Boot.REVERTED
        self._write_trial(trial[0], trial[1], booted=True)
        return Boot.TRIAL

    def running(self) -> Image | None:
        """See `Slots`."""
        name = self._current()
        return None if name is None else self._read_image(name)

    def environment(self) -> dict[str, str]:
        """See `Slots`. The slot is `a` or `b`, the image an absolute path."""
        name = self._current() or ""
        image = self._root.absolute() / name / "image" if name else ""
        return {"FIELDPOST_SLOT": name, "FIELDPOST_IMAGE": str(image)}

    def holds(self, image: Image) -> bool:
        """See `Slots`."""
        other = self._other()
        return self._read_image(other) == image and self._is_whole(other)

    def install(self, image: Image, chunks: Iterable[bytes]) -> None:
        """See `Slots`."""
        self._write(self._root / self._other(), image, chunks)

    def begin_trial(self) -> None:
        """See `Slots`. Raises Conflict if the other slot is empty."""
        name = self._other()
        if self._read_image(name) is None:
            raise Conflict("the other slot holds no image")
        self._write_trial(name, self._current() or "", booted=False)
        replace_link(self._link, name, disk=self._disk)

    def confirm(self) -> None:
        """See `Slots`."""
        trial = self._read_trial()
        if trial is None or self._current() != trial[0]:
            raise Conflict("nothing is on trial")
        remove(self._trial, disk=self._disk)

    def revert(self) -> None:
        """See `Slots`."""
        trial = self._read_trial()
        if trial is None:
            return
        before = trial[1]
        if before:
            replace_link(self._link, before, disk=self._disk)
        else:
            remove(self._link, disk=self._disk)
        remove(self._trial, disk=self._disk)

    def reboot(self) -> NoReturn:
        """See `Slots`."""
        self._boot()

    def _current(self) -> str | None:
        try:
            name = str(self._link.readlink())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"cannot read {self._link}: {error.strerror}") from error
        return name if name in _NAMES else None

    def _other(self) -> str:
        return "b" if self._current() == "a" else "a"

    def _write(self, slot: Path, image: Image, chunks: Iterable[bytes]) -> None:
        make_dirs(slot, disk=self._disk)
        # First of all the slot stops being one, so that a half-written image is never taken for it.
        remove(slot / "slot.cbor", disk=self._disk)
        remove_leftovers(slot, disk=self._disk)
        hasher = sha256()
        with open_partial(slot / "image.part", disk=self._disk) as file:
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
        publish(slot / "image.part", slot / "image", disk=self._disk)
        facts = [image.sequence, image.version, image.digest, image.size]
        write_file(slot / "slot.cbor", cbor.encode(facts), disk=self._disk)

    def _read_image(self, name: str) -> Image | None:
        try:
            match cbor.decode((self._root / name / "slot.cbor").read_bytes()):
                case (int(sequence), str(version), bytes(digest), int(size)):
                    return Image(sequence=sequence, version=version, digest=digest, size=size)
        except (OSError, Malformed):
            pass
        return None

    def _is_whole(self, name: str) -> bool:
        image = self._read_image(name)
        if image is None:
            return False
        hasher = sha256()
        try:
            with (self._root / name / "image").open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    hasher.update(chunk)
        except OSError:
            return False
        return is_content(image, hasher.digest())

    def _read_trial(self) -> tuple[str, str, bool] | None:
        try:
            data = self._trial.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(f"cannot read {self._trial}: {error.strerror}") from error
        try:
            match cbor.decode(data):
                case (str(name), str(before), bool(booted)) if name in _NAMES:
                    return name, before if before in _NAMES else "", booted
        except Malformed:
            pass
        # It was written whole, so the medium lost it; what the link names must boot all the same.
        return None

    def _write_trial(self, name: str, before: str, *, booted: bool) -> None:
        write_file(self._trial, cbor.encode([name, before, booted]), disk=self._disk)


def is_content(image: Image, digest: bytes) -> bool:
    """Whether bytes of this SHA-256 are the image."""
    return digest == image.digest
