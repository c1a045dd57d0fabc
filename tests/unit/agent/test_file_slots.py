# SPDX-License-Identifier: Apache-2.0
"""A power cut at any disk call leaves a whole image to boot, and never an unproven one for good."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NoReturn

import pytest

from fieldpost.agent.slots.base import Boot
from fieldpost.agent.slots.files import FileSlots
from fieldpost.durable import OS, Disk
from fieldpost.errors import Conflict, Untrusted
from fieldpost.testing.faults import FaultyDisk, PowerCut
from fieldpost.testing.images import filled, release_of


class Rebooted(BaseException):
    """The agent was executed anew."""


def reboot() -> NoReturn:
    raise Rebooted


OLD, NEW, NEWER = b"old image" * 20_000, b"new image" * 30_000, b"newer" * 10
OLD_IMAGE, NEW_IMAGE, NEWER_IMAGE = release_of(1, OLD), release_of(2, NEW), release_of(3, NEWER)


def chunks(data: bytes) -> list[bytes]:
    return [data[at : at + 65_536] for at in range(0, len(data), 65_536)]


def factory(root: Path, disk: Disk = OS) -> FileSlots:
    slots = FileSlots(root, boot=reboot, disk=disk)
    slots.place_factory_images(OLD_IMAGE, filled(chunks(OLD)))
    return slots


def running_bytes(slots: FileSlots) -> bytes:
    return Path(slots.environment()["FIELDPOST_IMAGE"]).read_bytes()


def test_a_trial_that_is_confirmed_stays(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    slots.install(NEW_IMAGE, filled(chunks(NEW)))
    assert slots.running() == OLD_IMAGE
    slots.begin_trial()
    assert slots.start() is Boot.TRIAL
    assert slots.running() == NEW_IMAGE
    assert slots.environment()["FIELDPOST_SLOT"] == "b"
    slots.confirm()
    assert slots.start() is Boot.CONFIRMED
    assert running_bytes(slots) == NEW


def test_a_trial_is_booted_once_and_reverted_by_the_next_start(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    slots.install(NEW_IMAGE, filled(chunks(NEW)))
    slots.begin_trial()
    assert slots.start() is Boot.TRIAL
    assert slots.start() is Boot.REVERTED
    assert running_bytes(slots) == OLD
    assert slots.start() is Boot.CONFIRMED


def test_a_slot_damaged_before_its_trial_is_not_booted(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    slots.install(NEW_IMAGE, filled(chunks(NEW)))
    slots.begin_trial()
    (tmp_path / "slots" / "b" / "image").write_bytes(NEW[:-1])
    assert slots.start() is Boot.REVERTED
    assert running_bytes(slots) == OLD


@pytest.mark.parametrize(
    "wrong", [NEW[:-1], NEW + b"x", NEW[:-1] + b"x", b""], ids=["short", "long", "other", "empty"]
)
def test_only_the_signed_bytes_make_an_image(tmp_path: Path, wrong: bytes) -> None:
    slots = factory(tmp_path / "slots")
    with pytest.raises(Untrusted, match="wrong-digest"):
        slots.install(NEW_IMAGE, filled(chunks(wrong)))
    assert not slots.holds(NEW_IMAGE)
    with pytest.raises(Conflict):
        slots.begin_trial()
    assert running_bytes(slots) == OLD


def test_nothing_is_confirmed_that_is_not_on_trial(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    with pytest.raises(Conflict):
        slots.confirm()


def test_a_device_without_an_image_takes_its_first_one_on_trial(tmp_path: Path) -> None:
    slots = FileSlots(tmp_path / "slots", boot=reboot)
    assert slots.start() is Boot.CONFIRMED
    assert slots.running() is None
    slots.install(NEW_IMAGE, filled(chunks(NEW)))
    slots.begin_trial()
    assert slots.start() is Boot.TRIAL
    slots.revert()
    assert slots.running() is None


def test_a_trial_file_that_the_medium_lost_does_not_keep_the_device_from_booting(
    tmp_path: Path,
) -> None:
    slots = factory(tmp_path / "slots")
    (tmp_path / "slots" / "trial.cbor").write_bytes(b"\xff")
    assert slots.start() is Boot.CONFIRMED
    assert running_bytes(slots) == OLD


def update(slots: FileSlots) -> None:
    slots.install(NEW_IMAGE, filled(chunks(NEW)))
    slots.begin_trial()
    slots.start()
    slots.confirm()


def failed_update(slots: FileSlots) -> None:
    slots.install(NEW_IMAGE, filled(chunks(NEW)))
    slots.begin_trial()
    slots.start()
    slots.revert()


def overwriting_update(slots: FileSlots) -> None:
    failed_update(slots)
    slots.install(NEWER_IMAGE, filled(chunks(NEWER)))
    slots.begin_trial()
    slots.start()
    slots.confirm()


WHOLE = {OLD_IMAGE: OLD, NEW_IMAGE: NEW, NEWER_IMAGE: NEWER}


@pytest.mark.crash
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("story", [update, failed_update, overwriting_update])
def test_a_power_cut_at_any_disk_call_leaves_a_whole_image_to_boot(
    story: Callable[[FileSlots], None], when: Literal["before", "after"], tmp_path: Path
) -> None:
    """And an image whose trial was not confirmed is gone after the second start at the latest."""
    counting = FaultyDisk()
    factory(tmp_path / "counting")
    story(FileSlots(tmp_path / "counting", boot=reboot, disk=counting))
    assert len(counting.calls) > 20
    for cut in range(len(counting.calls)):
        root = tmp_path / f"cut{cut}"
        factory(root)
        disk = FaultyDisk(fail_at=cut, when=when, power_cut=True)
        with pytest.raises(PowerCut):
            story(FileSlots(root, boot=reboot, disk=disk))

        slots = FileSlots(root, boot=reboot)
        first = slots.start()
        running = slots.running()
        assert running is not None
        assert running_bytes(slots) == WHOLE[running]
        if first is Boot.TRIAL:
            assert slots.start() is Boot.REVERTED
        elif first is Boot.REVERTED:
            assert slots.running() == OLD_IMAGE
        assert slots.start() is Boot.CONFIRMED
        survivor = slots.running()
        assert survivor is not None
        assert running_bytes(slots) == WHOLE[survivor]
        # And the device can still be updated.
        slots.install(NEWER_IMAGE, filled(chunks(NEWER)))
        slots.begin_trial()
        assert slots.start() is Boot.TRIAL
        slots.confirm()
        assert running_bytes(slots) == NEWER


@pytest.mark.crash
def test_a_disk_that_fails_once_never_costs_the_running_image(tmp_path: Path) -> None:
    counting = FaultyDisk()
    factory(tmp_path / "counting")
    update(FileSlots(tmp_path / "counting", boot=reboot, disk=counting))
    for bad in range(len(counting.calls)):
        root = tmp_path / f"bad{bad}"
        factory(root)
        slots = FileSlots(root, boot=reboot, disk=FaultyDisk(fail_at=bad))
        try:
            update(slots)
        except Exception:  # noqa: BLE001 - whatever it says, the image must be there
            running = slots.running()
            assert running is not None
            assert running_bytes(slots) == WHOLE[running]
