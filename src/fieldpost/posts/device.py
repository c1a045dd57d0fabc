# SPDX-License-Identifier: Apache-2.0
"""`device.status`: changes of devices of one lot (docs/spec/kinds.md).

{1: nonce, 2: lot id, 3: [[index, status]…]}

Statuses: 0 valid, 1 revoked, 2 suspended, 3 decommissioned. Indices grow: one change a device.
"""

from dataclasses import dataclass
from itertools import pairwise

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.records.fields import Fields, pair_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatusSet:
    """`changes` are (index in the lot, new status), by index."""

    nonce: int
    lot: bytes
    changes: tuple[tuple[int, int], ...]

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post."""
        changes = [list(change) for change in self.changes]
        return cbor.encode({1: self.nonce, 2: self.lot, 3: changes})


def decode_device_status(data: bytes) -> DeviceStatusSet:
    """Read the payload of `device.status`. Raises Malformed."""
    fields = Fields(cbor.decode(data), "device status")
    post = DeviceStatusSet(
        nonce=fields.uint(1, least=1),
        lot=fields.octets(2, length=16),
        changes=fields.each(3, _read_change, least=1, most=limits.MAX_STATUS_CHANGES),
    )
    fields.close()
    if any(first[0] >= second[0] for first, second in pairwise(post.changes)):
        raise Malformed("device status: indices must grow, one change a device")
    return post


def _read_change(value: cbor.Value) -> tuple[int, int]:
    index, status = pair_of(value, "a change of status", most=limits.MAX_LOT_DEVICES - 1)
    if status > 3:
        raise Malformed("a status is 0…3")
    return index, status
