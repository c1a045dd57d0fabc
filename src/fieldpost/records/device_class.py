# SPDX-License-Identifier: Apache-2.0
"""The class record: payload of `class.set` (docs/spec/records.md).

    {1: epoch, 2: previous link, 3: maker id, 4: name, 5: family, 6: [channel…], 7: support end,
     8: [least, most] interval s, 9: device limits, 10: most devices, 11: successor class id,
     12: sequence window}

    device limits = {1: envelope bytes, 2: image bytes, 3: [encoding…], 4: [delta format…],
                     5: [algorithm…]}

A class is one unit of binary compatibility (SUIT's class). Labels 2 (absent in epoch 0), 5 and 11
are optional.
"""

from dataclasses import dataclass
from enum import IntEnum

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm
from fieldpost.records import limits
from fieldpost.records.fields import Fields, Reading, check_distinct, member_of, pair_of
from fieldpost.records.identifiers import check_channel, check_class_name, class_id


class Encoding(IntEnum):
    """How an artifact's stored bytes give the image."""

    IDENTITY = 0
    ZSTD = 1


class DeltaFormat(IntEnum):
    """How an artifact's stored bytes and a base image give the image."""

    ZSTD_PATCH = 1
    DETOOLS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLimits:
    """What every device of a class can take."""

    envelope_bytes: int = 4_096
    image_bytes: int = 64 * 1024 * 1024
    encodings: tuple[Encoding, ...] = (Encoding.IDENTITY, Encoding.ZSTD)
    delta_formats: tuple[DeltaFormat, ...] = ()
    algorithms: tuple[Algorithm, ...] = (Algorithm.ED25519, Algorithm.ESP256)

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        return {
            1: self.envelope_bytes,
            2: self.image_bytes,
            3: [int(encoding) for encoding in self.encodings],
            4: [int(delta) for delta in self.delta_formats],
            5: [int(algorithm) for algorithm in self.algorithms],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRecord:
    """One class. `support_end` in Unix seconds; intervals in seconds."""

    epoch: int
    previous: bytes | None
    maker: bytes
    name: str
    family: str | None = None
    channels: tuple[str, ...] = ("stable",)
    support_end: int
    least_interval_s: int = 60
    most_interval_s: int = 7 * 86_400
    limits: DeviceLimits = DeviceLimits()
    most_devices: int = 1_000_000
    successor: bytes | None = None
    sequence_window: int = 1_000

    @property
    def id(self) -> bytes:
        """The SUIT class id: 16 bytes."""
        return class_id(self.maker, self.name)

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the link, and the value in the map."""
        value: dict[int, object] = {
            1: self.epoch,
            3: self.maker,
            4: self.name,
            6: list(self.channels),
            7: self.support_end,
            8: [self.least_interval_s, self.most_interval_s],
            9: self.limits.value(),
            10: self.most_devices,
            12: self.sequence_window,
        }
        optional = {2: self.previous, 5: self.family, 11: self.successor}
        value |= {label: field for label, field in optional.items() if field is not None}
        return cbor.encode(value)


def decode_class_record(data: bytes, reading: Reading = Reading.LEDGER) -> ClassRecord:
    """Read a class record. Raises Malformed, or Untrusted("unsupported") for devices."""
    fields = Fields(cbor.decode(data), "class record")
    least, most = read_interval(fields.value(8))
    record = ClassRecord(
        epoch=fields.uint(1),
        previous=fields.octets(2, length=32) if fields.has(2) else None,
        maker=fields.octets(3, length=16),
        name=check_class_name(fields.text(4, most=limits.MAX_NAME)),
        family=fields.text(5, most=limits.MAX_NAME) if fields.has(5) else None,
        channels=fields.each(6, read_channel, least=1, most=limits.MAX_CHANNELS),
        support_end=fields.uint(7),
        least_interval_s=least,
        most_interval_s=most,
        limits=read_device_limits(fields.value(9), reading),
        most_devices=fields.uint(10, least=1),
        successor=fields.octets(11, length=16) if fields.has(11) else None,
        sequence_window=fields.uint(12, least=1, most=2**32),
    )
    fields.close(reading)
    if (record.epoch == 0) != (record.previous is None):
        raise Malformed("class record: epoch 0 and no previous link go together")
    check_distinct(record.channels, "channels")
    return record


def read_channel(value: cbor.Value) -> str:
    """Read a channel name. Raises Malformed."""
    if not isinstance(value, str):
        raise Malformed("a channel name must be text")
    return check_channel(value)


def read_interval(value: cbor.Value) -> tuple[int, int]:
    """Read [least, most] in seconds. Raises Malformed."""
    least, most = pair_of(value, "interval bounds", least=1, most=limits.MAX_INTERVAL_S)
    if least > most:
        raise Malformed("interval bounds must be [least, most] in seconds")
    return least, most


def read_device_limits(value: cbor.Value, reading: Reading) -> DeviceLimits:
    """Read device limits. Raises Malformed, or Untrusted("unsupported") for devices."""
    fields = Fields(value, "device limits")
    read = DeviceLimits(
        envelope_bytes=fields.uint(1, least=256, most=limits.MAX_ENVELOPE_BYTES),
        image_bytes=fields.uint(2, least=1, most=limits.MAX_IMAGE_BYTES),
        encodings=fields.each(3, member_of(Encoding, "an encoding"), least=1, most=8),
        delta_formats=fields.each(4, member_of(DeltaFormat, "a delta format"), most=8),
        algorithms=fields.each(5, member_of(Algorithm, "an algorithm"), least=1, most=8),
    )
    fields.close(reading)
    if Encoding.IDENTITY not in read.encodings:
        raise Malformed("device limits: encoding 0 (identity) must be among the encodings")
    check_distinct(read.encodings, "encodings")
    check_distinct(read.delta_formats, "delta formats")
    check_distinct(read.algorithms, "algorithms")
    return read
