# SPDX-License-Identifier: Apache-2.0
"""Releases: `release.publish` (docs/spec/rules.md, release).

Signed by the release threshold. A release is a sequence that only grows and a manifest digest that
is used once; publishing offers it to nobody. What no device of the class could take is refused.
"""

from fieldpost import cbor
from fieldpost.ledger.authority import Reach, check_role, take_nonce
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.reading import (
    check_claims,
    read_class,
    read_class_counters,
    read_maker,
    read_payload,
)
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.counters import ClassCounters, ReleaseCounters
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.maker import Role
from fieldpost.records.release import Artifact, ReleaseRecord, decode_release_record


def decide_release_publish(read: Reader, post: Post, ctx: Context) -> Writes:
    """A new release of a class. Raises Rejected or Malformed."""
    record = read_payload(post, decode_release_record)
    class_id, sequence = record.class_id, record.sequence
    device_class = read_class(read, class_id)
    maker = read_maker(read, device_class.maker)
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_release(class_id, sequence))
    check_role(post, ctx, maker, Role.RELEASE, Reach(class_id=class_id))
    writes = take_nonce(read, post, maker, Role.RELEASE, record.nonce)
    counters = read_class_counters(read, class_id)
    last = counters.newest + device_class.sequence_window
    if not counters.newest < sequence <= last:
        raise refusal(
            Code.SEQUENCE, f"sequence {sequence}; the next one is in {counters.newest + 1}…{last}"
        )
    if read.value(map_keys.manifest(class_id, record.manifest)) is not None:
        raise refusal(Code.MANIFEST_TAKEN, f"manifest {record.manifest.hex()} is published")
    _check_limits(record, device_class.limits)
    return writes | {
        map_keys.release(class_id, sequence): post.statement.payload,
        map_keys.release_counters(class_id, sequence): ReleaseCounters().encode(),
        map_keys.class_counters(class_id): ClassCounters(
            newest=sequence, floor=counters.floor, devices=counters.devices
        ).encode(),
        map_keys.manifest(class_id, record.manifest): cbor.encode(sequence),
    }


def _check_limits(record: ReleaseRecord, limits: DeviceLimits) -> None:
    if record.envelope_bytes > limits.envelope_bytes:
        raise refusal(
            Code.ENVELOPE_SIZE, f"{record.envelope_bytes} bytes; at most {limits.envelope_bytes}"
        )
    for artifact in record.artifacts:
        _check_artifact(artifact, limits)


def _check_artifact(artifact: Artifact, limits: DeviceLimits) -> None:
    if artifact.encoding not in limits.encodings:
        raise refusal(Code.ENCODING, f"encoding {artifact.encoding.name.lower()}")
    if artifact.delta_format is not None and artifact.delta_format not in limits.delta_formats:
        raise refusal(Code.ENCODING, f"delta format {artifact.delta_format.name.lower()}")
    # A whole artifact is the image itself; the record holds one for every image.
    if artifact.is_whole and artifact.size > limits.image_bytes:
        raise refusal(Code.IMAGE_SIZE, f"{artifact.size} bytes; at most {limits.image_bytes}")
