# SPDX-License-Identifier: Apache-2.0
"""`fieldpost verify`: judge one file with nothing but what its owner trusts already.

What a file is shows in its first bytes: a check-in bundle, a tlog-proof, a provisioning record,
evidence, or else an image, which is looked for among the releases of a class.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from fieldpost.checkin.belief import believe
from fieldpost.checkin.evidence import (
    MAX_EVIDENCE_BYTES,
    is_evidence,
    is_going_back,
    is_state_evidence,
)
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.cli.board_access import Board
from fieldpost.cli.console import json_option, moment, show
from fieldpost.cli.evidence import judge_evidence, judge_going_back, judge_state_evidence
from fieldpost.cli.links import verify_with_links
from fieldpost.cli.options import board_option
from fieldpost.errors import Misconfigured, Untrusted
from fieldpost.records import map_keys
from fieldpost.records.limits import MAX_ENTRY_BYTES, MAX_PROOF_BYTES
from fieldpost.records.release import decode_release_record

_PROVISIONING_BYTES: Final = 65_536
_RECEIPT_BYTES: Final = 512 * 1024


@click.command(name="verify")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--provisioning",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="For a check-in or an image: what a device trusts.",
)
@click.option("--channel", default="stable", show_default=True, help="For a check-in.")
@click.option("--now", type=int, help="Unix time to judge freshness at.  [default: this clock]")
@click.option(
    "--entry",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="For a tlog-proof: the post that it is about.",
)
@click.option(
    "--log",
    metavar="DIR|URL",
    help="For evidence of a wrong state: any copy of the board's log.",
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
    log: str | None,
    board_urls: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Verify FILE: a check-in, a tlog-proof, a provisioning record, evidence, or an image.

    Who handed you the file does not matter. Freshness is judged by this machine's clock, or --now.

    \b
    curl -so checkin.cbor https://board.example/v1/checkin/CLASS/stable
    fieldpost verify checkin.cbor --provisioning bulb.provisioning
    fieldpost verify bulb.provisioning
    fieldpost verify split-view.evidence
    fieldpost verify 1207-refused.evidence --log https://board.example
    fieldpost verify firmware.bin --provisioning bulb.provisioning
    fieldpost verify ~/.fieldpost/sent/000003-release.publish.tlog-proof --board URL
    """
    moment_ = int(time.time()) if now is None else now
    start = _read(file, 256)
    if start.startswith(b"c2sp.org/tlog-proof@"):
        facts = _verify_proof(file, entry, board_urls)
    elif is_state_evidence(start):
        facts = judge_state_evidence(_read(file, MAX_EVIDENCE_BYTES + 1), log, board_urls)
    elif is_going_back(start):
        facts = judge_going_back(_read(file, MAX_EVIDENCE_BYTES + 1), board_urls)
    elif is_evidence(start):
        facts = judge_evidence(_read(file, MAX_EVIDENCE_BYTES + 1), board_urls)
    elif start.startswith(b"\x86\x01"):
        facts = _verify_checkin(file, provisioning, channel, moment_, board_urls)
    elif start[:1] in (b"\xd2", b"\xd8") and b"fieldpost.provisioning" in start:
        facts = _verify_provisioning(file)
    else:
        facts = _verify_image(file, provisioning, board_urls, moment_)
    show({"file": str(file)} | facts, as_json=as_json, title="Verified")


def _read(file: Path, most: int) -> bytes:
    """At most `most` bytes; one more than a limit is enough to be refused."""
    with file.open("rb") as opened:
        return opened.read(most)


def _verify_proof(file: Path, entry: Path | None, board_urls: tuple[str, ...]) -> dict[str, object]:
    post = entry or file.with_suffix(".cose")
    if not post.exists():
        raise Misconfigured(f"a tlog-proof is about a post; name it with --entry ({post}?)")
    if not board_urls:
        raise Misconfigured("name the board whose keys shall judge it: --board URL")
    board = Board(*board_urls)
    receipt = _read(file, _RECEIPT_BYTES)
    index = board.verify_receipt(_read(post, MAX_ENTRY_BYTES + 1), receipt)
    return {"is": "a receipt", "of": str(post), "board": board.id, "index": index}


def _verify_checkin(
    file: Path, provisioning: Path | None, channel: str, now: int, board_urls: tuple[str, ...]
) -> dict[str, object]:
    if provisioning is None:
        raise Misconfigured("a check-in is judged by what a device trusts: --provisioning FILE")
    belief, record = believe(_read(provisioning, _PROVISIONING_BYTES))
    data = _read(file, MAX_PROOF_BYTES + 1)

    def verify(board: Sequence[bytes], maker: Sequence[bytes]) -> Verified:
        return verify_bundle(
            belief,
            data,
            key=map_keys.head(record.class_id, channel),
            now=now,
            least_time=record.least_time,
            board_links=board,
            maker_links=maker,
            most_bytes=MAX_PROOF_BYTES,
        )

    board = Board(*board_urls) if board_urls else None
    verified = verify_with_links(verify, maker=belief.maker, board=board)
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
            f"{offer.sequence} to {offer.threshold / 2**32 * 100:g}%"
            for offer in verified.head.offers
        ],
    }


def _verify_provisioning(file: Path) -> dict[str, object]:
    belief, record = believe(_read(file, _PROVISIONING_BYTES))
    return {
        "is": "a provisioning record, signed by the maker's roots",
        "board": belief.board,
        "maker": f"{belief.maker.hex()} ({belief.maker_view().name}, domain unverified)",
        "class": record.class_id.hex(),
        "channels": list(record.channels),
        "urls": list(record.urls),
    }


def _verify_image(
    file: Path, provisioning: Path | None, board_urls: tuple[str, ...], now: int
) -> dict[str, object]:
    if provisioning is None:
        raise Misconfigured(
            "this looks like an image; say what a device trusts: --provisioning FILE"
        )
    belief, record = believe(_read(provisioning, _PROVISIONING_BYTES))
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").digest()
    board = Board(*(board_urls or record.urls))
    sequence = _find_image(board, record.class_id, digest)
    # The list only said where to look; what counts is the record, proven under the board's quorum.
    key = map_keys.release(record.class_id, sequence)
    path = f"/v1/proof/{key.hex()}?maker={belief.maker.hex()}"

    def judge(bundle: bytes) -> Verified:
        def verify(board_links: Sequence[bytes], maker_links: Sequence[bytes]) -> Verified:
            return verify_bundle(
                belief,
                bundle,
                key=key,
                now=now,
                least_time=record.least_time,
                board_links=board_links,
                maker_links=maker_links,
                head=False,
            )

        return verify_with_links(verify, maker=belief.maker, board=board)

    verified = board.fetch(path, most_bytes=MAX_PROOF_BYTES, judge=judge)
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
        "stale": verified.stale,
        "sha256": digest.hex(),
    }


def _find_image(board: Board, class_: bytes, digest: bytes) -> int:
    for row in board.releases(class_):
        if row.has_image(digest):
            return row.sequence
    raise Untrusted(
        "unknown-image",
        f"no release of class {class_.hex()} on {board.url} has this image "
        f"(SHA-256 {digest.hex()}); a file of another kind is taken for one, too",
    )
