# SPDX-License-Identifier: Apache-2.0
"""Slots as two directories and a link, for programs and containers on Linux, and for trying out.

    slots/a/image, slots/b/image      the images (image-1, … of further components)
    slots/a/slot.cbor                 what they are; absent = empty slot (see `stored_image`)
    slots/current -> a                what boots
    slots/trial.cbor                  ["b", "a", booted]: b is on trial, a is what to go back to

Booting means: the agent's program is executed anew and goes through the link. `trial.cbor` is
written before the link moves and removed after it moved back, and `booted` is set before anything
of the new image runs, so at every moment a start finds a whole image.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from fieldpost import cbor
from fieldpost.agent.slots.base import Boot, Fill, ImageSet, image_words
from fieldpost.agent.slots.stored_image import image_path, is_whole, read_facts, write_release
from fieldpost.durable import (
    OS,
    Disk,
    make_dirs,
    remove,
    remove_leftovers,
    replace_link,
    write_file,
)
from fieldpost.errors import Conflict, Malformed, Unavailable

_NAMES: Final = ("a", "b")


class FileSlots:
    """The slots below `root`. `boot` executes the agent anew and does not return."""

    def __init__(self, root: Path, *, boot: Callable[[], NoReturn], disk: Disk = OS) -> None:
        self._root = root
        self._boot = boot
        self._disk = disk
        self._link = root / "current"
        self._trial = root / "trial.cbor"

    def place_factory_images(self, release: ImageSet, fill: Fill) -> None:
        """Put the first release into slot a and let it boot. Raises as `install`."""
        make_dirs(self._root, disk=self._disk)
        write_release(self._root / "a", release, fill, disk=self._disk)
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
        if booted or not is_whole(self._root / name):
            self.revert()
            return Boot.REVERTED
        self._write_trial(trial[0], trial[1], booted=True)
        return Boot.TRIAL

    def running(self) -> ImageSet | None:
        """See `Slots`."""
        name = self._current()
        return None if name is None else self._facts(name)

    def environment(self) -> dict[str, str]:
        """See `Slots`. The slot is `a` or `b`, the images absolute paths."""
        name = self._current() or ""
        folder = self._root.absolute() / name
        release = self._facts(name) if name else None
        if release is None:
            return {"FIELDPOST_SLOT": name, "FIELDPOST_IMAGE": ""}
        paths = [image_path(folder, number) for number in range(len(release.images))]
        return {"FIELDPOST_SLOT": name} | image_words(release, paths)

    def check_fits(self, release: ImageSet) -> None:
        """See `Slots`. A folder has a place for everything."""

    def holds(self, release: ImageSet) -> bool:
        """See `Slots`."""
        other = self._other()
        return self._facts(other) == release and is_whole(self._root / other)

    def install(self, release: ImageSet, fill: Fill) -> None:
        """See `Slots`. What an image of the running release is too is copied from there."""
        name = self._current()
        beside = None if name is None else self._root / name
        write_release(self._root / self._other(), release, fill, beside=beside, disk=self._disk)

    def begin_trial(self) -> None:
        """See `Slots`. Raises Conflict if the other slot is empty."""
        name = self._other()
        if self._facts(name) is None:
            raise Conflict("the other slot holds no image")
        # Its last fsync may have failed in an attempt before this one; then its names can vanish.
        remove_leftovers(self._root / name, disk=self._disk)
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

    def _facts(self, name: str) -> ImageSet | None:
        return read_facts(self._root / name / "slot.cbor")

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
