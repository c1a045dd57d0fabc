# SPDX-License-Identifier: Apache-2.0
"""The agent's small rules: settings, intervals, conditions, staleness, and which offer is taken."""

from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.agent.conditions import find_hindrance
from fieldpost.agent.config import DEFAULT, Config, parse_config
from fieldpost.agent.schedule import clamp, next_check_in_s, next_retry_s
from fieldpost.agent.trust import decide, is_too_old
from fieldpost.agent.world import Power, read_power
from fieldpost.checkin.belief import believe
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.errors import Misconfigured
from fieldpost.identity.outcome import Outcome
from fieldpost.records.head import Conditions
from fieldpost.testing.bundles import PaperBoard

# --- settings ---


def test_the_default_file_says_what_no_file_says() -> None:
    written = parse_config(DEFAULT.format(channel="beta"), channels=("stable", "beta"))
    assert written == replace(parse_config("", channels=("beta",)), channel="beta")
    assert written == Config(channel="beta")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('channel = "nightly"', "not allowed"),
        ('health_check = "rm -rf"', "list of words"),
        ("health_timeout_s = 0", "whole seconds"),
        ("health_timeout_s = true", "whole seconds"),
        ('trust = "everybody"', "no setting 'trust'"),
        ("channel = ", "agent.toml"),
        ("channel = 5", "channel"),
    ],
)
def test_a_bad_setting_is_named(text: str, complaint: str) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        parse_config(text, channels=("stable",))


# --- when ---


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_interval_is_kept_within_bounds_and_jittered_by_a_tenth(chance: float) -> None:
    assert clamp(1, least=60, most=600) == 60
    assert clamp(10_000, least=60, most=600) == 600
    assert 540 <= next_check_in_s(600, chance=chance) <= 660


def test_retries_back_off_up_to_the_interval() -> None:
    waits = [next_retry_s(failures, interval_s=600, chance=1.0) for failures in range(1, 12)]
    assert waits[:4] == [5, 10, 20, 40]
    assert waits[-1] == 600
    assert next_retry_s(10**9, interval_s=600, chance=0.0) == 300


def test_a_server_may_ask_for_patience_but_not_for_silence() -> None:
    assert next_retry_s(1, interval_s=600, chance=0.0, retry_after_s=120) == 120
    assert next_retry_s(1, interval_s=600, chance=1.0, retry_after_s=86_400) <= 660


# --- conditions ---


@pytest.mark.parametrize(
    ("conditions", "second", "power", "hindrance"),
    [
        (None, 0, Power(), None),
        (Conditions(window=(100, 200)), 150, Power(), None),
        (Conditions(window=(100, 200)), 99, Power(), Outcome.POSTPONED),
        (Conditions(window=(80_000, 100)), 50, Power(), None),
        (Conditions(window=(80_000, 100)), 40_000, Power(), Outcome.POSTPONED),
        (Conditions(battery_percent=50), 0, Power(49, external=True), Outcome.LOW_POWER),
        (Conditions(battery_percent=50), 0, Power(50, external=False), None),
        (Conditions(battery_percent=50), 0, Power(), None),
        (Conditions(external_power=True), 0, Power(90, external=False), Outcome.LOW_POWER),
        (Conditions(external_power=True), 0, Power(), None),
    ],
)
def test_an_offers_conditions_decide_when_it_is_installed(
    conditions: Conditions | None, second: int, power: Power, hindrance: Outcome | None
) -> None:
    found = find_hindrance(conditions, second_of_day=second, power=power)
    assert (found and found[0]) == hindrance


def test_the_charge_is_that_of_the_emptiest_battery_and_not_of_a_mouse(tmp_path: Path) -> None:
    supplies = {
        "AC": {"type": "Mains", "online": "0"},
        "BAT0": {"type": "Battery", "capacity": "80"},
        "BAT1": {"type": "Battery", "capacity": "30"},
        "mouse": {"type": "Battery", "scope": "Device", "capacity": "1"},
    }
    for name, facts in supplies.items():
        (tmp_path / name).mkdir()
        for fact, value in facts.items():
            (tmp_path / name / fact).write_text(value + "\n")
    assert read_power(tmp_path) == Power(30, external=False)
    assert read_power(tmp_path / "none") == Power(None, external=True)


# --- what is taken ---

DEVICE = b"d" * 32


def verified(board: PaperBoard, age_s: int = 0) -> Verified:
    belief, _ = believe(board.provisioning(least_size=0))
    return verify_bundle(belief, board.bundle(), key=board.head_key, now=board.time + age_s)


def decision(
    seen: Verified, *, tries: int = 0, resting: bool = False, stale: bool = False
) -> tuple[int | None, str]:
    found = decide(
        seen,
        running=9,
        device=DEVICE,
        lot=None,
        stale=stale,
        tries=lambda _, __: tries,
        resting=resting,
    )
    return (found.offer.sequence if found.offer else None), found.why


def test_the_newest_offer_is_taken_and_a_failed_one_is_not_replaced_by_an_older() -> None:
    board = PaperBoard()
    board.offer(board.release(11), board.release(10))
    assert decision(verified(board)) == (11, "")
    assert decision(verified(board), tries=2) == (11, "")
    assert decision(verified(board), tries=3) == (None, "failed-before")
    assert decision(verified(board), resting=True) == (None, "resting")


def test_a_device_on_9_gets_10_while_11_is_halted() -> None:
    board = PaperBoard()
    board.offer(board.release(11, threshold=0), board.release(10))
    assert decision(verified(board)) == (10, "")


def test_an_old_release_is_no_offer_for_a_device_that_runs_a_newer_one() -> None:
    board = PaperBoard()
    board.offer(board.release(8))
    assert decision(verified(board)) == (None, "")


def test_nothing_is_installed_from_news_that_are_too_old() -> None:
    board = PaperBoard()
    board.offer(board.release(11))
    week = 7 * 86_400
    assert decision(verified(board, age_s=week)) == (11, "")
    assert decision(verified(board, age_s=week + 1)) == (None, "stale")
    assert decision(verified(board), stale=True) == (None, "stale")


@pytest.mark.parametrize(
    ("clock", "powered_s", "old"),
    [
        (1_000_100, 0, False),
        (1_000_101, 0, True),
        (5, 100, False),
        (5, 101, True),
    ],
    ids=["clock: just in time", "clock: too old", "no clock: in time", "no clock: too old"],
)
def test_age_is_told_by_the_clock_or_without_one_by_powered_time(
    clock: int, powered_s: int, old: bool
) -> None:
    found = is_too_old(1_000_000, clock=clock, least_time=0, powered_s=powered_s, max_age_s=100)
    assert found is old
