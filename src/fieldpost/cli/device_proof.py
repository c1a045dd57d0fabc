# SPDX-License-Identifier: Apache-2.0
"""Where a device stands: its place in a lot, proven by whoever keeps the lot's leaves.

The leaves are no part of the board, so that a device is *not* enrolled can be proven by nobody;
that it is, by its leaf, the path to the lot's root, and the board's proof of that root.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import click

from fieldpost import cbor
from fieldpost.cli.board_access import Board
from fieldpost.cli.proven import ProvenBoard
from fieldpost.errors import NotFound, Unavailable, Untrusted
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import verify_membership
from fieldpost.identity.status import DeviceStatus, page_number, read_status
from fieldpost.records import map_keys
from fieldpost.records.lot import LotRecord, decode_lot_record

F = TypeVar("F", bound=Callable[..., Any])
_PROOF_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class Place:
    """A device at its index in a lot."""

    lot: LotRecord
    index: int
    leaf: DeviceLeaf


def fleet_option(command: F) -> F:
    """`--fleet URL`, where the leaves of the lots are not with the board's node."""
    return click.option(
        "--fleet", "fleet_url", help="Who keeps the lots' leaves.  [default: the board's node]"
    )(command)


def find_place(proven: ProvenBoard, device: bytes, *, fleet_url: str | None = None) -> Place:
    """The place of the device with this id (32 bytes), proven; leaves come from `fleet_url`.

    Raises NotFound if this service has no such leaf, Untrusted if what it answers does not hold.
    """
    path = f"/v1/devices/{device.hex()}"
    service = Board(fleet_url) if fleet_url else proven.board

    def judge(data: bytes) -> Place:
        place = _read(proven, data, f"{service.url}{path}")
        if place.leaf.device != device:
            raise Untrusted("wrong-device", "the leaf is another device's")
        return place

    try:
        return service.fetch(path, most_bytes=_PROOF_BYTES, judge=judge)
    except NotFound:
        raise NotFound(
            f"{service.url} knows no device {device.hex()}; perhaps another node or its maker "
            "keeps the leaves of its lot"
        ) from None


def _read(proven: ProvenBoard, data: bytes, where: str) -> Place:
    match cbor.decode(data):
        case (bytes(lot_id), int(index), int(), bytes(leaf), tuple(hashes)):
            return _verify(proven, lot_id, index, leaf, hashes)
    raise Unavailable(f"{where} is no proof; ask another node")


def _verify(
    proven: ProvenBoard, lot_id: bytes, index: int, leaf: bytes, hashes: tuple[cbor.Value, ...]
) -> Place:
    value = proven.value(map_keys.lot(lot_id))
    if value is None:
        raise Untrusted("unknown-lot", f"the board proves that there is no lot {lot_id.hex()}")
    lot = decode_lot_record(value)
    read = verify_membership(
        leaf=leaf,
        index=index,
        count=lot.count,
        root=lot.root,
        path=tuple(item for item in hashes if isinstance(item, bytes)),
    )
    if read.class_id != lot.class_id:
        raise Untrusted("wrong-class", "the leaf is of another class than its lot")
    return Place(lot, index, read)


def read_device_status(proven: ProvenBoard, place: Place) -> DeviceStatus:
    """What the maker says of the device, proven."""
    page = proven.value(map_keys.status(place.lot.id, page_number(place.index)))
    return read_status(page, place.index)
