# SPDX-License-Identifier: Apache-2.0
"""`fieldpost release`: publish an image as a signed release, and list releases."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import zstandard

from fieldpost import durable
from fieldpost.cli.board_access import Board, bound_board, publish
from fieldpost.cli.console import json_option, note, progress, show, size, table
from fieldpost.cli.device_class import read_class, resolve_class
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.nonces import next_nonce
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.client.publisher import upload_blob, upload_manifest
from fieldpost.errors import Conflict, Malformed, Misconfigured
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records.device_class import ClassRecord, Encoding
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.maker import Role
from fieldpost.records.release import Artifact, ReleaseKind, ReleaseRecord
from fieldpost.suit.envelope import Envelope, manifest_digest, sign_manifest
from fieldpost.suit.manifest import Component, Manifest, encode_manifest

# A smaller download must be worth the decoder: below this gain the plain image serves alone.
_LEAST_GAIN = 0.95


@click.group(name="release")
def command() -> None:
    r"""Publish signed releases.

    \b
    fieldpost release publish bulb-a19:r2 firmware.bin --version 1.1.0
    fieldpost release list bulb-a19:r2
    """


@command.command(name="publish")
@click.argument("class_name", metavar="CLASS")
@click.argument("image", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--version", required=True, help="What people call it, e.g. 1.1.0.")
@click.option("--sequence", type=click.IntRange(1), help="What devices compare.  [default: next]")
@click.option("--security", is_flag=True, help="It mends a vulnerability.")
@click.option("--source", "sources", multiple=True, help="URL prefix where the bytes lie as well.")
@home_options
@json_option
def publish_release(
    *,
    class_name: str,
    image: Path,
    version: str,
    sequence: int | None,
    security: bool,
    sources: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Publish IMAGE as a release of CLASS: sign it, post it, upload its bytes.

    Nothing installs it until `fieldpost rollout set` offers it. Run the same command again to
    finish an interrupted upload.
    """
    maker = open_home(home, passphrase_file)
    board = bound_board(maker, as_json=as_json)
    maker_id = bytes.fromhex(maker.settings().maker)
    class_ = read_class(board, resolve_class(maker_id, class_name))
    data = image.read_bytes()
    if not 1 <= len(data) <= class_.limits.image_bytes:
        raise Malformed(
            f"{image} has {len(data)} bytes; the class takes 1…{class_.limits.image_bytes}"
        )
    stored = _encodings(maker, class_, image, data)
    known = board.json(f"/v1/classes/{class_.id.hex()}/releases")
    row = _same_release(known, data, version, sequence)
    index: int | None = None
    receipt: Path | None = None
    number = int(row["sequence"]) if row else sequence or _next_sequence(known)
    manifest = encode_manifest(
        Manifest(
            sequence=number,
            vendor=vendor_id(maker_id),
            class_id=class_.id,
            components=(Component((b"image",), sha256(data).digest(), len(data)),),
        )
    )
    digest = manifest_digest(manifest)
    envelope = _sign_envelope(maker, manifest, digest)
    if len(envelope) > class_.limits.envelope_bytes:
        raise Misconfigured(
            f"the manifest has {len(envelope)} bytes; "
            f"the class takes {class_.limits.envelope_bytes}"
        )
    if row is None:
        index, receipt = _post(
            maker,
            board,
            ReleaseRecord(
                nonce=_nonce(maker, board),
                class_id=class_.id,
                sequence=number,
                version=version,
                manifest=digest,
                envelope_bytes=len(envelope),
                artifacts=tuple(artifact for artifact, _ in stored),
                sources=sources,
                kind=ReleaseKind.SECURITY if security else ReleaseKind.FEATURE,
            ),
        )
    _upload(board, digest, envelope, stored, as_json=as_json)
    show(
        {
            "class": class_.id.hex(),
            "sequence": number,
            "version": version,
            "manifest": digest.hex(),
            "image": sha256(data).hexdigest(),
            "image_bytes": len(data),
            "artifacts": [f"{a.encoding.name.lower()} {size(a.size)}" for a, _ in stored],
            "index": index,
            "receipt": str(receipt) if receipt else None,
        },
        as_json=as_json,
        title="Release published" if row is None else "Release complete",
    )
    note(f"next: fieldpost rollout set {class_name} --offer {number}=25%", as_json=as_json)


