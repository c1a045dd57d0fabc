# SPDX-License-Identifier: Apache-2.0
"""`fieldpost release`: publish an image as a signed release, and list releases."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from fieldpost import durable
from fieldpost.cli.artifacts import Stored, measure_image, pack_image
from fieldpost.cli.board_access import Board, bound_board, publish
from fieldpost.cli.console import json_option, note, progress, show, show_json, table
from fieldpost.cli.device_class import choose_class, read_class, resolve_class
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.nonces import next_nonce
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.cli.sbom import Document, read_document, read_sbom
from fieldpost.cli.views import ReleaseRow
from fieldpost.client.publisher import upload_blob, upload_manifest
from fieldpost.errors import Conflict, Misconfigured
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records.device_class import Encoding
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.maker import Role
from fieldpost.records.release import ReleaseKind, ReleaseRecord
from fieldpost.suit.envelope import Envelope, manifest_digest, sign_manifest
from fieldpost.suit.manifest import Component, Manifest, encode_manifest

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group(name="release")
def command() -> None:
    r"""Publish signed releases.

    \b
    fieldpost release publish bulb-a19:r2 firmware.bin --version 1.1.0
    fieldpost release list bulb-a19:r2
    """


@command.command(name="publish")
@click.argument("class_names", metavar="CLASS...", nargs=-1, required=True)
@click.argument("image", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--version", required=True, help="What people call it, e.g. 1.1.0.")
@click.option("--sequence", type=click.IntRange(1), help="What devices compare.  [default: next]")
@click.option("--security", is_flag=True, help="It mends a vulnerability.")
@click.option("--source", "sources", multiple=True, help="URL prefix where the bytes lie as well.")
@click.option("--sbom", type=_FILE, help="What is in it: CycloneDX JSON. Becomes public.")
@click.option("--notes", type=_FILE, help="What is new, for owners. Becomes public.")
@home_options
@json_option
def publish_release(
    *,
    class_names: tuple[str, ...],
    image: Path,
    version: str,
    sequence: int | None,
    security: bool,
    sources: tuple[str, ...],
    sbom: Path | None,
    notes: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Publish IMAGE as a release of each CLASS: sign it, post it, upload its bytes.

    Nothing installs it until `fieldpost rollout set` offers it. Run the same command again to
    finish an interrupted upload: it goes on where it stopped, and posts nothing twice.

    \b
    fieldpost release publish bulb-a19:r2 firmware.bin --version 1.1.0
    fieldpost release publish bulb-a19:r2 fixed.bin --version 1.1.1 --security
    fieldpost release publish bulb-a19:r1 bulb-a19:r2 firmware.bin --version 1.2.0 \
        --sbom firmware.cdx.json --notes CHANGES.txt
    """
    wanted = _Wanted(
        image=image,
        version=version,
        sequence=sequence,
        kind=ReleaseKind.SECURITY if security else ReleaseKind.FEATURE,
        sources=sources,
        sbom=None if sbom is None else read_sbom(sbom),
        notes=None if notes is None else read_document(notes),
    )
    maker = open_home(home, passphrase_file)
    board = bound_board(maker, as_json=as_json)
    made = [_publish(maker, board, name, wanted, as_json=as_json) for name in class_names]
    if as_json:
        show(made[0] if len(made) == 1 else {"releases": made}, as_json=True)
        return
    for name, facts in zip(class_names, made, strict=True):
        done = "Release complete" if facts["index"] is None else "Release published"
        show(facts, as_json=False, title=done)
        note(f"next: fieldpost rollout set {name} --offer {facts['sequence']}=25%")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What to publish, for each of the classes."""

    image: Path
    version: str
    sequence: int | None
    kind: ReleaseKind
    sources: tuple[str, ...]
    sbom: Document | None
    notes: Document | None


def _publish(
    maker: MakerHome, board: Board, class_name: str, wanted: _Wanted, *, as_json: bool
) -> dict[str, object]:
    maker_id = bytes.fromhex(maker.settings().maker)
    class_ = read_class(board, resolve_class(maker_id, class_name))
    plain = measure_image(wanted.image, class_)
    stored = [plain]
    if Encoding.ZSTD in class_.limits.encodings:
        stored += pack_image(plain, maker.path / "artifacts", as_json=as_json)
    known = board.releases(class_.id)
    row = _same_release(known, plain.artifact.image, wanted.version, wanted.sequence)
    index: int | None = None
    receipt: Path | None = None
    number = row.sequence if row else wanted.sequence or _next_sequence(known)
    manifest = encode_manifest(
        Manifest(
            sequence=number,
            vendor=vendor_id(maker_id),
            class_id=class_.id,
            components=(Component((b"image",), plain.artifact.image, plain.artifact.size),),
        )
    )
    digest = manifest_digest(manifest)
    envelope = _sign_envelope(maker, manifest, digest)
    if len(envelope) > class_.limits.envelope_bytes:
        raise Misconfigured(
            f"the signed manifest has {len(envelope)} bytes, and devices of the class read "
            f"{class_.limits.envelope_bytes}; fewer release keys, or Ed25519 ones, make it smaller"
        )
    if row is None:
        index, receipt = _post(
            maker,
            board,
            ReleaseRecord(
                nonce=_nonce(maker, board),
                class_id=class_.id,
                sequence=number,
                version=wanted.version,
                manifest=digest,
                envelope_bytes=len(envelope),
                artifacts=tuple(item.artifact for item in stored),
                sources=wanted.sources,
                kind=wanted.kind,
                sbom=wanted.sbom.digest if wanted.sbom else None,
                notes=wanted.notes.digest if wanted.notes else None,
            ),
        )
    _upload(board, digest, envelope, stored, as_json=as_json)
    for document in (wanted.sbom, wanted.notes):
        if document is not None:
            upload_blob(board.http, document.path, digest=document.digest)
    return {
        "class": class_.id.hex(),
        "sequence": number,
        "version": wanted.version,
        "manifest": digest.hex(),
        "image": plain.artifact.image.hex(),
        "image_bytes": plain.artifact.size,
        "artifacts": [item.words() for item in stored],
        "sbom": wanted.sbom.digest.hex() if wanted.sbom else None,
        "notes": wanted.notes.digest.hex() if wanted.notes else None,
        "index": index,
        "receipt": str(receipt) if receipt else None,
    }


def _same_release(
    known: list[ReleaseRow], image: bytes, version: str, sequence: int | None
) -> ReleaseRow | None:
    for row in known:
        if row.version == version and row.has_image(image) and sequence in (None, row.sequence):
            return row
        if sequence == row.sequence:
            raise Conflict(
                f"release {sequence} exists and is something else ({row.version}); leave out "
                f"--sequence, or choose one above {max(other.sequence for other in known)}"
            )
    return None


def _next_sequence(known: list[ReleaseRow]) -> int:
    return 1 + max((row.sequence for row in known), default=0)


def _sign_envelope(maker: MakerHome, manifest: bytes, digest: bytes) -> bytes:
    path = maker.path / "manifests" / f"{digest.hex()}.suit"
    if path.exists():
        return path.read_bytes()
    signers = maker.signers(Role.RELEASE, maker.settings().release_threshold)
    blocks = tuple(sign_manifest(manifest, signer) for signer in signers)
    envelope = Envelope(manifest, blocks).encode()
    durable.make_dirs(path.parent)
    durable.write_file(path, envelope)
    return envelope


def _nonce(maker: MakerHome, board: Board) -> int:
    settings = maker.settings()
    (first, *_) = maker.signers(Role.RELEASE, 1)
    return next_nonce(
        board,
        maker=bytes.fromhex(settings.maker),
        role=Role.RELEASE,
        key=first.public_key,
        threshold=settings.release_threshold,
    )


def _post(maker: MakerHome, board: Board, record: ReleaseRecord) -> tuple[int, Path]:
    settings = maker.settings()
    statement = Statement(
        kind="release.publish",
        issuer=settings.maker,
        subject=subjects.of_release(record.class_id, record.sequence),
        audience=board.id,
        payload=record.encode(),
    )
    signers = maker.signers(Role.RELEASE, settings.release_threshold)
    return publish(maker, board, sign_post(statement, signers))


def _upload(
    board: Board,
    digest: bytes,
    envelope: bytes,
    stored: list[Stored],
    *,
    as_json: bool,
) -> None:
    upload_manifest(board.http, envelope, digest=digest)
    for item in stored:
        label = f"uploading {item.words()}"
        with progress(label, item.artifact.size, as_json=as_json) as advance:
            upload_blob(board.http, item.path, digest=item.artifact.digest, progress=advance)


@command.command(name="list")
@click.argument("class_name", metavar="CLASS")
@board_option
@home_options
@json_option
def list_releases(
    *,
    class_name: str,
    board_url: str | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""List the releases of a class, newest first.

    \b
    fieldpost release list bulb-a19:r2
    fieldpost release list ed4b55f3ed085ad5bf188bff940aee57 --board https://board.example
    """
    maker = open_home(home, passphrase_file)
    board, class_ = choose_class(class_name, maker=maker, board_url=board_url, as_json=as_json)
    if as_json:
        show_json(board.json(f"/v1/classes/{class_.hex()}/releases"))
        return
    rows = [
        {
            "sequence": row.sequence,
            "version": row.version,
            "kind": row.kind,
            "manifest": row.manifest[:16] + "…",
            "complete": not row.missing,
            "withdrawn": row.withdrawn,
        }
        for row in board.releases(class_)
    ]
    table(rows, as_json=False, empty="no release yet; `fieldpost release publish`")
