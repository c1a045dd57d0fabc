# SPDX-License-Identifier: Apache-2.0
"""From an offer to what must be downloaded: the signed manifest, and the artifacts of its image.

The manifest says what the image is; the release record, proven on the board, only says in which
forms it is stored. Where that record cannot be had, the plain image named by the manifest's own
digest is always one of the forms.
"""

from dataclasses import dataclass

from fieldpost.agent.board import Reader, Standpoint
from fieldpost.agent.download import Stored
from fieldpost.agent.memory import Staged
from fieldpost.agent.slots.base import Image
from fieldpost.checkin.manifests import verify_release
from fieldpost.errors import FieldpostError, Misbehaviour, Untrusted
from fieldpost.records import map_keys
from fieldpost.records.device_class import DeviceLimits, Encoding
from fieldpost.records.fields import Reading
from fieldpost.records.head import Offer
from fieldpost.records.limits import MAX_ENVELOPE_BYTES
from fieldpost.records.release import ReleaseRecord, decode_release_record
from fieldpost.suit.manifest import Component, Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to install, the forms in which it is stored (smallest first), and the maker's places."""

    staged: Staged
    forms: tuple[Stored, ...]
    sources: tuple[str, ...]

    @property
    def image(self) -> Image:
        """The image as a slot holds it."""
        return image_of(self.staged)


def image_of(staged: Staged) -> Image:
    """The image of a staged release."""
    return Image(
        sequence=staged.sequence,
        version=staged.version,
        digest=staged.digest,
        size=staged.size,
    )


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
    if len(manifest.components) != 1:
        raise Untrusted("unsupported", "this device's slots hold one image, the release has more")
    component = manifest.components[0]
    release = _find_release(board, standpoint, offer, class_id)
    return Plan(
        staged=Staged(
            sequence=offer.sequence,
            version=release.version if release else "",
            manifest=offer.manifest,
            digest=component.digest,
            size=component.size,
            change_count=change_count,
        ),
        forms=_forms(component, release, limits),
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


def _forms(
    component: Component, release: ReleaseRecord | None, limits: DeviceLimits
) -> tuple[Stored, ...]:
    plain = Stored(digest=component.digest, size=component.size, encoding=Encoding.IDENTITY)
    packed = [
        Stored(digest=artifact.digest, size=artifact.size, encoding=artifact.encoding)
        for artifact in (release.artifacts if release else ())
        if artifact.image == component.digest
        and artifact.base is None
        and artifact.encoding is not Encoding.IDENTITY
        and artifact.encoding in limits.encodings
        and artifact.size < component.size
    ]
    return (*sorted(packed, key=lambda form: form.size), plain)