def _encodings(
    maker: MakerHome, class_: ClassRecord, image: Path, data: bytes
) -> list[tuple[Artifact, Path]]:
    digest = sha256(data).digest()
    plain = Artifact(digest=digest, size=len(data), encoding=Encoding.IDENTITY, image=digest)
    stored = [(plain, image)]
    if Encoding.ZSTD in class_.limits.encodings:
        path = _pack(maker, data)
        packed = path.read_bytes()
        if len(packed) <= len(data) * _LEAST_GAIN:
            artifact = Artifact(
                digest=sha256(packed).digest(),
                size=len(packed),
                encoding=Encoding.ZSTD,
                image=digest,
            )
            stored.append((artifact, path))
    return stored


def _pack(maker: MakerHome, data: bytes) -> Path:
    # Kept, because another version of the compressor may write other bytes, and an interrupted
    # upload must go on with those whose digest was posted.
    path = maker.path / "artifacts" / f"{sha256(data).hexdigest()}.zst"
    if not path.exists():
        packed = zstandard.ZstdCompressor(level=19, write_content_size=True).compress(data)
        durable.make_dirs(path.parent)
        durable.write_file(path, packed)
    return path


def _same_release(
    known: list[dict[str, Any]], data: bytes, version: str, sequence: int | None
) -> dict[str, Any] | None:
    image = sha256(data).hexdigest()
    for row in known:
        same = row["version"] == version and any(a["image"] == image for a in row["artifacts"])
        if same and sequence in (None, row["sequence"]):
            return row
        if sequence == row["sequence"]:
            raise Conflict(f"release {sequence} exists and is something else; choose a higher one")
    return None


def _next_sequence(known: list[dict[str, Any]]) -> int:
    return 1 + max((int(row["sequence"]) for row in known), default=0)


def _sign_envelope(maker: MakerHome, manifest: bytes, digest: bytes) -> bytes:
    path = maker.path / "manifests" / f"{digest.hex()}.suit"
    if path.exists():
        return path.read_bytes()
    signers = maker.signers(Role.RELEASE, most=maker.settings().release_threshold)
    blocks = tuple(sign_manifest(manifest, signer) for signer in signers)
    envelope = Envelope(manifest, blocks).encode()
    durable.make_dirs(path.parent)
    durable.write_file(path, envelope)
    return envelope


def _nonce(maker: MakerHome, board: Board) -> int:
    settings = maker.settings()
    (first, *_) = maker.signers(Role.RELEASE, most=1)
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
    signers = maker.signers(Role.RELEASE, most=settings.release_threshold)
    return publish(maker, board, sign_post(statement, signers))


def _upload(
    board: Board,
    digest: bytes,
    envelope: bytes,
    stored: list[tuple[Artifact, Path]],
    *,
    as_json: bool,
) -> None:
    upload_manifest(board.http, envelope, digest=digest)
    for artifact, path in stored:
        label = f"uploading {artifact.encoding.name.lower()} {size(artifact.size)}"
        with progress(label, artifact.size, as_json=as_json) as advance:
            upload_blob(board.http, path, digest=artifact.digest, progress=advance)


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
    """List the releases of a class, newest first."""
    maker = open_home(home, passphrase_file)
    board = Board(board_url) if board_url else bound_board(maker, as_json=as_json)
    mine = b"" if len(class_name) == 32 else bytes.fromhex(maker.settings().maker)
    class_ = resolve_class(mine, class_name)
    rows = board.json(f"/v1/classes/{class_.hex()}/releases")
    if as_json:
        table(rows, as_json=True, empty="")
        return
    shown = [
        {
            "sequence": row["sequence"],
            "version": row["version"],
            "kind": row["kind"],
            "manifest": row["manifest"][:16] + "…",
            "complete": "yes"
            if row["manifest_stored"] and all(a["stored"] for a in row["artifacts"])
            else "no",
            "withdrawn": row["withdrawn"],
        }
        for row in rows
    ]
    table(shown, as_json=False, empty="no release yet; `fieldpost release publish`")
