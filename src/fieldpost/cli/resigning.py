# SPDX-License-Identifier: Apache-2.0
"""What is on offer, signed again by the release keys of today (`release.sign`).

A removed release key is worth nothing to devices, so after a rotation every offer needs signatures
of the new ones. Only manifests that were signed on this machine are signed again: if a stolen key
published something, a rotation must not bless it.
"""

from dataclasses import dataclass
from pathlib import Path

from fieldpost import cbor
from fieldpost.cli.acting import Acting
from fieldpost.cli.board_access import Board
from fieldpost.cli.ceremony import Signed, request_of
from fieldpost.cli.release_envelopes import check_size, keep_blocks, kept_envelope
from fieldpost.cli.signing import (
    ceremonies_of,
    check_complete,
    export_request,
    needed_of,
    sign_here,
)
from fieldpost.cli.stores import Stores
from fieldpost.cli.uploading import send_envelope
from fieldpost.errors import Malformed, NotFound, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.posts import subjects
from fieldpost.posts.release import ReleaseSign
from fieldpost.records import map_keys
from fieldpost.records.device_class import ClassRecord, decode_class_record
from fieldpost.records.head import decode_head
from fieldpost.records.limits import MAX_ENVELOPE_BYTES
from fieldpost.records.maker import KeySet, Role
from fieldpost.records.release import ReleaseRecord, decode_release_record
from fieldpost.suit.envelope import (
    AuthenticationBlock,
    Envelope,
    decode_envelope,
    verify_envelope,
)


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
            kept = kept_envelope(acting.maker, release.manifest)
            if kept is None:
                strange.append(name)
                continue
            sign_release(acting, class_, release, kept.manifest)
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


def fetch_envelope(
    board: Board, digest: bytes, *, most_bytes: int = 2 * MAX_ENVELOPE_BYTES
) -> Envelope:
    """The envelope of the manifest with this digest, as a node serves it that has it."""
    path = f"/v1/manifests/{digest.hex()}"

    def judge(data: bytes) -> Envelope:
        envelope = decode_envelope(data)
        if envelope.digest != digest:
            raise Untrusted("wrong-digest", f"{path} is another manifest there")
        return envelope

    return board.fetch(path, most_bytes=most_bytes, judge=judge)


def _is_signed(acting: Acting, release: ReleaseRecord, keys: KeySet) -> bool:
    try:
        envelope = fetch_envelope(acting.board, release.manifest).encode()
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


def sign_release(
    acting: Acting,
    class_: ClassRecord,
    release: ReleaseRecord,
    manifest: bytes,
    *,
    export: Path | None = None,
) -> dict[str, object]:
    """Sign a manifest with current release keys, post that, and upload it; facts for the user.

    Signatures that were gathered already count. With `export` and too few keys here, the manifest
    is exported; with enough, it is the post that is exported where it needs further keys. Raises
    Misconfigured if too few release keys are here.
    """
    record, _ = acting.record()
    request = request_of(None, [needed_of(record, Role.RELEASE)], manifest=manifest)
    kept = kept_envelope(acting.maker, release.manifest)
    gathered = [_signed(block) for block in (kept.blocks if kept else ())]
    signed = {one.kid: request.verify(one) for one in gathered if one.kid in request.keys}
    if request.lacks(signed):
        fresh = sign_here(request, acting.signers(record, Role.RELEASE))
        signed |= {one.kid: one for one in fresh}
    if export is not None and request.lacks(signed):
        ceremonies = ceremonies_of(acting.maker)
        signatures = tuple(signed.values())
        return export_request(ceremonies, request, signatures, export, as_json=acting.as_json)
    check_complete(acting.maker, request, tuple(signed.values()))
    blocks = [block for kid in sorted(signed) if (block := signed[kid].block) is not None]
    most = blocks[: max(group.count for group in request.needed)]
    check_size(len(Envelope(manifest, tuple(most)).encode()), class_)
    envelope = keep_blocks(acting.maker, manifest, blocks, of_keys=request.keys)
    facts = acting.post_in_role(
        Role.RELEASE,
        "release.sign",
        subjects.of_release(release.class_id, release.sequence),
        lambda nonce: ReleaseSign(
            nonce=nonce,
            class_id=release.class_id,
            sequence=release.sequence,
            blocks=tuple(blocks),
        ).encode(),
        export=export,
    )
    if export is None:
        stores = Stores(acting.board)
        send_envelope(stores, envelope)
        stores.tell(as_json=acting.as_json)
    return facts


def _signed(block: AuthenticationBlock) -> Signed:
    return Signed(block.kid, Algorithm(block.algorithm), None, block.signature)
