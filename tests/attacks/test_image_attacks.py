# SPDX-License-Identifier: Apache-2.0
"""Images that harm by what they are: bombs, images that boot and help nobody, changed files.

A whole agent on a disk; each test ends with what it runs, and a control without the defence.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest
import zstandard

from fieldpost import cbor
from fieldpost.agent.download import Stored, unpack
from fieldpost.agent.enrolment import enrol
from fieldpost.agent.home import Home
from fieldpost.agent.installing import install
from fieldpost.agent.memory import Staged
from fieldpost.agent.plan import Plan
from fieldpost.agent.slots.base import Boot
from fieldpost.agent.slots.files import FileSlots
from fieldpost.agent.world import Facts, World
from fieldpost.errors import Malformed, Untrusted
from fieldpost.records.device_class import Encoding
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.images import filled, image_of, release_of
from fieldpost.testing.paper_node import PaperNode
from fieldpost.tlog.tiles import parse_tile_path
from tests.attacks.paper_agent import AgentOnPaper, Clock
from tests.attacks.paper_device import DAY

NEW = b"the image of release 2"


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


# --- images that boot and help nobody ---


def silence_after_the_image(node: PaperNode) -> None:
    """The network of the new image is broken: nothing is answered once its bytes were fetched."""
    answer = node.answer

    def quiet(path: str) -> bytes | None:
        body = answer(path)
        if "/blobs/" in path:
            node.is_silent = True
        return body

    node.answer = quiet  # type: ignore[method-assign]


def test_an_image_that_boots_but_is_offline_goes_back(tmp_path: Path, node: PaperNode) -> None:
    """Healthy by its own word, and nobody would ever reach the device again."""
    agent = AgentOnPaper(tmp_path, node)
    node.publish(2, NEW)
    silence_after_the_image(node)
    reason = agent.live()
    assert "no check-in was verified in time" in reason
    assert agent.runs() == (1, agent.old)
    assert agent.memory().failed == ()


def test_control_without_the_trials_check_in_the_offline_image_stays(
    tmp_path: Path, node: PaperNode
) -> None:
    agent = AgentOnPaper(tmp_path, node)
    node.publish(2, NEW)
    silence_after_the_image(node)
    with without(Defence.TRIAL_CHECK_IN):
        agent.live()
    assert agent.runs() == (2, NEW)


def trials(agent: AgentOnPaper, node: PaperNode, days: int) -> int:
    """How often the agent tries within so many days, a check-in each day."""
    for _ in range(days):
        agent.live()
        agent.clock.now += DAY
        node.board.time = agent.clock.now
        node.board.seal()
    return len(agent.told("trial"))


def test_an_image_that_always_fails_is_not_tried_for_ever(tmp_path: Path, node: PaperNode) -> None:
    """An endless loop of boots wears flash and battery out, and is an outage of its own."""
    agent = AgentOnPaper(tmp_path, node, health="false")
    node.publish(2, NEW)
    assert trials(agent, node, 8) == 3
    assert agent.runs() == (1, agent.old)
    assert agent.live() == "failed-before"
    with without(Defence.TRIES):
        assert trials(agent, node, 5) == 3 + 5


class Dead(BaseException):
    """The new image hung, and a watchdog took the power away."""


@dataclass
class DyingClock(Clock):
    """Time on a device whose every trial dies before its health is known."""

    def world(self) -> World:
        plain = super().world()

        def emit(event: str, facts: Facts) -> None:
            plain.emit(event, facts)
            if event == "trial":
                raise Dead

        return replace(plain, emit=emit)


def deadly_trials(agent: AgentOnPaper, node: PaperNode, days: int) -> int:
    """How often a deadly image is tried in all after so many more days of four check-ins."""
    for _ in range(4 * days):
        with suppress(Dead):
            agent.live()
        agent.live(rebooted=True)
        agent.clock.now += DAY // 4
        node.board.time = agent.clock.now
        node.board.seal()
    return len(agent.told("trial"))


def test_an_image_that_kills_every_trial_is_tried_ever_more_rarely(
    tmp_path: Path, node: PaperNode
) -> None:
    """Nobody examined it, so nothing counts against it; but each try is an outage."""
    agent = AgentOnPaper(tmp_path, node)
    agent.clock = DyingClock(agent.clock.now)
    node.publish(2, NEW)
    # Each rest is twice as long as the one before, from the shortest interval up to the longest.
    tries = [0, *(deadly_trials(agent, node, 3) for _ in range(3))]
    assert [later - earlier for earlier, later in pairwise(tries)] == [11, 3, 3]
    assert agent.runs() == (1, agent.old)
    assert agent.memory().failed == ()
    with without(Defence.REST):
        assert deadly_trials(agent, node, 1) == tries[-1] + 4


# --- bombs ---


def test_a_frame_that_asks_for_a_large_window_costs_no_memory(
    tmp_path: Path, node: PaperNode
) -> None:
    """A decoder holds the whole window; a device without so much memory would be killed."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    path = tmp_path / "bomb.zst"
    # Without the size in its header, the frame is believed to need all of its window.
    packer = zstandard.ZstdCompressor(
        compression_params=parameters,
    ).compressobj()
    path.write_bytes(packer.compress(NEW) + packer.flush())
    with pytest.raises(Malformed, match="no zstd that this device takes"):
        list(unpack(path, Encoding.ZSTD, most_bytes=len(NEW)))
    with without(Defence.WINDOW):
        assert b"".join(unpack(path, Encoding.ZSTD, most_bytes=len(NEW))) == NEW


