# SPDX-License-Identifier: Apache-2.0
"""`fieldpost release publish`: images as a signed release of each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from fieldpost.cli.acting import Acting, act
from fieldpost.cli.ceremony import Request, request_of
from fieldpost.cli.console import json_option, note, progress, show
from fieldpost.cli.options import home_options
from fieldpost.cli.release_envelopes import (
    check_size,
    keep_blocks,
    kept_envelope,
    largest_keys,
    settle_release,
    signed_bytes,
)
from fieldpost.cli.release_images import Images, Name, choose_files, measure_images
from fieldpost.cli.sbom import Document, read_document, read_sbom
from fieldpost.cli.signing import (
    ceremonies_of,
    check_complete,
    export_option,
    export_request,
    needed_of,
    sign_here,
)
from fieldpost.cli.stores import Stores
from fieldpost.cli.uploading import send_blob, send_envelope
from fieldpost.cli.views import ReleaseRow
from fieldpost.errors import Conflict, Misconfigured
from fieldpost.keys import Signer
from fieldpost.posts import subjects
from fieldpost.records.device_class import ClassRecord
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.maker import Role
from fieldpost.records.release import ReleaseKind, ReleaseRecord
from fieldpost.suit.envelope import manifest_digest
from fieldpost.suit.manifest import Manifest, decode_manifest, encode_manifest

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(name="publish")
@click.argument("arguments", metavar="CLASS... [IMAGE]", nargs=-1, required=True)
@click.option(
    "--component",
    "components",
    multiple=True,
    metavar="NAME=FILE",
    help="One of several images instead of IMAGE; devices install them together. Repeatable.",
)
@click.option("--version", required=True, help="What people call it, e.g. 1.1.0.")
@click.option("--sequence", type=click.IntRange(1), help="What devices compare.  [default: next]")
@click.option("--security", is_flag=True, help="It mends a vulnerability.")
@click.option("--source", "sources", multiple=True, help="URL prefix where the bytes lie as well.")
@click.option("--sbom", type=_FILE, help="What is in it: CycloneDX JSON. Becomes public.")
@click.option("--notes", type=_FILE, help="What is new, for owners. Becomes public.")
@export_option
@home_options
@json_option
def publish_release(
    *,
    arguments: tuple[str, ...],
    components: tuple[str, ...],
    version: str,
    sequence: int | None,
    security: bool,
    sources: tuple[str, ...],
    sbom: Path | None,
    notes: Path | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Publish IMAGE as a release of each CLASS: sign it, post it, upload its bytes.

    Nothing installs it until `fieldpost rollout set` offers it. Every operator of the board gets
    the bytes; devices take them from any. Run the same command again to finish an interrupted
    upload, or for an operator that was away: it goes on where it stopped, and posts nothing twice.
    Where several release keys must sign and lie on several machines, --export-unsigned writes what
    they sign, manifest and post; after `maker import` the same command uploads the images.

    \b
    fieldpost release publish bulb-a19:r2 firmware.bin --version 1.1.0
    fieldpost release publish bulb-a19:r2 fixed.bin --version 1.1.1 --security
    fieldpost release publish bulb-a19:r1 bulb-a19:r2 firmware.bin --version 1.2.0 \
        --sbom firmware.cdx.json --notes CHANGES.txt
    fieldpost release publish gateway --component application=app.bin \
        --component radio=radio.bin --version 2.0
    fieldpost release publish bulb-a19:r2 firmware.bin --version 1.3.0 \
        --export-unsigned release.unsigned
    """
    classes, files = choose_files(arguments, components)
    if export is not None and len(classes) > 1:
        raise Misconfigured(
            "--export-unsigned takes one CLASS at a time: each post has its own number, which the "
            "next one only has once the one before is posted"
        )
    wanted = _Wanted(
        files=files,
        version=version,
        sequence=sequence,
        kind=ReleaseKind.SECURITY if security else ReleaseKind.FEATURE,
        sources=sources,
        sbom=None if sbom is None else read_sbom(sbom),
        notes=None if notes is None else read_document(notes),
    )
    acting = act(home, passphrase_file, as_json=as_json)
    stores = Stores(acting.board)
    made = [_publish(acting, stores, name, wanted, export) for name in classes]
    stores.tell(as_json=as_json)
    if as_json:
        show(made[0] if len(made) == 1 else {"releases": made}, as_json=True)
        return
    for name, facts in zip(classes, made, strict=True):
        if "unsigned" in facts:
            show(facts, as_json=False, title="To be signed elsewhere")
            continue
        done = "Release complete" if facts["index"] is None else "Release published"
        show(facts, as_json=False, title=done)
        note(f"next: fieldpost rollout set {name} --offer {facts['sequence']}=25%")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What to publish, for each of the classes."""

    files: Sequence[tuple[Name, Path]]
    version: str
    sequence: int | None
    kind: ReleaseKind
    sources: tuple[str, ...]
    sbom: Document | None
    notes: Document | None


def _publish(
    acting: Acting, stores: Stores, class_name: str, wanted: _Wanted, export: Path | None
) -> dict[str, object]:
    maker = acting.maker
    class_, _ = acting.class_(class_name)
    folder = maker.path / "artifacts"
    images = measure_images(wanted.files, class_, folder, as_json=acting.as_json)
    known = acting.board.releases(class_.id)
    row = _same_release(known, images, wanted)
    number = row.sequence if row else wanted.sequence or _next_sequence(known)
    manifest = encode_manifest(Manifest(number, vendor_id(acting.id), class_.id, images.components))
    facts = _facts(class_, number, wanted, manifest, images)
    if row is None:
        request, signers = _request(acting, class_, wanted, manifest, images)
        signed = sign_here(request, signers)
        if export is not None:
            ceremonies = ceremonies_of(maker)
            as_json = acting.as_json
            return facts | export_request(ceremonies, request, signed, export, as_json=as_json)
        check_complete(maker, request, signed)
        facts |= settle_release(maker, stores, request, signed)
    else:
        _upload_manifest(acting, stores, manifest)
    _upload(acting, stores, images, wanted)
    return facts | {"lacking": stores.lacking or None}


def _request(
    acting: Acting,
    class_: ClassRecord,
    wanted: _Wanted,
    manifest: bytes,
    images: Images,
) -> tuple[Request, list[Signer]]:
    """What is to be signed of a new release, and by whom here."""
    number = decode_manifest(manifest).sequence
    record, _ = acting.record()
    keys = record.keys_of(Role.RELEASE)
    here = [signer.public_key for signer in acting.signers(record, Role.RELEASE)]
    if len(here) < keys.threshold:
        # Who else signs is not known yet.
        here = largest_keys((entry.key for entry in keys.keys), keys.threshold)
    count = signed_bytes(manifest, here[: keys.threshold])
    check_size(count, class_)
    return acting.request_in_role(
        Role.RELEASE,
        "release.publish",
        subjects.of_release(class_.id, number),
        lambda nonce: ReleaseRecord(
            nonce=nonce,
            class_id=class_.id,
            sequence=number,
            version=wanted.version,
            manifest=manifest_digest(manifest),
            envelope_bytes=count,
            artifacts=tuple(item.artifact for item in images.stored),
            sources=wanted.sources,
            kind=wanted.kind,
            sbom=wanted.sbom.digest if wanted.sbom else None,
            notes=wanted.notes.digest if wanted.notes else None,
        ).encode(),
        manifest=manifest,
    )


def _upload_manifest(acting: Acting, stores: Stores, manifest: bytes) -> None:
    """Of a release that is posted: what is kept of it, or signed again."""
    envelope = kept_envelope(acting.maker, manifest_digest(manifest))
    if envelope is None:
        record, _ = acting.record()
        request = request_of(None, [needed_of(record, Role.RELEASE)], manifest=manifest)
        signed = sign_here(request, acting.signers(record, Role.RELEASE))
        check_complete(acting.maker, request, signed)
        blocks = [block for one in signed if (block := one.block) is not None]
        envelope = keep_blocks(acting.maker, manifest, blocks, of_keys=request.keys)
    send_envelope(stores, envelope)


def _upload(acting: Acting, stores: Stores, images: Images, wanted: _Wanted) -> None:
    to = f" to {stores.count} operators" if stores.count > 1 else ""
    for item in images.stored:
        label, size = f"uploading {item.words()}{to}", item.artifact.size * stores.count
        with progress(label, size, as_json=acting.as_json) as advance:
            send_blob(
                acting.maker,
                stores,
                item.path,
                digest=item.artifact.digest,
                progress=advance,
            )
    for document in (wanted.sbom, wanted.notes):
        if document is not None:
            send_blob(acting.maker, stores, document.path, digest=document.digest)


def _facts(
    class_: ClassRecord, number: int, wanted: _Wanted, manifest: bytes, images: Images
) -> dict[str, object]:
    facts: dict[str, object] = {
        "class": class_.id.hex(),
        "sequence": number,
        "version": wanted.version,
        "manifest": manifest_digest(manifest).hex(),
    }
    if len(images.components) == 1:
        (only,) = images.components
        facts |= {"image": only.digest.hex(), "image_bytes": only.size}
    else:
        facts["images"] = [
            f"{b'/'.join(one.id).decode()} {one.digest.hex()} {one.size} B"
            for one in images.components
        ]
    return facts | {
        "artifacts": [item.words() for item in images.stored],
        "sbom": wanted.sbom.digest.hex() if wanted.sbom else None,
        "notes": wanted.notes.digest.hex() if wanted.notes else None,
        "index": None,
        "receipt": None,
    }


def _same_release(known: list[ReleaseRow], images: Images, wanted: _Wanted) -> ReleaseRow | None:
    digests = [component.digest for component in images.components]
    for row in known:
        is_same = row.version == wanted.version and all(map(row.has_image, digests))
        if is_same and wanted.sequence in (None, row.sequence):
            return row
        if wanted.sequence == row.sequence:
            raise Conflict(
                f"release {wanted.sequence} exists and is something else ({row.version}); leave "
                f"out --sequence, or choose one above {max(other.sequence for other in known)}"
            )
    return None


def _next_sequence(known: list[ReleaseRow]) -> int:
    return 1 + max((row.sequence for row in known), default=0)


commands = (publish_release,)
