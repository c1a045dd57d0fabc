# SPDX-License-Identifier: Apache-2.0
"""What is on offer, signed again by the release keys of today (`release.sign`).

A removed release key is worth nothing to devices, so after a rotation every offer needs signatures
of the new ones. Only manifests that were signed on this machine are signed again: if a stolen key
published something, a rotation must not bless it.
"""

from dataclasses import dataclass
from pathlib import Path

from fieldpost import cbor, durable
from fieldpost.cli.acting import Acting
from fieldpost.client.publisher import upload_manifest
from fieldpost.errors import Malformed, Misconfigured, NotFound, Untrusted
from fieldpost.posts import subjects
from fieldpost.posts.release import ReleaseSign
from fieldpost.records import map_keys
from fieldpost.records.device_class import ClassRecord, decode_class_record
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_ENVELOPE_BYTES
from fieldpost.records.maker import KeySet, Role
from fieldpost.records.release import ReleaseRecord, decode_release_record
from fieldpost.suit.envelope import Envelope, decode_envelope, sign_manifest, verify_envelope


@dataclass(frozen=True, slots=True)
class Resigned:
    """Releases that were signed again, and those that are none of this machine's."""

    signed: tuple[str, ...]
    strange: tuple[str, ...]

    def facts(self) -> dict[str, object]:
        """For the user."""
        facts: dict[str, object] = {"signed_again": list(self.signed)}
        return facts | ({"left_unsigned": list(self.strange)} if self.strange else {})

    def advice(self) -> list[str]:
        """What to do about the rest."""
        return [
            f"{name} was not signed on this machine; devices do not take it now. If it is yours: "
            f"fieldpost release sign {name}; if not: fieldpost release withdraw {name}"
            for name in self.strange
        ]


def resign_offers(acting: Acting) -> Resigned:
    """Sign every offered release that lacks signatures of current keys. May be run again."""
    record, _ = acting.record()
    keys = record.keys_of(Role.RELEASE)
    signed: list[str] = []
    strange: list[str] = []
    for class_ in _classes(acting):
        for sequence in _offered(acting, class_):
            release = read_release(acting, class_.id, sequence)
            if _is_signed(acting, release, keys):
                continue
            name = f"{class_.name} {sequence}"
            kept = manifest_path(acting, release.manifest)
            if not kept.exists():
                strange.append(name)
                continue
            sign_release(acting, release, decode_envelope(kept.read_bytes()))
            signed.append(name)
    return Resigned(tuple(signed), tuple(strange))


def _classes(acting: Acting) -> list[ClassRecord]:
    listed = acting.proven.value(map_keys.maker_classes(acting.id))
    ids = () if listed is None else cbor.decode(listed)
    if not isinstance(ids, tuple):
        raise Malformed("a list of classes that no rule writes")
    values = [acting.proven.value(map_keys.device_class(i)) for i in ids if isinstance(i, bytes)]
    return [decode_class_record(value) for value in values if value is not None]


def _offered(acting: Acting, class_: ClassRecord) -> list[int]:
    heads = [acting.proven.value(map_keys.head(class_.id, name)) for name in class_.channels]
    offers = [offer for head in heads if head is not None for offer in decode_head(head).offers]
    return sorted({offer.sequence for offer in offers}, reverse=True)


def read_release(acting: Acting, class_id: bytes, sequence: int) -> ReleaseRecord:
    """A release of the maker's, proven. Raises NotFound."""
    value = acting.proven.value(map_keys.release(class_id, sequence))
    if value is None:
        raise NotFound(f"there is no release {sequence}; see `fieldpost release list`")
    return decode_release_record(value)


def manifest_path(acting: Acting, digest: bytes) -> Path:
    """Where the envelope is kept that was signed on this machine."""
    return acting.maker.path / "manifests" / f"{digest.hex()}.suit"


def fetch_envelope(acting: Acting, digest: bytes) -> Envelope:
    """The envelope as the node serves it, of the manifest with this digest."""
    path = f"/v1/manifests/{digest.hex()}"
    envelope = decode_envelope(acting.board.http.fetch(path, most_bytes=2 * MAX_ENVELOPE_BYTES))
    if envelope.digest != digest:
        raise Untrusted("wrong-digest", f"{acting.board.url}{path} is another manifest")
    return envelope


def _is_signed(acting: Acting, release: ReleaseRecord, keys: KeySet) -> bool:
    try:
        envelope = fetch_envelope(acting, release.manifest).encode()
        verify_envelope(
            envelope,
            keys=keys.by_kid(),
            threshold=keys.threshold,
            most_bytes=len(envelope),
            decrypts=True,
        )
    except (NotFound, Untrusted):
        return False
    return True


def sign_release(acting: Acting, release: ReleaseRecord, envelope: Envelope) -> dict[str, object]:
    """Sign a manifest with current release keys, post that, and upload it; facts for the user.

    Raises Misconfigured if too few release keys are here.
    """
    record, _ = acting.record()
    keys = record.keys_of(Role.RELEASE)
    signers = list(acting.signers(record, Role.RELEASE))[: keys.threshold]
    if len(signers) < keys.threshold:
        raise Misconfigured(
            f"a manifest needs {keys.threshold} release keys and {len(signers)} of the current "
            f"ones are in {acting.maker.path}/keys; bring the others back for as long as it takes"
        )
    blocks = tuple(
        sorted((sign_manifest(envelope.manifest, s) for s in signers), key=lambda b: b.kid)
    )
    facts = acting.post_in_role(
        Role.RELEASE,
        "release.sign",
        subjects.of_release(release.class_id, release.sequence),
        lambda nonce: ReleaseSign(
            nonce=nonce, class_id=release.class_id, sequence=release.sequence, blocks=blocks
        ).encode(),
        export=None,
    )
    fresh = Envelope(envelope.manifest, blocks).encode()
    kept = manifest_path(acting, release.manifest)
    durable.make_dirs(kept.parent)
    durable.write_file(kept, fresh)
    upload_manifest(acting.board.http, fresh, digest=release.manifest)
    return facts