@pytest.fixture
def bomb(tmp_path: Path) -> tuple[Path, Plan]:
    """100 MB of zeros in a few kilobytes, for a release whose manifest signs 1,000 bytes."""
    packed = zstandard.compress(bytes(100_000_000), 3)
    path = tmp_path / "bomb.zst"
    path.write_bytes(packed)
    signed = image_of(bytes(1_000))
    staged = Staged(
        sequence=2,
        version="2.0",
        manifest=bytes(32),
        images=(signed,),
        change_count=1,
    )
    form = Stored(digest=sha256(packed).digest(), size=len(packed), encoding=Encoding.ZSTD)
    return path, Plan(staged=staged, forms={signed: (form,)}, sources=())


def test_a_zstd_bomb_fills_no_disk(tmp_path: Path, bomb: tuple[Path, Plan]) -> None:
    """Two limits stand one behind the other: of what is unpacked, and of what a slot takes."""
    path, plan = bomb
    slots = FileSlots(tmp_path / "slots", boot=never)
    home = Home(tmp_path / "home")
    for defences in ((), (Defence.UNPACKED_SIZE,)):
        with without(*defences), pytest.raises(Untrusted, match="wrong-digest"):
            install(plan, slots=slots, home=home, obtain=lambda *_: path)
        written = sum(f.stat().st_size for f in (tmp_path / "slots").rglob("*") if f.is_file())
        assert written <= 1_000
        assert slots.running() is None


def test_a_form_that_is_not_what_its_record_says_does_not_hide_the_image(tmp_path: Path) -> None:
    """Records say how bytes are packed, and rest on one key; the manifest says what comes out."""
    image = image_of(NEW)
    forms = (
        Stored(digest=image.digest, size=5, encoding=Encoding.ZSTD),
        Stored(digest=image.digest, size=len(NEW), encoding=Encoding.IDENTITY),
    )
    staged = Staged(sequence=2, version="2.0", manifest=bytes(32), images=(image,), change_count=1)
    slots, home = FileSlots(tmp_path / "slots", boot=never), Home(tmp_path / "home")
    path = tmp_path / "image"
    path.write_bytes(NEW)
    alone = Plan(staged=staged, forms={image: forms[:1]}, sources=())
    with pytest.raises(Malformed, match="no zstd"):
        install(alone, slots=slots, home=home, obtain=lambda *_: path)
    assert not slots.holds(alone.release)
    both = Plan(staged=staged, forms={image: forms}, sources=())
    install(both, slots=slots, home=home, obtain=lambda *_: path)
    assert slots.holds(both.release)


def test_control_without_the_limit_the_bomb_goes_off(bomb: tuple[Path, Plan]) -> None:
    path, plan = bomb
    most = plan.release.size
    with pytest.raises(Untrusted):
        sum(map(len, unpack(path, Encoding.ZSTD, most_bytes=most)))
    assert sum(map(len, unpack(path, Encoding.ZSTD, most_bytes=2**40))) == 100_000_000


def never() -> NoReturn:
    raise AssertionError("nothing boots here")


# --- files that change between check and use ---


def test_an_image_changed_between_check_and_boot_is_not_booted(tmp_path: Path) -> None:
    """Verified when it was written, exchanged before the trial: it is verified again."""
    slots = FileSlots(tmp_path / "slots", boot=never)
    old, new = release_of(1, b"old"), release_of(2, NEW)
    slots.place_factory_images(old, filled(b"old"))
    slots.install(new, filled(NEW))
    slots.begin_trial()
    (tmp_path / "slots" / "b" / "image").write_bytes(b"EVIL" + NEW[4:])
    assert slots.start() is Boot.REVERTED
    assert slots.running() == old


