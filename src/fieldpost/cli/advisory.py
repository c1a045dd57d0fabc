# SPDX-License-Identifier: Apache-2.0
"""`fieldpost advisory`: what is known to be wrong with releases, numbered without gaps."""

import hashlib
from dataclasses import replace
from pathlib import Path
from time import time

import click

from fieldpost import cbor
from fieldpost.cli.acting import act
from fieldpost.cli.console import json_option, note, show, table
from fieldpost.cli.device_class import choose_class
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.cli.proven import ProvenBoard
from fieldpost.cli.rollout_conditions import parse_range
from fieldpost.cli.signing import export_option
from fieldpost.errors import Malformed, Untrusted
from fieldpost.posts import subjects
from fieldpost.records import map_keys
from fieldpost.records.advisory import Advisory, DocumentType, Severity, decode_advisory
from fieldpost.records.maker import Role


@click.group(name="advisory")
def command() -> None:
    r"""Say what is wrong with which releases, and read what others say.

    \b
    fieldpost advisory publish bulb-a19:r2 --cve CVE-2027-10001 --affected 1-2 --fixed-in 3 \
        --severity high --document advisory.json
    fieldpost advisory list bulb-a19:r2
    """


@command.command(name="publish")
@click.argument("class_name", metavar="CLASS")
@click.option("--cve", "cves", multiple=True, help="CVE id. Repeatable.")
@click.option(
    "--affected", required=True, multiple=True, metavar="MIN-MAX", help="Sequences. Repeatable."
)
@click.option("--fixed-in", type=click.IntRange(1), help="The release that mends it.")
@click.option(
    "--severity",
    required=True,
    type=click.Choice([level.name.lower() for level in Severity]),
    help="How bad it is for whoever is affected.",
)
@click.option("--exploited", is_flag=True, help="Somebody uses it already.")
@click.option(
    "--document",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What says more; its digest becomes public, you publish the file.",
)
@click.option(
    "--type",
    "kind",
    type=click.Choice([kind.name.lower() for kind in DocumentType]),
    default="csaf",
    show_default=True,
    help="What the document is.",
)
@click.option("--revise", "number", type=click.IntRange(1), help="Replace this advisory's words.")
@export_option
@home_options
@json_option
def publish_advisory(
    *,
    class_name: str,
    cves: tuple[str, ...],
    affected: tuple[str, ...],
    fixed_in: int | None,
    severity: str,
    exploited: bool,
    document: Path,
    kind: str,
    number: int | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Publish an advisory about releases of CLASS, or revise one.

    \b
    fieldpost advisory publish bulb-a19:r2 --affected 1-2 --severity low --document note.json
    fieldpost advisory publish bulb-a19:r2 --revise 1 --affected 1-2 --fixed-in 3 \
        --severity high --document advisory.json
    """
    acting = act(home, passphrase_file, as_json=as_json)
    class_, _ = acting.class_(class_name)
    place = number or 1 + count_advisories(acting.proven, class_.id)
    with document.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    advisory = Advisory(
        nonce=1,
        class_id=class_.id,
        number=place,
        cves=cves,
        affected=tuple(sorted(_span(text) for text in affected)),
        severity=Severity[severity.upper()],
        exploited=exploited,
        document_type=DocumentType[kind.upper()],
        document=digest,
        fixed_in=fixed_in,
    )
    decode_advisory(advisory.encode())
    posted = acting.post_in_role(
        Role.RELEASE,
        "advisory.publish",
        subjects.of_advisory(class_.id, place),
        lambda nonce: _numbered(advisory, nonce),
        export=export,
    )
    show(
        advisory_facts(advisory) | posted,
        as_json=as_json,
        title="Advisory published" if export is None else "To be signed elsewhere",
    )
    note(f"next: publish {document} where your customers look for it", as_json=as_json)


def _numbered(advisory: Advisory, nonce: int) -> bytes:
    return replace(advisory, nonce=nonce).encode()


def _span(text: str) -> tuple[int, int]:
    return parse_range(text if "-" in text else f"{text}-{text}")


def count_advisories(proven: ProvenBoard, class_id: bytes) -> int:
    """How many advisories a class has, proven."""
    value = proven.value(map_keys.advisories(class_id))
    count = 0 if value is None else cbor.decode(value)
    if type(count) is not int:
        raise Malformed("a count of advisories that no rule writes")
    return count


def read_advisories(proven: ProvenBoard, class_id: bytes) -> list[Advisory]:
    """All advisories of a class: proven, and proven to be all."""
    found = []
    for number in range(1, 1 + count_advisories(proven, class_id)):
        value = proven.value(map_keys.advisory(class_id, number))
        if value is None:
            raise Untrusted("bad-proof", f"advisory {number} is counted and absent")
        found.append(decode_advisory(value))
    return found


def advisory_facts(advisory: Advisory) -> dict[str, object]:
    """An advisory, for people and scripts."""
    return {
        "number": advisory.number,
        "cves": " ".join(advisory.cves) or None,
        "affected": ", ".join(f"{first}-{last}" for first, last in advisory.affected),
        "fixed_in": advisory.fixed_in,
        "severity": advisory.severity.name.lower(),
        "exploited": advisory.exploited,
        "document": f"{advisory.document_type.name.lower()} {advisory.document.hex()}",
    }


@command.command(name="list")
@click.argument("class_name", metavar="CLASS")
@click.option("--sequence", type=click.IntRange(1), help="Only those that affect this release.")
@board_option
@home_options
@json_option
def list_advisories(
    *,
    class_name: str,
    sequence: int | None,
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""List the advisories of a class; each is proven, and so is that there are no others.

    \b
    fieldpost advisory list bulb-a19:r2 --sequence 2
    fieldpost advisory list 271cd80f1b4b5ceabe1618c9fcf39d3b --board https://board.example
    """
    maker = open_home(home, passphrase_file)
    board, class_ = choose_class(class_name, maker=maker, board_urls=board_urls, as_json=as_json)
    proven = ProvenBoard(board, board.id, now=int(time()))
    rows = [
        advisory_facts(advisory)
        for advisory in read_advisories(proven, class_)
        if sequence is None or advisory.is_affected(sequence)
    ]
    table(rows, as_json=as_json, empty="no advisory, and the board proves that there is none")
