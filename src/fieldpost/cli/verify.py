# SPDX-License-Identifier: Apache-2.0
"""`fieldpost verify`: judge one file with nothing but what its owner trusts already.

What a file is shows in its first bytes: a check-in bundle, a tlog-proof, a provisioning record, or
else an image, which is looked for among the releases of a class.
"""

import hashlib
from pathlib import Path

import click

from fieldpost.checkin.belief import believe
from fieldpost.checkin.verify import verify_bundle
from fieldpost.cli.board_access import Board
from fieldpost.cli.console import json_option, moment, show
from fieldpost.cli.options import board_option
from fieldpost.errors import Misconfigured, Untrusted
from fieldpost.records import map_keys
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.records.release import decode_release_record


@click.command(name="verify")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--provisioning",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="For a check-in or an image: what a device trusts.",
)
@click.option("--channel", default="stable", show_default=True, help="For a check-in.")
@click.option("--now", type=int, help="For a check-in: Unix time to judge freshness at.")
@click.option(
    "--entry",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="For a tlog-proof: the post that it is about.",
)
@board_option
@json_option
def command(
    *,
    file: Path,
    provisioning: Path | None,
    channel: str,
    now: int | None,
    entry: Path | None,
    board_url: str | None,
    as_json: bool,
) -> None:
    r"""Verify FILE: a check-in, a tlog-proof, a provisioning record, or an image.

    \b
    fieldpost verify bulb.provisioning
    fieldpost verify checkin.cbor --provisioning bulb.provisioning
    fieldpost verify sent/000003-release.publish.tlog-proof --board URL
    fieldpost verify firmware.bin --provisioning bulb.provisioning
    """
    with file.open("rb") as opened:
        start = opened.read(64)
    if start.startswith(b"c2sp.org/tlog-proof@v1\n"):
        facts = _verify_proof(file, entry, board_url)
    elif start.startswith(b"\x86\x01"):
        facts = _verify_checkin(file, provisioning, channel, now)
    elif start[:1] in (b"\xd2", b"\xd8") and b"fieldpost.provisioning" in file.read_bytes()[:256]:
        facts = _verify_provisioning(file)
    else:
        facts = _verify_image(file, provisioning, board_url, now)
    show({"file": str(file)} | facts, as_json=as_json, title="Verified")


def _verify_proof(file: Path, entry: Path | None, board_url: str | None) -> dict[str, object]:
    post = entry or file.with_suffix(".cose")
    if not post.exists():
        raise Misconfigured(f"a tlog-proof is about a post; name it with --entry ({post}?)")
    if board_url is None:
        raise Misconfigured("name the board whose keys shall judge it: --board URL")
    board = Board(board_url)
    index = board.verify_receipt(post.read_bytes(), file.read_bytes())
    return {"is": "a receipt", "of": str(post), "board": board.id, "index": index}


def _verify_checkin(
    file: Path, provisioning: Path | None, channel: str, now: int | None
) -> dict[str, object]:
    if provisioning is None:
        raise Misconfigured("a check-in is judged by what a device trusts: --provisioning FILE")
    belief, record = believe(provisioning.read_bytes())
    verified = verify_bundle(
        belief,
        file.read_bytes()[: MAX_PROOF_BYTES + 1],
        key=map_keys.head(record.class_id, channel),
        now=now,
        least_time=record.least_time,
    )
    if verified.head is None:
        raise Untrusted("not-found", f"the board proves that there is no channel {channel}")
    return {
        "is": "a check-in",
        "board": belief.board,
        "class": record.class_id.hex(),
        "channel": channel,
        "proven_at": moment(verified.timestamp),
        "stale": verified.stale,
        "offers": [
            f"{offer.sequence} to {offer.threshold / 2**32:.0%}" for offer in verified.head.offers
        ],
    }


def _verify_provisioning(file: Path) -> dict[str, object]:
    belief, record = believe(file.read_bytes())
    return {
        "is": "a provisioning record, signed by the maker's roots",
        "board": belief.board,
        "maker": f"{belief.maker.hex()} ({belief.maker_view().name}, domain unverified)",
        "class": record.class_id.hex(),
        "channels": list(record.channels),
        "urls": list(record.urls),
    }


def _verify_image(
    file: Path, provisioning: Path | None, board_url: str | None, now: int | None
) -> dict[str, object]:
    if provisioning is None:
        raise Misconfigured(
            "this looks like an image; say what a device trusts: --provisioning FILE"
        )
    belief, record = believe(provisioning.read_bytes())
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").digest()
    board = Board(board_url or record.urls[0])
    for row in board.json(f"/v1/classes/{record.class_id.hex()}/releases"):
        if any(artifact["image"] == digest.hex() for artifact in row["artifacts"]):
            break
    else:
        raise Untrusted("unknown-image", f"no release of {record.class_id.hex()} has this image")
    # The list only said where to look; what counts is the record, proven under the board's quorum.
    key = map_keys.release(record.class_id, int(row["sequence"]))
    bundle = board.http.fetch(f"/v1/proof/{key.hex()}", most_bytes=MAX_PROOF_BYTES)
    verified = verify_bundle(
        belief, bundle, key=key, now=now, least_time=record.least_time, head=False
    )
    release = None if verified.value is None else decode_release_record(verified.value)
    if release is None or digest not in {artifact.image for artifact in release.artifacts}:
        raise Untrusted("unknown-image", "the board does not prove a release with this image")
    return {
        "is": "an image of a published release",
        "class": record.class_id.hex(),
        "sequence": release.sequence,
        "version": release.version,
        "kind": release.kind.name.lower(),
        "proven_at": moment(verified.timestamp),
        "sha256": digest.hex(),
    }
