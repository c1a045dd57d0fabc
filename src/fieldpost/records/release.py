# SPDX-License-Identifier: Apache-2.0
"""The release record: payload of `release.publish` (docs/spec/records.md).

    {1: nonce, 2: class id, 3: sequence, 4: version, 5: SUIT manifest digest, 6: envelope bytes,
     7: [artifact…], 8: [source url…], 9: kind, 10: SBOM digest, 11: notes digest}

    artifact = {1: digest of stored bytes, 2: stored bytes, 3: encoding, 4: image digest,
                5: delta format, 6: base image digest}

A release is named by its SUIT manifest digest. Every image has one artifact of encoding 0, whose
digest is the image's own. Labels 10, 11 and artifact 5, 6 (together) are optional.
"""

from dataclasses import dataclass
from enum import IntEnum

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import limits
from fieldpost.records.device_class import DeltaFormat, Encoding
from fieldpost.records.fields import Fields, Reading, check_distinct, text_of


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
        artifacts=fields.each(
            7, lambda v: _read_artifact(v, reading), least=1, most=limits.MAX_ARTIFACTS
        ),
        sources=fields.each(8, text_of(limits.MAX_URL, "a source"), most=limits.MAX_URLS),
        kind=ReleaseKind(fields.uint(9, most=1)),
        sbom=fields.octets(10, length=32) if fields.has(10) else None,
        notes=fields.octets(11, length=32) if fields.has(11) else None,
    )
    fields.close(reading)
    check_distinct(tuple(a.digest for a in record.artifacts), "artifacts' digests")
    plain = {a.digest for a in record.artifacts if a.encoding is Encoding.IDENTITY}
    if any(a.image not in plain for a in record.artifacts):
        raise Malformed("release record: every image needs an artifact of encoding 0")
    return record


def _read_artifact(value: cbor.Value, reading: Reading) -> Artifact:
    fields = Fields(value, "artifact")
    try:
        artifact = Artifact(
            digest=fields.octets(1, length=32),
            size=fields.uint(2, least=1, most=limits.MAX_IMAGE_BYTES),
            encoding=Encoding(fields.uint(3)),
            image=fields.octets(4, length=32),
            delta_format=DeltaFormat(fields.uint(5)) if fields.has(5) else None,
            base=fields.octets(6, length=32) if fields.has(6) else None,
        )
    except ValueError as error:
        raise Malformed(f"artifact: {error}") from error
    fields.close(reading)
    if (artifact.delta_format is None) != (artifact.base is None):
        raise Malformed("artifact: a delta names its format and its base")
    whole = artifact.encoding is Encoding.IDENTITY and artifact.base is None
    if whole != (artifact.digest == artifact.image):
        raise Malformed("artifact: digest and image are equal exactly for encoding 0")
    return artifact
