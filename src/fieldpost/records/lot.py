# SPDX-License-Identifier: Apache-2.0
"""The lot record: payload of `lot.enrol` (docs/spec/identity.md).

    {1: nonce, 2: lot id, 3: class id, 4: count, 5: Merkle root of device leaves}

A lot is a closed set of devices enrolled together; its id follows from its content.
"""

from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.records import limits
from fieldpost.records.fields import Fields, Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class LotRecord:
    """One lot."""

    nonce: int
    id: bytes
    class_id: bytes
    count: int
    root: bytes

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post, and the value in the map."""
        return cbor.encode(
            {1: self.nonce, 2: self.id, 3: self.class_id, 4: self.count, 5: self.root}
        )


def decode_lot_record(data: bytes, reading: Reading = Reading.LEDGER) -> LotRecord:
    """Read a lot record. Raises Malformed, or Untrusted("unsupported") for devices."""
    fields = Fields(cbor.decode(data), "lot record")
    record = LotRecord(
        nonce=fields.uint(1, least=1),
        id=fields.octets(2, length=16),
        class_id=fields.octets(3, length=16),
        count=fields.uint(4, least=1, most=limits.MAX_LOT_DEVICES),
        root=fields.octets(5, length=32),
    )
    fields.close(reading)
    return record
