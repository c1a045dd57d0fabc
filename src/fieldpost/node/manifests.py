# SPDX-License-Identifier: Apache-2.0
"""SUIT envelopes of published releases: what is kept, and what is served.

A release keeps its name when signatures are added, so what is kept is the union of valid
signatures. What is served are those by the maker's release keys of today, sorted by kid: of what
was uploaded, and of what `release.sign` posted, so a node whose upload was lost or came before a
rotation serves the same as any other. A device enforces the threshold; a node only refuses to store
what no device would take.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fieldpost.errors import Untrusted
from fieldpost.keys import PublicKey
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.maker import KeySet, RoleKey
from fieldpost.records.release import ReleaseRecord
from fieldpost.suit.envelope import AuthenticationBlock, Envelope, decode_envelope, verify_envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRelease:
    """What the board's state says of a release whose manifest is here.

    `limits`: of its class. `posted`: the blocks of `release.sign`, of whatever keys.
    """

    record: ReleaseRecord
    maker: bytes
    keys: KeySet
    limits: DeviceLimits
    posted: tuple[AuthenticationBlock, ...]


def verify_upload(data: bytes, release: NamedRelease) -> Envelope:
    """The uploaded envelope and the posted signatures, those of the maker's release keys alone.

    It may be as large as devices of the class take, also larger than when it was published: more
    keys may sign by now. Raises Malformed, Untrusted as `verify_envelope`, and
    Untrusted("wrong-digest" | "wrong-release") where the manifest is not what was posted.
    """
    known = release.keys.by_kid()
    sent = decode_envelope(data)
    envelope = complete(signed_by(sent, known), release)
    if envelope != sent or len(data) > release.limits.envelope_bytes:
        envelope = served(envelope, release)
        data = envelope.encode()
    digest, manifest = verify_envelope(
        data,
        keys=known,
        threshold=release.keys.threshold,
        most_bytes=release.limits.envelope_bytes,
        decrypts=True,
    )
    record = release.record
    if digest != record.manifest:
        raise Untrusted("wrong-digest", "this is the envelope of another manifest")
    named = (manifest.sequence, manifest.vendor, manifest.class_id)
    if named != (record.sequence, vendor_id(release.maker), record.class_id):
        raise Untrusted("wrong-release", "sequence, vendor or class differ from the posted release")
    return envelope


def complete(envelope: Envelope, release: NamedRelease) -> Envelope:
    """The envelope with the signatures that were posted, of current release keys."""
    known = release.keys.by_kid()
    posted = tuple(block for block in release.posted if block.kid in known)
    return merge(envelope, Envelope(envelope.manifest, posted))


def served(envelope: Envelope, release: NamedRelease) -> Envelope:
    """What devices of the class are given: signatures of current release keys, as many as fit.

    Where not all fit into what devices read, as many as the threshold asks for: first those that
    devices of the class count and verify, then the smallest.
    """
    current = signed_by(envelope, release.keys.by_kid())
    if len(current.encode()) <= release.limits.envelope_bytes:
        return current
    held = {entry.key.thumbprint(): entry for entry in release.keys.keys}

    def usefulness(block: AuthenticationBlock) -> tuple[bool, int]:
        return not _counts(held[block.kid], release), len(block.signature)

    best = sorted(current.blocks, key=usefulness)[: release.keys.threshold]
    return Envelope(current.manifest, tuple(best))


def _counts(entry: RoleKey, release: NamedRelease) -> bool:
    """Whether devices of the class count this key (docs/spec/release.md)."""
    if entry.key.algorithm not in release.limits.algorithms:
        return False
    classes = None if entry.scope is None else entry.scope.classes
    return classes is None or release.record.class_id in classes


def signed_by(envelope: Envelope, keys: Mapping[bytes, PublicKey]) -> Envelope:
    """The envelope without the signatures of other keys."""
    return Envelope(envelope.manifest, tuple(b for b in envelope.blocks if b.kid in keys))


def merge(newer: Envelope, older: Envelope) -> Envelope:
    """Both envelopes' signatures over one manifest; of one key the newer."""
    kids = {block.kid for block in newer.blocks}
    kept = tuple(block for block in older.blocks if block.kid not in kids)
    return Envelope(newer.manifest, newer.blocks + kept)
