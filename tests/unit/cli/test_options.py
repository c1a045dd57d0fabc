# SPDX-License-Identifier: Apache-2.0
"""What people type: shares, offers, ranges, thresholds, ids; and where a passphrase comes from."""

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.cli.maker import parse_threshold
from fieldpost.cli.options import HexId, find_passphrase, parse_share
from fieldpost.cli.rollout import parse_offer
from fieldpost.cli.rollout_conditions import parse_range, parse_window
from fieldpost.errors import Malformed, Misconfigured


@pytest.mark.parametrize(
    ("text", "threshold"),
    [("0%", 0), ("100%", 2**32), ("25%", 2**30), ("50.0%", 2**31), ("0.5%", 21474836)],
)
def test_a_share_is_a_threshold(text: str, threshold: int) -> None:
    assert parse_share(text) == threshold


@pytest.mark.parametrize(
    "text",
    [
        "25",
        "0.25",
        "",
        "%",
        "101%",
        "-1%",
        "nan%",
        "inf%",
        "1e1%",
        "25%%",
        " 25%",
        "٢٥%",
        "1.%.",
        "²%",
    ],
)
def test_what_is_no_share_or_could_mean_two_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="for example 25%"):
        parse_share(text)


def test_a_share_that_would_round_to_nobody_is_refused() -> None:
    with pytest.raises(Malformed, match="write 0%"):
        parse_share("0.000000001%")


@given(st.integers(min_value=0, max_value=100))
def test_a_larger_share_is_a_larger_threshold(percent: int) -> None:
    assert parse_share(f"{percent}%") <= parse_share(f"{min(percent + 1, 100)}%") <= 2**32


@given(st.text(max_size=12))
def test_any_text_is_a_share_or_malformed(text: str) -> None:
    try:
        assert 0 <= parse_share(text) <= 2**32
    except Malformed:
        assert text != "25%"


def test_an_offer_is_a_release_and_a_share() -> None:
    assert parse_offer("12=25%") == (12, 2**30)


@pytest.mark.parametrize("text", ["", "12", "=25%", "12=", "x=25%", "-1=25%", "²=25%", "1=2=25%"])
def test_what_is_no_offer_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="for example"):
        parse_offer(text)


def test_a_range_includes_both_ends() -> None:
    assert parse_range("1-4") == (1, 4)
    assert parse_range("3-3") == (3, 3)


@pytest.mark.parametrize("text", ["", "4", "4-1", "-4", "1-", "a-b", "1-2-3", "²-³"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="MIN-MAX"):
        parse_range(text)


def test_a_threshold_is_read_in_words() -> None:
    assert parse_threshold("2-of-3") == (2, 3)


@pytest.mark.parametrize("text", ["2", "2of3", "0-of-3", "4-of-3", "2-of-9", "-of-", "²-of-3"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_threshold(text)


@pytest.mark.parametrize("text", ["", "00", "zz" * 16, "0" * 31, "0" * 33, "é" * 32])
def test_an_id_has_its_length_in_hex(text: str) -> None:
    assert HexId(16).convert("0a" * 16, None, None) == b"\x0a" * 16
    with pytest.raises(click.BadParameter, match="hex digits"):
        HexId(16).convert(text, None, None)


def test_without_a_terminal_nobody_is_asked_for_a_passphrase(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FIELDPOST_PASSPHRASE", raising=False)
    monkeypatch.delenv("FIELDPOST_PASSPHRASE_FILE", raising=False)
    with pytest.raises(Misconfigured, match="--passphrase-file"):
        find_passphrase(None, new=False)()


def test_a_named_file_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p").write_text("from the file\n")
    monkeypatch.setenv("FIELDPOST_PASSPHRASE", "from the environment")
    assert find_passphrase(tmp_path / "p", new=True)() == b"from the file"
    assert find_passphrase(None, new=False)() == b"from the environment"


def test_a_window_is_two_times_of_day() -> None:
    assert parse_window("22:00-05:30") == (79_200, 19_800)


@pytest.mark.parametrize("text", ["", "22:00", "22:00-22:00", "24:00-1:00", "1:60-2:00", "a-b"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="window"):
        parse_window(text)