def test_control_without_the_second_check_the_exchanged_image_boots(tmp_path: Path) -> None:
    slots = FileSlots(tmp_path / "slots", boot=never)
    slots.place_factory_images(release_of(1, b"old"), filled(b"old"))
    slots.install(release_of(2, NEW), filled(NEW))
    slots.begin_trial()
    (tmp_path / "slots" / "b" / "image").write_bytes(b"EVIL" + NEW[4:])
    with without(Defence.IMAGE):
        assert slots.start() is Boot.TRIAL
    assert Path(slots.environment()["FIELDPOST_IMAGE"]).read_bytes().startswith(b"EVIL")


def test_a_download_changed_after_its_check_is_not_installed(
    tmp_path: Path, node: PaperNode
) -> None:
    """The slot hashes the very bytes that it writes, so what a file was before does not matter."""
    slots = FileSlots(tmp_path / "slots", boot=never)
    slots.place_factory_images(release_of(1, b"old"), filled(b"old"))
    changed = b"EVIL" + NEW[4:]
    with pytest.raises(Untrusted, match="wrong-digest"):
        slots.install(release_of(2, NEW), filled(changed))
    assert not slots.holds(release_of(2, NEW))
    with without(Defence.IMAGE):
        slots.install(release_of(2, NEW), filled(changed))
    assert (tmp_path / "slots" / "b" / "image").read_bytes() == changed


# --- paths ---


def test_a_slot_outside_the_slots_is_never_gone_back_to(tmp_path: Path) -> None:
    """Whoever can write the trial's file must not choose what boots from elsewhere on the disk."""
    slots = FileSlots(tmp_path / "slots", boot=never)
    slots.place_factory_images(release_of(1, b"old"), filled(b"old"))
    slots.install(release_of(2, NEW), filled(NEW))
    slots.begin_trial()
    trial = tmp_path / "slots" / "trial.cbor"
    trial.write_bytes(cbor.encode(["b", "../../evil", True]))
    assert slots.start() is Boot.REVERTED
    assert not (tmp_path / "slots" / "current").is_symlink()
    trial.write_bytes(cbor.encode(["../../evil", "a", False]))
    assert slots.start() is Boot.CONFIRMED
    with without(Defence.SLOT_NAMES):
        trial.write_bytes(cbor.encode(["b", "../../evil", True]))
        assert slots.start() is Boot.REVERTED
    assert str((tmp_path / "slots" / "current").readlink()) == "../../evil"


def test_a_link_that_leads_out_of_the_slots_is_no_slot(tmp_path: Path) -> None:
    slots = FileSlots(tmp_path / "slots", boot=never)
    slots.place_factory_images(release_of(1, b"old"), filled(b"old"))
    link = tmp_path / "slots" / "current"
    link.unlink()
    link.symlink_to("../../evil")
    assert slots.running() is None
    assert slots.environment() == {"FIELDPOST_SLOT": "", "FIELDPOST_IMAGE": ""}
    with without(Defence.SLOT_NAMES):
        assert slots.environment()["FIELDPOST_SLOT"] == "../../evil"


@pytest.mark.parametrize(
    "path",
    ["tile/../../etc/passwd", "tile/0/../000", "tile/0/x001/../../../secret", "tile//etc/passwd"],
)
def test_a_path_out_of_the_log_is_no_tile(path: str) -> None:
    """A node serves nothing but what parses as a tile; a name that does not is not looked up."""
    with pytest.raises(Malformed):
        parse_tile_path(path)


def test_a_version_that_is_a_path_never_becomes_one(tmp_path: Path) -> None:
    slots = FileSlots(tmp_path / "slots", boot=never)
    named = release_of(1, b"x", version="../../evil")
    slots.place_factory_images(named, filled(b"x"))
    assert slots.running() == named
    assert {file.name for file in tmp_path.iterdir()} == {"slots"}


def test_a_serial_that_is_a_path_stays_in_the_devices_folder(tmp_path: Path) -> None:
    home = Home(tmp_path / "device")
    made = enrol(home, provisioning=PaperBoard().provisioning(), serial="../../evil")
    assert made.request.parent == home.root
    assert {file.name for file in tmp_path.iterdir()} == {"device"}
