# SPDX-License-Identifier: Apache-2.0
"""Which offer a device takes."""

from typing import Any

import pytest

from fieldpost.checkin.offers import choose_offer
from fieldpost.records.head import Head, Offer, cohort_draw

DEVICE = b"\x07" * 32
LOT = b"\x01" * 16
SALT = bytes(8)
EVERYBODY = 2**32


def offer(sequence: int, threshold: int = EVERYBODY, **changes: Any) -> Offer:
    return Offer(sequence=sequence, manifest=bytes(32), threshold=threshold, salt=SALT, **changes)


def chosen(*offers: Offer, running: int = 10, lot: bytes | None = None) -> int | None:
    head = Head(change_count=1, offers=offers, interval_s=60, maker_epoch=0, maker_link=bytes(32))
    found = choose_offer(head, running=running, device=DEVICE, lot=lot, timestamp=1_000)
    return None if found is None else found.sequence


def test_the_newest_offer_that_fits_is_taken() -> None:
    assert chosen(offer(12), offer(11)) == 12
    assert chosen(offer(12, 0), offer(11)) == 11
    assert chosen() is None


def test_what_runs_already_is_no_offer() -> None:
    assert chosen(offer(10)) is None
    assert chosen(offer(9)) is None
    assert chosen(offer(1), running=0) == 1


@pytest.mark.parametrize(
    ("bounds", "fits"), [((10, 10), True), ((0, 9), False), ((11, 20), False), ((0, 10), True)]
)
def test_the_range_is_inclusive(bounds: tuple[int, int], fits: bool) -> None:
    assert chosen(offer(12, from_range=bounds)) == (12 if fits else None)


def test_an_offer_waits_for_its_time() -> None:
    assert chosen(offer(12, not_before=1_000)) == 12
    assert chosen(offer(12, not_before=1_001)) is None


def test_named_lots_are_for_their_devices_alone() -> None:
    assert chosen(offer(12, lots=(LOT,)), lot=LOT) == 12
    assert chosen(offer(12, lots=(LOT,)), lot=bytes(16)) is None
    assert chosen(offer(12, lots=(LOT,)), lot=None) is None
    assert chosen(offer(12), lot=LOT) == 12


def test_a_device_is_early_exactly_when_its_draw_is_below_the_threshold() -> None:
    draw = cohort_draw(SALT, DEVICE)
    assert chosen(offer(12, draw)) is None
    assert chosen(offer(12, draw + 1)) == 12
    assert chosen(offer(12, 0)) is None
    assert chosen(offer(12, EVERYBODY)) == 12
