# SPDX-License-Identifier: Apache-2.0
"""SUIT envelopes of published releases: what is kept, and what is served.

A release keeps its name when signatures are added, so what is kept is the union of valid
signatures, and what is served are those by the maker's release keys of today, sorted by kid. A
device enforces the threshold; a node only refuses to store what no device would take.
"""

from collections.abc import Mapping

from fieldpost.errors import Untrusted
from fieldpost.keys import PublicKey
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.maker import KeySet
from fieldpost.records.release import ReleaseRecord
from fieldpost.suit.envelope import Envelope, decode_envelope, verify_envelope


def verify_upload(data: bytes, *, release: ReleaseRecord, maker: bytes, keys: KeySet) -> Envelope:
    """The uploaded envelope, with the signatures of the maker's release keys alone.

    Raises Malformed, Untrusted as `verify_envelope`, and Untrusted("wrong-digest" |
    "wrong-release") where the manifest is not what the posted release says.
    """
    known = keys.by_kid()
    digest, manifest = verify_envelope(
        data,
        keys=known,
        threshold=keys.threshold,
        most_bytes=release.envelope_bytes,
        decrypts=True,
    )
    if digest != release.manifest:
        raise Untrusted("wrong-digest", "this is the envelope of another manifest")
    named = (manifest.sequence, manifest.vendor, manifest.class_id)
    if named != (release.sequence, vendor_id(maker), release.class_id):
        raise Untrusted("wrong-release", "sequence, vendor or class differ from the posted release")
    return signed_by(decode_envelope(data), known)


def signed_by(envelope: Envelope, keys: Mapping[bytes, PublicKey]) -> Envelope:
    """The envelope without the signatures of other keys."""
    return Envelope(envelope.manifest, tuple(b for b in envelope.blocks if b.kid in keys))


def merge(newer: Envelope, older: Envelope) -> Envelope:
    """Both envelopes' signatures over one manifest; of one key the newer."""
    kids = {block.kid for block in newer.blocks}
    kept = tuple(block for block in older.blocks if block.kid not in kids)
    return Envelope(newer.manifest, newer.blocks + kept)
