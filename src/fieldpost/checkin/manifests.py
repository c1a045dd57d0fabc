# SPDX-License-Identifier: Apache-2.0
"""Step 9: a release's manifest, which the device judges by its maker's keys alone.

Whatever a board offers, nothing is installed that the maker's release keys did not sign for this
class under this sequence; so a wholly dishonest board cannot forge, and cannot roll back.
"""

from fieldpost.checkin.thresholds import by_kid
from fieldpost.errors import Untrusted
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.head import Offer
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.maker import MakerRecord, Role
from fieldpost.suit.envelope import decode_envelope, verify_envelope
from fieldpost.suit.manifest import Manifest


def verify_release(
    envelope: bytes,
    offer: Offer,
    *,
    maker: MakerRecord,
    maker_id: bytes,
    class_id: bytes,
    limits: DeviceLimits,
) -> Manifest:
    """The manifest that `offer` names, if the maker's current release threshold signed it.

    `maker` and `maker_id` (16 bytes) are the believed ones, `class_id` and `limits` the device's
    own. Keys whose scope leaves the class out, or of algorithms that the device does not verify,
    do not count. Raises Malformed, or Untrusted: "wrong-digest" (blame the source),
    "manifest-threshold" (retry at the next check-in), "bad-signature", "wrong-sequence",
    "wrong-vendor", "wrong-class", "unsupported".
    """
    if len(envelope) <= limits.envelope_bytes:
        check_digest(decode_envelope(envelope).digest, offer)
    release = maker.keys_of(Role.RELEASE)
    entitled = (
        entry.key
        for entry in release.keys
        if entry.scope is None or entry.scope.classes is None or class_id in entry.scope.classes
    )
    _, manifest = verify_envelope(
        envelope,
        keys=by_kid(entitled, limits.algorithms),
        threshold=release.threshold,
        most_bytes=limits.envelope_bytes,
    )
    check_sequence(manifest, offer)
    check_target(manifest, vendor=vendor_id(maker_id), class_id=class_id)
    largest = max(component.size for component in manifest.components)
    if largest > limits.image_bytes:
        raise Untrusted("unsupported", f"an image of {largest} bytes; at most {limits.image_bytes}")
    return manifest


def check_digest(digest: bytes, offer: Offer) -> None:
    """The envelope is of the offered release. Raises Untrusted("wrong-digest")."""
    if digest != offer.manifest:
        raise Untrusted("wrong-digest", f"not the manifest {offer.manifest.hex()}")


def check_sequence(manifest: Manifest, offer: Offer) -> None:
    """A head cannot pass an old release for a new one. Raises Untrusted("wrong-sequence")."""
    if manifest.sequence != offer.sequence:
        raise Untrusted("wrong-sequence", f"{manifest.sequence}; the offer says {offer.sequence}")


def check_target(manifest: Manifest, *, vendor: bytes, class_id: bytes) -> None:
    """The release is for this class. Raises Untrusted("wrong-vendor" | "wrong-class")."""
    if manifest.vendor != vendor:
        raise Untrusted("wrong-vendor", f"vendor {manifest.vendor.hex()}, mine is {vendor.hex()}")
    if manifest.class_id != class_id:
        raise Untrusted("wrong-class", f"class {manifest.class_id.hex()}, mine is {class_id.hex()}")
