# SPDX-License-Identifier: Apache-2.0
"""Owner, power and the offer's conditions decide when an update begins, and the maker is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.agent.channel import change_channel
from fieldpost.agent.config import load_config
from fieldpost.agent.enrolment import enrol
from fieldpost.agent.home import Home
from fieldpost.agent.loop import open_agent
from fieldpost.agent.memory import load_memory
from fieldpost.agent.permission import postpone, wish_of
from fieldpost.agent.postponement import Pending, consider, is_put_off
from fieldpost.agent.power import ask_power, parse_power
from fieldpost.agent.status import read_status
from fieldpost.agent.world import Power, World
from fieldpost.errors import Conflict, Misconfigured, Unavailable
from fieldpost.identity.outcome import Outcome
from fieldpost.records import map_keys
from fieldpost.records.head import Conditions, Offer
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.world import START

NEW = b"the new image" * 100
HOUR_S = 3_600


class Rebooted(BaseException):
    """An image was taken: the trial begins."""


def reboot() -> NoReturn:
    raise Rebooted


@dataclass
class Device:
    """One device; `clock` and `second` of the day are the test's."""

    node: PaperNode
    home: Home
    clock: int = START
    second: int = 12 * HOUR_S
    events: list[str] = field(default_factory=list)

    def offer(self, conditions: Conditions, sequence: int = 2) -> None:
        board = self.node.board
        self.node.publish(sequence, NEW)
        board.offer(*(replace(offer, conditions=conditions) for offer in board.head.offers))

    def configure(self, *lines: str) -> None:
        self.home.config.write_text("\n".join([f'urls = ["{self.node.url}"]', *lines]) + "\n")

    def check_in(self) -> str:
        """One life: what was reported, or "taken" where the trial began."""
        world = World(
            emit=lambda event, _: self.events.append(event),
            clock=lambda: self.clock,
            uptime=lambda: float(self.clock),
            second_of_day=lambda: self.second,
            power=lambda: Power(30, external=False),
        )
        self.node.board.time = self.clock
        self.node.board.seal()
        with open_agent(self.home, world=world, boot=reboot) as agent:
            agent.start()
            try:
                agent.check_in()
            except Rebooted:
                return "taken"
        return str(self.node.reports[-1].outcome)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with PaperNode(PaperBoard()) as node:
        home = Home(tmp_path / "device")
        enrol(home, provisioning=node.board.provisioning(), serial="one")
        device = Device(node, home)
        device.configure()
        yield device


# --- power ---


def test_an_offer_waits_for_the_battery_that_it_needs(device: Device) -> None:
    device.offer(Conditions(battery_percent=50))
    assert device.check_in() == Outcome.LOW_POWER
    assert "30 %" in device.node.reports[-1].reason
    device.configure("""power = ["echo", '{"battery_percent": 60, "external": false}']""")
    assert device.check_in() == "taken"


@pytest.mark.parametrize(
    ("command", "outcome"),
    [
        ('["true"]', "taken"),
        ('["false"]', "low-power"),
        ('["echo", "sixty"]', "low-power"),
        ('["there-is-no-such-program"]', "low-power"),
        ("""["echo", '{"battery_percent": null, "external": true}']""", "taken"),
    ],
)
def test_a_command_of_the_owner_says_whether_there_is_power(
    device: Device, command: str, outcome: str
) -> None:
    device.offer(Conditions(external_power=True))
    device.configure(f"power = {command}")
    assert device.check_in() == outcome


def test_without_a_condition_nobody_asks_about_power(device: Device, tmp_path: Path) -> None:
    device.offer(Conditions(urgency=1))
    device.configure(f'power = ["touch", "{tmp_path}/asked"]')
    assert device.check_in() == "taken"
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    "output",
    [
        b"{}",
        b"[]",
        b'{"battery_percent": 101, "external": true}',
        b'{"battery_percent": true, "external": true}',
        b'{"battery_percent": 50}',
        b'{"battery_percent": 50, "external": 1}',
        b"[" * 4_000,
    ],
)
def test_what_the_power_command_says_is_read_strictly(output: bytes) -> None:
    with pytest.raises(Unavailable):
        parse_power(output)


def test_a_power_command_that_hangs_is_ended() -> None:
    with pytest.raises(Unavailable, match="took more than"):
        ask_power(["sleep", "60"], timeout_s=0.05)


# --- window and consent ---


def test_an_offer_waits_for_its_window_in_local_time(device: Device) -> None:
    device.offer(Conditions(window=(22 * HOUR_S, 4 * HOUR_S)))
    assert device.check_in() == Outcome.POSTPONED
    device.second = 23 * HOUR_S
    assert device.check_in() == "taken"


def test_the_application_may_decline_for_now(device: Device, tmp_path: Path) -> None:
    device.offer(Conditions(urgency=3, downtime_s=90))
    said = 'echo "$FIELDPOST_SEQUENCE $FIELDPOST_URGENCY $FIELDPOST_DOWNTIME_S" > "$0"; exit 1'
    device.configure(f"consent = ['sh', '-c', '{said}', '{tmp_path}/said']")
    assert device.check_in() == Outcome.DECLINED
    assert (tmp_path / "said").read_text() == "2 3 90\n"
    device.configure('consent = ["true"]')
    assert device.check_in() == "taken"


def test_a_consent_that_nobody_can_give_is_none(device: Device) -> None:
    device.offer(Conditions())
    device.configure('consent = ["there-is-no-such-program"]')
    assert device.check_in() == Outcome.DECLINED


# --- postponement ---


