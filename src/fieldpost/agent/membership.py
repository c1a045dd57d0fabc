# SPDX-License-Identifier: Apache-2.0
"""Learning one's own lot: leaf and path from the fleet service, root and count from the board.

A device in no lot verifies and installs like any other, for nothing public depends on a lot; what
it cannot do is report as one of the fleet, or take an offer that is made to lots.
"""

from typing import Final

from fieldpost import cbor
from fieldpost.agent.board import Reader, Standpoint
from fieldpost.agent.memory import Membership, read_path
from fieldpost.errors import Malformed, Untrusted
from fieldpost.identity.lot import verify_membership
from fieldpost.records import map_keys
from fieldpost.records.fields import Reading
from fieldpost.records.lot import decode_lot_record

_MOST_BYTES: Final = 4_096


def fetch_membership(
    fleet: Reader,
    board: Reader,
    standpoint: Standpoint,
    *,
    device: bytes,
    class_id: bytes,
) -> Membership:
    """The device's place in its lot, verified against the lot's record on the board.

    Raises NotFound where the fleet knows of none, Untrusted("not-enrolled") where what it says is
    not so, Unavailable, Misbehaviour.
    """
    claimed = fleet.fetch(f"/v1/devices/{device.hex()}", most_bytes=_MOST_BYTES, judge=read_claim)
    proven = board.read_record(standpoint, map_keys.lot(claimed.lot))
    if proven.value is None:
        raise Untrusted("not-enrolled", "the lot is not on the board")
    record = decode_lot_record(proven.value, Reading.DEVICE)
    if record.class_id != class_id or record.count != claimed.count:
        raise Untrusted("not-enrolled", "the lot is of another class or size")
    leaf = verify_membership(
        leaf=claimed.leaf,
        index=claimed.index,
        count=record.count,
        root=record.root,
        path=claimed.path,
    )
    if leaf.device != device or leaf.class_id != class_id:
        raise Untrusted("not-enrolled", "the leaf is another device's")
    return claimed


def read_claim(data: bytes) -> Membership:
    """What a fleet service claims about a device: CBOR [lot id, index, count, leaf, path].

    Raises Malformed.
    """
    match cbor.decode(data):
        case (bytes(lot), int(index), int(count), bytes(leaf), tuple(path)) if len(lot) == 16:
            return Membership(lot, index, count, leaf, read_path(path))
        case _:
            raise Malformed("a device's proof is [lot id, index, count, leaf, path]")
