# SPDX-License-Identifier: Apache-2.0
"""The file of expectations means what it says, and nothing in it is skipped."""

import pytest

from fieldpost.errors import Malformed
from fieldpost.watch.monitor.expectations import Expected, parse_expectations

ID, KID, CLASS = "11" * 16, "22" * 32, "33" * 16
WHOLE = f"""
version = 1
board = "board.test/1#{"44" * 16}"
[[maker]]
id = "{ID}"
name = "acme"
size = 120
epoch = 2
kinds = ["release.publish"]
days = ["mon", "fri"]
hours = ["07:00-12:00", "13:00-24:00"]
[[maker.key]]
kid = "{KID}"
role = "release"
[[maker.rollout]]
class = "{CLASS}"
channel = "stable"
sequence = 3
percent = 25
[[maker.rollout]]
percent = 0.5
[[maker.lot]]
id = "{"55" * 16}"
note = "the June batch"
"""
MONDAY = 1_800_259_200  # 08:00 UTC


def only(text: str) -> Expected:
    (expected,) = parse_expectations(text.encode()).makers
    return expected


def test_a_whole_file_is_read() -> None:
    expected = only(WHOLE)
    assert (expected.size, expected.epoch, expected.name) == (120, 2, "acme")
    assert expected.keys == frozenset({bytes.fromhex(KID)})
    assert expected.lots == frozenset({b"\x55" * 16})


@pytest.mark.parametrize(
    ("hours_later", "is_expected"),
    [(0, True), (4, False), (5, True), (15, True), (16, False), (24, False), (96, True)],
)
def test_days_and_hours_are_utc_and_end_before_their_end(
    hours_later: int,
    is_expected: bool,
) -> None:
    assert only(WHOLE).is_expected_time(MONDAY + hours_later * 3_600) is is_expected


@pytest.mark.parametrize(
    ("sequence", "percent", "is_expected"),
    [(3, 25.0, True), (3, 26.0, False), (4, 0.5, True), (4, 1.0, False), (9, 0.0, True)],
)
def test_an_offer_must_be_within_one_of_the_rollouts(
    sequence: int,
    percent: float,
    is_expected: bool,
) -> None:
    found = only(WHOLE).is_expected_offer(bytes.fromhex(CLASS), "stable", sequence, percent)
    assert found is is_expected


def test_what_is_not_written_restricts_nothing() -> None:
    expected = only(f'version = 1\n[[maker]]\nid = "{ID}"\n')
    assert expected == Expected(maker=bytes.fromhex(ID))
    assert expected.is_expected_time(MONDAY)
    assert expected.is_expected_offer(b"", "stable", 1, 100.0)


def test_an_empty_list_expects_nothing() -> None:
    expected = only(f'version = 1\n[[maker]]\nid = "{ID}"\nhours = []\nrollout = []\n')
    assert not expected.is_expected_time(MONDAY)
    assert not expected.is_expected_offer(b"", "stable", 1, 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("version = 1", "version = 2"), "version = 1"),
        (("kinds =", "kind ="), "unknown kind"),
        (('"mon"', '"monday"'), "no day"),
        (("07:00-12:00", "12:00-07:00"), "no hours"),
        (("07:00", "7:00"), "no time of day"),
        (("24:00", "24:01"), "no time of day"),
        (("percent = 25", "percent = 101"), "0 to 100"),
        (("percent = 25", 'percent = "25"'), "type float"),
        ((f'kid = "{KID}"', 'kid = "22"'), "64 hex digits"),
        (("size = 120", "size = -1"), "0 or more"),
        (('channel = "stable"', 'channel = "Stable!"'), "no channel name"),
        (("[[maker]]", "[maker]"), "type list"),
        (("board.test/1#", "board.test/1"), "no board id"),
        (("version = 1", "version = "), "not TOML"),
        (("version = 1", "versions = 1"), "lacks 'version'"),
    ],
)
def test_whatever_is_wrong_is_said(change: tuple[str, str], words: str) -> None:
    with pytest.raises(Malformed, match=words):
        parse_expectations(WHOLE.replace(*change, 1).encode())


def test_a_maker_stands_once_in_a_file() -> None:
    with pytest.raises(Malformed, match="twice"):
        parse_expectations((WHOLE + f'[[maker]]\nid = "{ID}"\n').encode())
