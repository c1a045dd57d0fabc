# SPDX-License-Identifier: Apache-2.0
"""From an offer to what must be downloaded: the signed manifest, and artifacts of its images.

The manifest says what the images are; the release record, proven on the board, only says in which
forms they are stored. Where that record cannot be had, the plain image named by the manifest's own
digest is always one of the forms.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fieldpost.agent.board import Reader, Standpoint
from fieldpost.agent.download import Stored
from fieldpost.agent.memory import Staged
from fieldpost.agent.slots.base import Image, ImageSet
from fieldpost.checkin.manifests import verify_release
from fieldpost.errors import FieldpostError, Misbehaviour
from fieldpost.records import map_keys
from fieldpost.records.device_class import DeviceLimits, Encoding
from fieldpost.records.fields import Reading
from fieldpost.records.head import Offer
from fieldpost.records.limits import MAX_ENVELOPE_BYTES
from fieldpost.records.release import ReleaseRecord, decode_release_record
from fieldpost.suit.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to install, the forms in which each image is stored (smallest first), and the maker's
    places."""

    staged: Staged
    forms: Mapping[Image, tuple[Stored, ...]]
    sources: tuple[str, ...]

    @property
    def release(self) -> ImageSet:
        """The release as a slot holds it."""
        return self.staged.release


def make_plan(
    board: Reader,
    standpoint: Standpoint,
    offer: Offer,
    *,
    class_id: bytes,
    limits: DeviceLimits,
    change_count: int,
) -> Plan:
    """Fetch and verify everything that an installation rests on.

    Raises Untrusted ("manifest-threshold", "wrong-release", "unsupported", …), Misbehaviour,
    Unavailable.
    """
    maker = standpoint.belief.maker_view()

    def judge(envelope: bytes) -> Manifest:
        return verify_release(
            envelope,
            offer,
            maker=maker,
            maker_id=standpoint.belief.maker,
            class_id=class_id,
            limits=limits,
        )

    manifest = board.fetch(
        f"/v1/manifests/{offer.manifest.hex()}",
        most_bytes=min(limits.envelope_bytes, MAX_ENVELOPE_BYTES),
        judge=judge,
    )
    images = tuple(
        Image(id=component.id, digest=component.digest, size=component.size)
        for component in manifest.components
    )
    release = _find_release(board, standpoint, offer, class_id)
    return Plan(
        staged=Staged(
            sequence=offer.sequence,
            version=release.version if release else "",
            manifest=offer.manifest,
            images=images,
            change_count=change_count,
        ),
        forms={image: _forms(image, release, limits) for image in images},
        sources=release.sources if release else (),
    )


def _find_release(
    board: Reader, standpoint: Standpoint, offer: Offer, class_id: bytes
) -> ReleaseRecord | None:
    try:
        proven = board.read_record(standpoint, map_keys.release(class_id, offer.sequence))
        if proven.value is None:
            return None
        release = decode_release_record(proven.value, Reading.DEVICE)
    except Misbehaviour:
        raise
    except FieldpostError:
        # It saves bytes and nothing rests on it: a release whose record is newer than this device
        # understands is still installed from the plain image.
        return None
    return release if release.manifest == offer.manifest else None


def _forms(image: Image, release: ReleaseRecord | None, limits: DeviceLimits) -> tuple[Stored, ...]:
    plain = Stored(digest=image.digest, size=image.size, encoding=Encoding.IDENTITY)
    packed = [
        Stored(digest=artifact.digest, size=artifact.size, encoding=artifact.encoding)
        for artifact in (release.artifacts if release else ())
        if artifact.image == image.digest
        and artifact.base is None
        and artifact.encoding is not Encoding.IDENTITY
        and artifact.encoding in limits.encodings
        and artifact.size < image.size
    ]
    return (*sorted(packed, key=lambda form: form.size), plain)
