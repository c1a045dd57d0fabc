# SPDX-License-Identifier: Apache-2.0
"""Status pages: bit order, absence, and the borders between pages."""

import pytest

from fieldpost.errors import Malformed
from fieldpost.identity.status import (
    ALL_VALID,
    DeviceStatus,
    change_statuses,
    page_number,
    read_status,
)


def test_the_bit_order_is_that_of_the_token_status_list() -> None:
    """The draft's 2-bit example: statuses 1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3 are c9 44 f9."""
    statuses = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]
    changes = [(index, DeviceStatus(value)) for index, value in enumerate(statuses)]
    page = change_statuses(None, changes, number=0)
    assert page[:3] == bytes.fromhex("c944f9")
    assert page[3:] == bytes(253)
    assert [read_status(page, index) for index in range(12)] == statuses


def test_an_absent_page_says_that_all_are_valid() -> None:
    assert read_status(None, 5) is DeviceStatus.VALID
    assert read_status(ALL_VALID, 2**20 - 1) is DeviceStatus.VALID


def test_a_change_touches_one_device_and_a_later_one_wins() -> None:
    page = change_statuses(None, [(1025, DeviceStatus.SUSPENDED)], number=1)
    again = change_statuses(
        page, [(1026, DeviceStatus.REVOKED), (1026, DeviceStatus.DECOMMISSIONED)], number=1
    )
    found = [read_status(again, index) for index in (1024, 1025, 1026, 1027)]
    assert found == [0, DeviceStatus.SUSPENDED, DeviceStatus.DECOMMISSIONED, 0]
    assert change_statuses(again, [(1025, DeviceStatus.VALID)], number=1)[0] == 3 << 4


def test_pages_end_where_the_next_begins() -> None:
    assert [page_number(index) for index in (0, 1023, 1024, 2**20 - 1)] == [0, 0, 1, 1023]


@pytest.mark.parametrize("index", [-1, 2**20])
def test_there_are_no_devices_outside_a_lot(index: int) -> None:
    with pytest.raises(Malformed, match="no device"):
        read_status(None, index)


def test_a_change_in_another_page_is_refused() -> None:
    with pytest.raises(Malformed, match="not in page 0"):
        change_statuses(None, [(1024, DeviceStatus.REVOKED)], number=0)


@pytest.mark.parametrize("page", [b"", bytes(255), bytes(257)])
def test_a_page_of_another_size_is_refused(page: bytes) -> None:
    with pytest.raises(Malformed, match="256 bytes"):
        read_status(page, 0)
    with pytest.raises(Malformed, match="256 bytes"):
        change_statuses(page, [], number=0)
