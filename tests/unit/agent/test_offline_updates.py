# SPDX-License-Identifier: Apache-2.0
"""A device without network updates from one file, under the same checks as online."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import pytest

from fieldpost.agent.enrolment import Base, enrol
from fieldpost.agent.home import Home
from fieldpost.agent.loop import open_agent, run_once
from fieldpost.agent.memory import Memory, load_memory
from fieldpost.agent.offline import OfflineUpdate
from fieldpost.agent.states import State
from fieldpost.agent.world import Facts, Power, World
from fieldpost.checkin.offline_bundle import OfflineBundle, encode_offline_bundle
from fieldpost.errors import FieldpostError, Malformed, NotFound, Untrusted
from fieldpost.identity.outcome import Outcome
from fieldpost.records.head import Conditions
from fieldpost.records.identifiers import vendor_id
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.maker_keys import MakerKeys

OLD, NEW = b"the old image" * 1_000, b"the new image" * 9_000


class Rebooted(BaseException):
    """The agent was executed anew."""


def reboot() -> NoReturn:
    raise Rebooted


@dataclass
class Device:
    """One device whose board's address leads nowhere, and the stick that is put into it."""

    board: PaperBoard
    home: Home
    stick: Path
    clock: int
    health: str = "true"
    events: list[str] = field(default_factory=list)

    def world(self) -> World:
        def emit(event: str, _: Facts) -> None:
            self.events.append(event)

        return World(
            emit=emit, clock=lambda: self.clock, uptime=lambda: 1.0, power=lambda: Power(10, False)
        )

    def set_up(self) -> None:
        image = self.home.root.parent / "old.bin"
        image.write_bytes(OLD)
        base = Base(images={"image": image}, sequence=1, version="1.0")
        enrol(self.home, provisioning=self.board.provisioning(), serial="one", base=base)
        self.home.config.write_text(
            f'urls = ["http://127.0.0.1:9"]\nhealth_check = ["{self.health}"]\n'
        )

    def export(self, more: dict[str, bytes] | None = None, **changes: object) -> OfflineBundle:
        """What the maker's side puts on the stick, for release 2."""
        envelope = self.board.envelope(2, image=NEW, more=more)
        bundle = OfflineBundle(
            check_in=self.board.bundle(),
            board_links=tuple(self.board.board_chain),
            maker_links=tuple(self.board.maker_chain),
            envelope=envelope.encode(),
            release_proof=None,
        )
        return replace(bundle, **changes)  # type: ignore[arg-type]

    def offer(self, more: dict[str, bytes] | None = None, **changes: object) -> None:
        envelope = self.board.envelope(2, image=NEW, more=more)
        self.board.offer(self.board.release(2, manifest=envelope.digest, **changes))

    def apply(self, bundle: OfflineBundle, *artifacts: bytes) -> str:
        """Exit as the command line would; the reason of a refusal, "reverted", or ""."""
        pieces = encode_offline_bundle(bundle, [(len(data), [data]) for data in artifacts])
        self.stick.write_bytes(b"".join(pieces))
        update: OfflineUpdate | None = OfflineUpdate.open(self.stick)
        while True:
            try:
                with open_agent(self.home, world=self.world(), boot=reboot) as agent:
                    done = run_once(agent, self.world(), rebooted=update is None, update=update)
                    return "reverted" if done.reverted else ""
            except Rebooted:
                # The stick may be gone by now.
                self.stick.unlink(missing_ok=True)
                update = None
            except Untrusted as refused:
                return refused.reason
            except FieldpostError as failure:
                return type(failure).__name__

    @property
    def memory(self) -> Memory:
        return load_memory(self.home.memory)

    @property
    def boots(self) -> bytes:
        return (self.home.slots / "current" / "image").read_bytes()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    board = PaperBoard(operators=4)
    device = Device(board, Home(tmp_path / "device"), tmp_path / "stick", board.time)
    device.set_up()
    return device


def test_every_image_of_a_release_comes_from_the_file(device: Device) -> None:
    """In any order; while one is missing, nothing is installed."""
    more = {"radio": b"the radio's image"}
    device.offer(more)
    assert device.apply(device.export(more), NEW) == "NotFound"
    assert device.boots == OLD
    assert device.apply(device.export(more), more["radio"], NEW) == ""
    images = sorted((device.home.slots / "current").glob("image*"))
    assert [path.read_bytes() for path in images] == [NEW, more["radio"]]
    assert device.memory.running == 2


def test_a_device_without_network_updates_from_a_file(device: Device) -> None:
    """And keeps its report for the day on which there is a network."""
    device.offer()
    assert device.apply(device.export(), NEW) == ""
    assert device.boots == NEW
    memory = device.memory
    assert (memory.running, memory.state) == (2, State.IDLE)
    assert memory.told is not None
    assert memory.told.outcome is Outcome.CONFIRMED
    assert device.events == ["checkin", "offer", "staged", "trial", "confirmed", "report"]


def test_the_files_chains_are_followed(device: Device) -> None:
    device.board.board_set(["x", "y", "z", "operator0"])
    device.board.maker_set()
    device.offer()
    assert device.apply(device.export(), NEW) == ""
    assert device.boots == NEW


def test_a_file_without_the_links_that_are_needed_is_refused(device: Device) -> None:
    device.board.maker_set()
    device.offer()
    assert device.apply(device.export(maker_links=()), NEW) == "missing-links"
    assert device.boots == OLD


def test_a_check_in_that_too_few_cosigned_is_refused(device: Device) -> None:
    device.offer()
    forged = device.export(check_in=device.board.bundle(operators=2))
    assert device.apply(forged, NEW) == "no-quorum"
    assert device.boots == OLD


def test_an_older_file_is_refused_after_a_newer_one(device: Device) -> None:
    device.offer()
    old = device.export()
    device.board.seal()
    device.apply(device.export(), NEW)
    assert device.apply(old, NEW) == "not-newer"


def test_a_file_that_lay_around_too_long_is_stale(device: Device) -> None:
    device.offer()
    device.clock += 30 * 86_400
    assert device.apply(device.export(), NEW) == "stale"
    assert device.boots == OLD


def test_another_image_than_the_signed_one_is_not_taken(device: Device) -> None:
    device.offer()
    assert device.apply(device.export(), NEW[:-1] + b"?") == NotFound.__name__
    assert device.apply(device.export()) == NotFound.__name__
    assert device.boots == OLD
    assert device.memory.state is State.IDLE


def test_a_manifest_of_strangers_is_refused(device: Device) -> None:
    device.offer()
    thief = MakerKeys(name="thief")
    signed = thief.sign_release(
        2, vendor=vendor_id(device.board.maker_id), class_id=device.board.class_id, image=NEW
    )
    assert device.apply(device.export(envelope=signed.encode()), NEW) == "manifest-threshold"
    other = device.board.envelope(2, image=OLD)
    assert device.apply(device.export(envelope=other.encode()), OLD) == "wrong-digest"


def test_an_image_that_is_not_healthy_is_put_back(device: Device) -> None:
    device.home.config.write_text('health_check = ["false"]\n')
    device.offer()
    assert device.apply(device.export(), NEW) == "reverted"
    assert device.boots == OLD
    assert device.memory.failed[0].tries == 1


def test_the_conditions_of_the_offer_hold_here_too(device: Device) -> None:
    device.offer(conditions=Conditions(battery_percent=50))
    assert device.apply(device.export(), NEW) == ""
    assert "low-power" in device.events
    assert device.boots == OLD


def test_what_is_no_offline_update_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"<html>")
    with pytest.raises(Malformed):
        OfflineUpdate.open(path)