def test_an_owner_puts_offers_off_as_long_as_they_allow(device: Device) -> None:
    device.offer(Conditions(postpone_s=3 * HOUR_S))
    device.configure(f"postpone_s = {HOUR_S}")
    assert device.check_in() == Outcome.POSTPONED
    assert read_status(device.home)["pending"] == 2
    assert postpone(device.home, 2 * HOUR_S) == (2, 3 * HOUR_S)
    device.clock += HOUR_S
    assert device.check_in() == Outcome.POSTPONED
    device.clock += 2 * HOUR_S - 1
    assert postpone(device.home, 3 * HOUR_S) == (2, 3 * HOUR_S)
    assert device.check_in() == Outcome.POSTPONED
    device.clock += 1
    assert device.check_in() == "taken"


def test_a_person_may_end_the_wait(device: Device) -> None:
    device.offer(Conditions(postpone_s=3 * HOUR_S))
    device.configure(f"postpone_s = {2 * HOUR_S}")
    assert device.check_in() == Outcome.POSTPONED
    postpone(device.home, 0)
    assert device.check_in() == "taken"


def test_an_offer_that_allows_no_postponement_is_taken_at_once(device: Device) -> None:
    device.offer(Conditions(urgency=3))
    device.configure(f"postpone_s = {HOUR_S}")
    assert device.check_in() == "taken"
    with pytest.raises(Conflict):
        postpone(device.home, HOUR_S)


def test_nobody_wishes_for_more_than_the_offer_allows(device: Device) -> None:
    device.offer(Conditions(postpone_s=HOUR_S))
    device.configure("postpone_s = 60")
    device.check_in()
    with pytest.raises(Misconfigured, match="3600 s"):
        postpone(device.home, HOUR_S + 1)


def test_a_wish_about_another_offer_or_of_another_form_is_void(device: Device) -> None:
    device.offer(Conditions(postpone_s=HOUR_S))
    device.configure("postpone_s = 60")
    assert device.check_in() == Outcome.POSTPONED
    wish_of(device.home).write_bytes(b"\xff" * 1_000)
    device.clock += 60
    assert device.check_in() == "taken"
    assert not wish_of(device.home).exists()


def offer_of(postpone_s: int | None) -> Offer:
    conditions = Conditions(postpone_s=postpone_s)
    return Offer(sequence=2, manifest=sha256(b"2").digest(), threshold=1, conditions=conditions)


@given(
    may_s=st.integers(1, 10_000),
    looks=st.lists(
        st.tuples(st.integers(0, 5_000), st.none() | st.integers(0, 2**40)), min_size=1, max_size=20
    ),
)
def test_no_wish_puts_an_offer_off_longer_than_it_allows(
    may_s: int, looks: list[tuple[int, int | None]]
) -> None:
    pending: Pending | None = None
    now = START
    for passed, wish in looks:
        now += passed
        pending = consider(pending, offer_of(may_s), now=now, default_s=2**40, wish_s=wish)
        first = START + looks[0][0]
        assert not is_put_off(pending, now=max(now, first + may_s))


def test_a_clock_that_was_ahead_does_not_put_an_offer_off_for_years() -> None:
    pending = consider(None, offer_of(60), now=START + 10**9, default_s=60, wish_s=None)
    pending = consider(pending, offer_of(60), now=START, default_s=60, wish_s=None)
    assert not is_put_off(pending, now=START + 60)


# --- channel ---


def test_an_owner_changes_the_channel_within_the_provisioned_list(tmp_path: Path) -> None:
    home = Home(tmp_path / "device")
    board = PaperBoard()
    enrol(home, provisioning=board.provisioning(channels=("stable", "beta")), serial="one")
    before = home.config.read_text()
    change_channel(home, "beta")
    assert load_config(home.config, channels=("stable", "beta")).channel == "beta"
    assert home.config.read_text() == before.replace('channel = "stable"', 'channel = "beta"')
    with pytest.raises(Misconfigured, match="not allowed"):
        change_channel(home, "nightly")
    home.config.write_text('[slot]\nkind = "files"\n')
    change_channel(home, "beta")
    assert load_config(home.config, channels=("stable", "beta")).channel == "beta"


def test_a_running_agent_follows_the_channel_at_its_next_check_in(tmp_path: Path) -> None:
    home = Home(tmp_path / "device")
    asked: list[str] = []
    with PaperNode(PaperBoard()) as node:
        enrol(home, provisioning=node.board.provisioning(channels=("stable", "beta")), serial="1")
        home.config.write_text(f'urls = ["{node.url}"]\nchannel = "stable"\n')
        beta = map_keys.head(node.board.class_id, "beta")
        node.board.map = node.board.map.update({beta: node.board.head.encode()})
        node.board.seal()
        answer = node.answer

        def listen(path: str) -> bytes | None:
            asked.append(path)
            return answer(path)

        node.answer = listen  # type: ignore[method-assign]
        world = World(emit=lambda *_: None, clock=lambda: START)
        with open_agent(home, world=world, boot=reboot) as agent:
            agent.start()
            agent.check_in()
            change_channel(home, "beta")
            agent.check_in()
            home.config.write_text("channel = ")
            agent.check_in()
    channels = [path.rsplit("/", 1)[1] for path in asked if "/checkin/" in path]
    assert channels == ["stable", "beta", "beta"]


def test_what_is_pending_survives_a_reboot(device: Device) -> None:
    device.offer(Conditions(postpone_s=HOUR_S))
    device.configure(f"postpone_s = {HOUR_S}")
    device.check_in()
    seen = load_memory(device.home.memory).pending
    device.clock += HOUR_S // 2
    device.check_in()
    assert load_memory(device.home.memory).pending == seen
