# SPDX-License-Identifier: Apache-2.0
"""The provisioning record v1: all that a device trusts when it leaves the factory.

    {1: board id, 2: [url…], 3: board record, 4: board link, 5: maker id, 6: maker record,
     7: maker link, 8: class id, 9: [channel…], 10: [least, most] interval s, 11: least size,
     12: least time, 13: device limits}

Records 3 and 6 are the payloads of the links whose digests are 4 and 7, as byte strings. Signed by
the maker's root threshold as kind `provisioning`; nothing is trusted on first use.
"""

from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.records import limits
from fieldpost.records.device_class import (
    DeviceLimits,
    read_channel,
    read_device_limits,
    read_interval,
)
from fieldpost.records.fields import Fields, Reading, check_distinct, text_of
from fieldpost.records.identifiers import origin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisioningRecord:
    """Trust anchors, place and bounds of one class's devices. Times in Unix seconds."""

    board: str
    urls: tuple[str, ...]
    board_record: bytes
    board_link: bytes
    maker: bytes
    maker_record: bytes
    maker_link: bytes
    class_id: bytes
    channels: tuple[str, ...]
    least_interval_s: int
    most_interval_s: int
    least_size: int
    least_time: int
    limits: DeviceLimits

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload that root signs."""
        return cbor.encode(
            {
                1: self.board,
                2: list(self.urls),
                3: self.board_record,
                4: self.board_link,
                5: self.maker,
                6: self.maker_record,
                7: self.maker_link,
                8: self.class_id,
                9: list(self.channels),
                10: [self.least_interval_s, self.most_interval_s],
                11: self.least_size,
                12: self.least_time,
                13: self.limits.value(),
            }
        )


def decode_provisioning(data: bytes, reading: Reading = Reading.DEVICE) -> ProvisioningRecord:
    """Read a provisioning record. Raises Malformed or Untrusted("unsupported")."""
    fields = Fields(cbor.decode(data), "provisioning record")
    least, most = read_interval(fields.value(10))
    record = ProvisioningRecord(
        board=fields.text(1, most=limits.MAX_ORIGIN + 33),
        urls=fields.each(2, text_of(limits.MAX_URL, "a URL"), least=1, most=limits.MAX_URLS),
        board_record=fields.octets(3),
        board_link=fields.octets(4, length=32),
        maker=fields.octets(5, length=16),
        maker_record=fields.octets(6),
        maker_link=fields.octets(7, length=32),
        class_id=fields.octets(8, length=16),
        channels=fields.each(9, read_channel, least=1, most=limits.MAX_CHANNELS),
        least_interval_s=least,
        most_interval_s=most,
        least_size=fields.uint(11),
        least_time=fields.uint(12),
        limits=read_device_limits(fields.value(13), reading),
    )
    fields.close(reading)
    origin_of(record.board)
    check_distinct(record.channels, "channels")
    return record
