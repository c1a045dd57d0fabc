# SPDX-License-Identifier: Apache-2.0
"""Device statuses: two bits each, 1,024 to a page of 256 bytes (docs/spec/identity.md).

A page stands in the state map under ["status", lot, ⌊index / 1024⌋]; an absent page says that all
its devices are valid. Bit order is that of the Token Status List draft: the first status of a
byte is in its least significant bits. Values 0–2 are the draft's, 3 is its application's own.
"""

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from fieldpost.errors import Malformed
from fieldpost.records.limits import MAX_LOT_DEVICES

PAGE_BYTES: Final = 256
PAGE_DEVICES: Final = 1_024
ALL_VALID: Final = bytes(PAGE_BYTES)


class DeviceStatus(IntEnum):
    """What a maker says about a device. Suspended may become valid again; the last two may not."""

    VALID = 0
    REVOKED = 1
    SUSPENDED = 2
    DECOMMISSIONED = 3


def page_number(index: int) -> int:
    """The page that holds device `index` of a lot. Raises Malformed outside 0…2^20-1."""
    if not 0 <= index < MAX_LOT_DEVICES:
        raise Malformed(f"a lot has no device {index}")
    return index // PAGE_DEVICES


def read_status(page: bytes | None, index: int) -> DeviceStatus:
    """The status of device `index` of a lot in its page; None is the absent page.

    Raises Malformed for a page of another size.
    """
    at, shift = _place(index)
    return DeviceStatus(_checked(page)[at] >> shift & 3)


def change_statuses(
    page: bytes | None, changes: Iterable[tuple[int, DeviceStatus]], *, number: int
) -> bytes:
    """Page `number` after changes of [index in the lot, status]; later ones win.

    Raises Malformed for a page of another size or an index of another page.
    """
    result = bytearray(_checked(page))
    for index, status in changes:
        if page_number(index) != number:
            raise Malformed(f"device {index} is not in page {number}")
        at, shift = _place(index)
        result[at] = result[at] & ~(3 << shift) | status << shift
    return bytes(result)


def _place(index: int) -> tuple[int, int]:
    slot = index - page_number(index) * PAGE_DEVICES
    return slot // 4, slot % 4 * 2


def _checked(page: bytes | None) -> bytes:
    if page is None:
        return ALL_VALID
    if len(page) != PAGE_BYTES:
        raise Malformed(f"a status page must be {PAGE_BYTES} bytes, not {len(page)}")
    return page
