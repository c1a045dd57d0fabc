# SPDX-License-Identifier: Apache-2.0
"""A release of several images is written, tried, kept and put back as one, or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NoReturn

import pytest

from fieldpost.agent.slots.base import Boot, Image, ImageSet, Write, name_of, parse_name
from fieldpost.agent.slots.files import FileSlots
from fieldpost.agent.slots.stored_image import is_whole
from fieldpost.durable import OS, Disk
from fieldpost.errors import Misconfigured, Unavailable, Untrusted
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.faults import FaultyDisk, PowerCut
from fieldpost.testing.images import filled, release_of
from fieldpost.testing.paper_node import PaperNode
from tests.attacks.paper_agent import AgentOnPaper

APP1, APP2 = b"application one" * 900, b"application two" * 1_000
RADIO1, RADIO2 = b"radio one" * 700, b"radio two" * 600
OLD = release_of(1, APP1, radio=RADIO1)
NEW = release_of(2, APP2, radio=RADIO2)
BYTES = {OLD: [APP1, RADIO1], NEW: [APP2, RADIO2]}


def never() -> NoReturn:
    raise AssertionError("nothing boots here")


def factory(root: Path, disk: Disk = OS) -> FileSlots:
    FileSlots(root, boot=never).place_factory_images(OLD, filled(APP1, RADIO1))
    return FileSlots(root, boot=never, disk=disk)


def boots(root: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((root / "current").glob("image*"))]


def update(slots: FileSlots) -> None:
    slots.install(NEW, filled(APP2, RADIO2))
    slots.begin_trial()
    assert slots.start() is Boot.TRIAL
    slots.confirm()


@pytest.mark.crash
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_power_cut_at_any_disk_call_never_boots_images_of_two_releases(
    tmp_path: Path, when: Literal["before", "after"]
) -> None:
    counting = FaultyDisk()
    update(factory(tmp_path / "counting", counting))
    assert len(counting.calls) > 25
    for cut in range(len(counting.calls)):
        root = tmp_path / f"cut{cut}"
        with pytest.raises(PowerCut):
            update(factory(root, FaultyDisk(fail_at=cut, when=when, power_cut=True)))
        slots = FileSlots(root, boot=never)
        slots.start()
        running = slots.running()
        assert running is not None
        assert boots(root) == BYTES[running]
        slots.start()
        if slots.running() == OLD:
            update(slots)
        assert boots(root) == [APP2, RADIO2]


def test_a_release_of_which_one_image_is_wrong_is_not_held(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    with pytest.raises(Untrusted, match="wrong-digest"):
        slots.install(NEW, filled(APP2, RADIO1))
    assert not slots.holds(NEW)
    assert boots(tmp_path / "slots") == [APP1, RADIO1]


def test_images_that_arrived_before_a_cut_are_not_asked_for_again(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    asked: list[bytes] = []

    def fill(image: Image, write: Write) -> None:
        asked.append(image.id[0])
        if image.id == (b"radio",) and asked.count(b"radio") == 1:
            raise Unavailable("the network is gone")
        write([APP2 if image.id == (b"image",) else RADIO2])

    with pytest.raises(Unavailable):
        slots.install(NEW, fill)
    assert not slots.holds(NEW)
    slots.install(NEW, fill)
    assert slots.holds(NEW)
    assert asked == [b"image", b"radio", b"radio"]


def test_an_image_that_did_not_change_is_copied_from_what_runs(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    half = release_of(2, APP2, radio=RADIO1)
    slots.install(half, filled(APP2))
    assert slots.holds(half)


def test_a_damaged_image_of_what_runs_is_not_copied(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    (tmp_path / "slots" / "a" / "image-1").write_bytes(RADIO1[:-1] + b"?")
    half = release_of(2, APP2, radio=RADIO1)
    slots.install(half, filled(APP2, RADIO1))
    assert slots.holds(half)


def test_images_of_a_larger_release_before_are_not_left_behind(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    slots.install(NEW, filled(APP2, RADIO2))
    small = release_of(3, APP2)
    slots.install(small, filled(APP2))
    assert slots.holds(small)
    assert {path.name for path in (tmp_path / "slots" / "b").iterdir()} == {"image", "slot.cbor"}


def test_a_slot_whose_medium_keeps_nothing_holds_nothing(tmp_path: Path) -> None:
    slots = factory(tmp_path / "slots")
    with pytest.raises(Unavailable, match="does not keep"):
        slots.install(NEW, lambda *_: None)
    assert not is_whole(tmp_path / "slots" / "b")


def test_every_image_is_told_to_commands_by_number_and_name(tmp_path: Path) -> None:
    words = factory(tmp_path / "slots").environment()
    assert words["FIELDPOST_SLOT"] == "a"
    assert words["FIELDPOST_COMPONENTS"] == "2"
    assert words["FIELDPOST_IMAGE"] == words["FIELDPOST_IMAGE_0"]
    assert words["FIELDPOST_COMPONENT_1"] == "radio"
    assert Path(words["FIELDPOST_IMAGE_1"]).read_bytes() == RADIO1
    assert words["FIELDPOST_DIGEST_1"] == OLD.digests[1].hex()


@pytest.mark.parametrize(
    ("component", "name"),
    [
        ((b"radio",), "radio"),
        ((b"boot", b"\x01"), "boot/0x01"),
        ((b"../../etc",), "0x2e2e2f2e2e2f657463"),
        ((b"0xab",), "0x30786162"),
        ((b"a b", b".."), "a b/.."),
    ],
)
def test_a_component_has_one_name_that_gives_its_id(
    component: tuple[bytes, ...], name: str
) -> None:
    assert name_of(component) == name
    assert parse_name(name) == component


@pytest.mark.parametrize("text", ["", "/", "a//b", "a\nb", "0x", "0xzz", "0xAB", "ü", "a/b/c/d/e"])
def test_what_names_no_component_is_said(text: str) -> None:
    with pytest.raises(Misconfigured, match="names no component"):
        parse_name(text)


# --- a whole agent ---


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


def test_every_image_is_installed_and_reported_with_its_digest_and_the_sequence(
    tmp_path: Path, node: PaperNode
) -> None:
    agent = AgentOnPaper(tmp_path, node, radio=RADIO1)
    node.publish(2, APP2, radio=RADIO2)
    assert agent.live() == ""
    assert agent.images() == [APP2, RADIO2]
    assert agent.memory().running == 2
    (report,) = node.reports
    told = [(item.index, item.sequence, item.digest) for item in report.components]
    assert told == [(0, 2, NEW.digests[0]), (1, 2, NEW.digests[1])]
    assert list((agent.home.root / "downloads").iterdir()) == []


def test_a_failed_health_check_puts_all_images_back(tmp_path: Path, node: PaperNode) -> None:
    agent = AgentOnPaper(tmp_path, node, health="false", radio=RADIO1)
    node.publish(2, APP2, radio=RADIO2)
    assert "status 1" in agent.live()
    assert agent.images() == [agent.old, RADIO1]
    (report,) = node.reports
    assert [item.sequence for item in report.components] == [2, 2]


def test_an_image_that_cannot_be_had_keeps_the_whole_release_back(
    tmp_path: Path, node: PaperNode
) -> None:
    agent = AgentOnPaper(tmp_path, node, radio=RADIO1)
    node.publish(2, APP2, radio=RADIO2)
    radio = node.blobs.pop(NEW.digests[1].hex())
    assert agent.live() == "unavailable"
    assert agent.images() == [agent.old, RADIO1]
    node.blobs = {NEW.digests[1].hex(): radio}
    assert agent.live() == ""
    assert agent.images() == [APP2, RADIO2]


def test_sets_are_equal_only_image_by_image() -> None:
    other = ImageSet(sequence=2, version="2.0", images=NEW.images[::-1])
    assert other != NEW
    assert other.size == NEW.size == len(APP2) + len(RADIO2)
