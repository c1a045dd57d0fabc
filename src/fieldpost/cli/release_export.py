# SPDX-License-Identifier: Apache-2.0
"""`fieldpost release export`: an update in one file, for devices that have no network.

The file is what a device would have fetched: the check-in, every link of board and maker, the
manifest, the proof of the release, one form of each image. `fieldpost agent apply FILE` makes the
same checks as online, so whoever carries the file need not be trusted.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from time import time

import click

from fieldpost import durable
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.offline_bundle import OfflineBundle, encode_offline_bundle
from fieldpost.cli.board_access import Board
from fieldpost.cli.console import json_option, note, show, size
from fieldpost.cli.device_class import choose_class
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.cli.proven import ProvenBoard
from fieldpost.cli.refusals import name_all
from fieldpost.cli.resigning import fetch_envelope
from fieldpost.client.sources import Failure
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, NotFound, Unavailable, Untrusted
from fieldpost.records import map_keys
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.head import Offer, decode_head
from fieldpost.records.limits import MAX_ENVELOPE_BYTES, MAX_PROOF_BYTES
from fieldpost.records.release import Artifact, ReleaseRecord, decode_release_record


@click.command(name="export")
@click.argument("class_name", metavar="CLASS")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write."
)
@click.option("--channel", default="stable", show_default=True, help="Channel whose offer it is.")
@click.option("--sequence", type=click.IntRange(1), help="Which offer.  [default: the newest]")
@board_option
@home_options
@json_option
def export(
    *,
    class_name: str,
    out: Path,
    channel: str,
    sequence: int | None,
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Write what a channel offers of CLASS to one file, for `fieldpost agent apply`.

    It is as fresh as now: devices with a clock refuse it once it is older than your policy says.

    \b
    fieldpost release export bulb-a19:r2 --out bulb-1.1.0.update
    """
    maker = open_home(home, passphrase_file)
    board, class_ = choose_class(class_name, maker=maker, board_urls=board_urls, as_json=as_json)
    proven = ProvenBoard(board, board.id, now=int(time()))
    record = proven.value(map_keys.device_class(class_))
    if record is None:
        raise NotFound(f"the board has no class {class_.hex()}")
    owner = decode_class_record(record).maker
    check_in = board.fetch(
        f"/v1/checkin/{class_.hex()}/{channel}", most_bytes=MAX_PROOF_BYTES, judge=_parsed
    )
    offer = _offer(check_in, channel, sequence)
    release = _release(proven, class_, offer)
    key = map_keys.release(class_, offer.sequence)
    chosen = _smallest(release)
    envelope = fetch_envelope(board, offer.manifest, most_bytes=MAX_ENVELOPE_BYTES).encode()
    bundle = OfflineBundle(
        check_in=check_in,
        board_links=tuple(board.links("/v1/board")),
        maker_links=tuple(board.links(f"/v1/makers/{owner.hex()}/links")),
        envelope=envelope,
        release_proof=board.fetch(
            f"/v1/proof/{key.hex()}?maker={owner.hex()}", most_bytes=MAX_PROOF_BYTES, judge=_parsed
        ),
    )
    written = _write(board, bundle, chosen, out)
    show(
        {
            "file": str(out),
            "bytes": written,
            "class": class_.hex(),
            "channel": channel,
            "sequence": release.sequence,
            "version": release.version,
            "artifacts": [f"{a.encoding.name.lower()} {size(a.size)}" for a in chosen],
        },
        as_json=as_json,
        title="Update exported",
    )
    note(f"next, on the device: fieldpost agent apply {out}", as_json=as_json)


def _parsed(bundle: bytes) -> bytes:
    """A bundle that is at least one; the device verifies it."""
    decode_bundle(bundle, most_bytes=MAX_PROOF_BYTES)
    return bundle


def _offer(check_in: bytes, channel: str, sequence: int | None) -> Offer:
    value = decode_bundle(check_in, most_bytes=MAX_PROOF_BYTES).value
    offers = () if value is None else decode_head(value).offers
    for offer in offers:
        if sequence in (None, offer.sequence):
            return offer
    offered = [offer.sequence for offer in offers] or "nothing"
    raise NotFound(f"{channel} offers {offered}; offer it with `fieldpost rollout set` first")


def _release(proven: ProvenBoard, class_id: bytes, offer: Offer) -> ReleaseRecord:
    value = proven.value(map_keys.release(class_id, offer.sequence))
    release = None if value is None else decode_release_record(value)
    if release is None or release.manifest != offer.manifest:
        raise Untrusted("wrong-manifest", f"the offer of {offer.sequence} names no proven release")
    return release


def _smallest(release: ReleaseRecord) -> list[Artifact]:
    """One form of each image that needs no base."""
    by_image: dict[bytes, Artifact] = {}
    for artifact in release.artifacts:
        known = by_image.get(artifact.image)
        if artifact.base is None and (known is None or artifact.size < known.size):
            by_image[artifact.image] = artifact
    return list(by_image.values())


def _write(board: Board, bundle: OfflineBundle, chosen: list[Artifact], out: Path) -> int:
    part = out.with_name(out.name + ".part")
    artifacts = [(artifact.size, _fetch(board, artifact)) for artifact in chosen]
    with part.open("wb") as file:
        for piece in encode_offline_bundle(bundle, artifacts):
            file.write(piece)
        written = file.tell()
    durable.publish(part, out)
    return written


def _fetch(board: Board, artifact: Artifact) -> Iterator[bytes]:
    """The stored bytes, from the nodes that have them: each goes on where the one before ended."""
    digest, count = sha256(), 0
    path = f"/v1/blobs/sha256/{artifact.digest.hex()}"
    failures: list[Failure] = []
    for url in board.urls:
        try:
            with (
                HttpClient(url) as client,
                client.stream(path, offset=count, most_bytes=artifact.size) as download,
            ):
                if download.start != count:
                    raise Unavailable(f"{url}{path} does not go on at byte {count}")
                for chunk in download.chunks:
                    digest.update(chunk)
                    count += len(chunk)
                    yield chunk
        except FieldpostError as error:
            failures.append(Failure(url, error))
        if count == artifact.size:
            break
    else:
        raise name_all(failures)
    if digest.digest() != artifact.digest:
        raise Unavailable(f"{path} has other bytes there; ask another node: --board URL")


commands = (export,)
