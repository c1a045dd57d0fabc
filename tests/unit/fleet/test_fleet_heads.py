# SPDX-License-Identifier: Apache-2.0
"""Heads that devices verified are kept once each, few of one device, for whoever compares them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost import cbor
from fieldpost.fleet import heads
from fieldpost.fleet.service import FleetService
from fieldpost.tlog.cosignature import Cosignature
from tests.unit.fleet.test_fleet_service import LEAVES, LOT, open_fleet, report, take

ROOT = b"\x11" * 32
SIGNED = (Cosignature(b"abcd", 7, b"\x33" * 64),)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetService]:
    service = open_fleet(tmp_path)
    service.store_leaves(LOT, [cbor.encode(LEAVES)])
    yield service
    service.close()


def test_a_head_is_kept_once_with_the_first_device_that_saw_it(fleet: FleetService) -> None:
    take(fleet, report(0, head=(9, ROOT, 100)))
    take(fleet, report(1, head=(9, ROOT, 160)))
    take(fleet, report(2))
    (row,) = fleet.heads_view(0)
    assert (row["size"], row["root"], row["timestamp"]) == (9, ROOT.hex(), 100)
    assert row["cosignatures"] == cbor.encode([]).hex()


def test_cosignatures_that_come_later_are_added(fleet: FleetService) -> None:
    take(fleet, report(0, head=(9, ROOT, 100)))
    take(fleet, report(1, head=(9, ROOT, 160), cosignatures=SIGNED))
    take(fleet, report(2, head=(9, ROOT, 160)))
    (row,) = fleet.heads_view(0)
    assert row["cosignatures"] == cbor.encode([[b"abcd", 7, b"\x33" * 64]]).hex()


def test_two_roots_of_one_size_are_two_heads(fleet: FleetService) -> None:
    take(fleet, report(0, head=(9, ROOT, 100)))
    take(fleet, report(1, head=(9, b"\x22" * 32, 100)))
    assert [row["root"] for row in fleet.heads_view(0)] == [ROOT.hex(), "22" * 32]
    first = fleet.heads_view(0)[0]["number"]
    assert isinstance(first, int)
    assert len(fleet.heads_view(first)) == 1


def test_a_stolen_device_key_fills_no_disk(
    fleet: FleetService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MOST_HEADS_OF_DEVICE", 3)
    for size in range(1, 9):
        take(fleet, report(0, order=(1, size), head=(size, ROOT, 100)))
    assert len(fleet.heads_view(0)) == 3
    take(fleet, report(1, head=(99, ROOT, 100)))
    assert fleet.heads_view(0)[-1]["size"] == 99


def test_the_oldest_heads_go(fleet: FleetService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MOST_HEADS", 2)
    for number in range(4):
        take(fleet, report(number, head=(number + 1, ROOT, 100)))
    assert [row["size"] for row in fleet.heads_view(0)] == [3, 4]
