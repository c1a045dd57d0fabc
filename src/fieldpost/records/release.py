# SPDX-License-Identifier: Apache-2.0
"""The release record: payload of `release.publish` (docs/spec/records.md).

    {1: nonce, 2: class id, 3: sequence, 4: version, 5: SUIT manifest digest, 6: envelope bytes,
     7: [artifact…], 8: [source url…], 9: kind, 10: SBOM digest, 11: notes digest}

    artifact = {1: digest of stored bytes, 2: stored bytes, 3: encoding, 4: image digest,
                5: delta format, 6: base image digest}

A release is named by its SUIT manifest digest. Every image has one artifact that is the image
itself: encoding 0, no base, one digest. Labels 10, 11 and artifact 5, 6 (together) are optional.
A device skips artifacts of encodings, delta formats or critical labels that it does not know.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.records.device_class import DeltaFormat, Encoding
from fieldpost.records.fields import (
    Fields,
    Reading,
    check_distinct,
    is_of_later_version,
    member_of,
    text_of,
)

_ARTIFACT_LABELS: Final = frozenset(range(1, 7))


class ReleaseKind(IntEnum):
    """Why a release exists."""

    FEATURE = 0
    SECURITY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Stored bytes from which a device makes one image."""

    digest: bytes
    size: int
    encoding: Encoding
    image: bytes
    delta_format: DeltaFormat | None = None
    base: bytes | None = None

    @property
    def is_whole(self) -> bool:
        """The stored bytes are the image itself."""
        return self.encoding is Encoding.IDENTITY and self.base is None

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        value: dict[int, object] = {
            1: self.digest,
            2: self.size,
            3: int(self.encoding),
            4: self.image,
        }
        if self.delta_format is not None and self.base is not None:
            value[5] = int(self.delta_format)
            value[6] = self.base
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord:
    """One release of one class."""

    nonce: int
    class_id: bytes
    sequence: int
    version: str
    manifest: bytes
    envelope_bytes: int
    artifacts: tuple[Artifact, ...]
    sources: tuple[str, ...] = ()
    kind: ReleaseKind = ReleaseKind.FEATURE
    sbom: bytes | None = None
    notes: bytes | None = None

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post, and the value in the map."""
        value: dict[int, object] = {
            1: self.nonce,
            2: self.class_id,
            3: self.sequence,
            4: self.version,
            5: self.manifest,
            6: self.envelope_bytes,
            7: [artifact.value() for artifact in self.artifacts],
            8: list(self.sources),
            9: int(self.kind),
        }
        optional = {10: self.sbom, 11: self.notes}
        value |= {label: field for label, field in optional.items() if field is not None}
        return cbor.encode(value)


def decode_release_record(data: bytes, reading: Reading = Reading.LEDGER) -> ReleaseRecord:
    """Read a release record. Raises Malformed, or Untrusted("unsupported") for devices."""
    fields = Fields(cbor.decode(data), "release record")
    record = ReleaseRecord(
        nonce=fields.uint(1, least=1),
        class_id=fields.octets(2, length=16),
        sequence=fields.uint(3, least=1),
        version=fields.text(4, most=limits.MAX_NAME),
        manifest=fields.octets(5, length=32),
        envelope_bytes=fields.uint(6, least=1, most=limits.MAX_ENVELOPE_BYTES),
        artifacts=tuple(
            _read_artifact(value, reading)
            for value in fields.array(7, least=1, most=limits.MAX_ARTIFACTS)
            if reading is Reading.LEDGER or not _is_for_later_devices(value)
        ),
        sources=fields.each(8, text_of(limits.MAX_URL, "a source"), most=limits.MAX_URLS),
        kind=ReleaseKind(fields.uint(9, most=1)),
        sbom=fields.octets(10, length=32) if fields.has(10) else None,
        notes=fields.octets(11, length=32) if fields.has(11) else None,
    )
    fields.close(reading)
    check_distinct(tuple(a.digest for a in record.artifacts), "artifacts' digests")
    plain = {a.digest for a in record.artifacts if a.is_whole}
    if not plain or any(a.image not in plain for a in record.artifacts):
        raise Malformed("release record: every image needs an artifact that is the image itself")
    return record


def _is_for_later_devices(value: cbor.Value) -> bool:
    """An artifact that needs what this version does not know; another one carries the image."""
    if not isinstance(value, dict):
        return False
    encoding, delta = value.get(3), value.get(5)
    return (
        is_of_later_version(value, _ARTIFACT_LABELS)
        or (type(encoding) is int and encoding not in set(Encoding))
        or (type(delta) is int and delta not in set(DeltaFormat))
    )


def _read_artifact(value: cbor.Value, reading: Reading) -> Artifact:
    fields = Fields(value, "artifact")
    artifact = Artifact(
        digest=fields.octets(1, length=32),
        size=fields.uint(2, least=1, most=limits.MAX_IMAGE_BYTES),
        encoding=member_of(Encoding, "an encoding")(fields.value(3)),
        image=fields.octets(4, length=32),
        delta_format=(
            member_of(DeltaFormat, "a delta format")(fields.value(5)) if fields.has(5) else None
        ),
        base=fields.octets(6, length=32) if fields.has(6) else None,
    )
    fields.close(reading)
    if (artifact.delta_format is None) != (artifact.base is None):
        raise Malformed("artifact: a delta names its format and its base")
    if artifact.is_whole != (artifact.digest == artifact.image):
        raise Malformed("artifact: digest and image are equal exactly for the image itself")
    return artifact
