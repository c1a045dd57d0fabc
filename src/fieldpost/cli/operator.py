# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator`: what whoever runs a board's node says of board, makers and blobs."""

from pathlib import Path

import click

from fieldpost.cli.ceremony import Needed
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.domain_proof import DNS, WEB, check_domain_proof, domain_line
from fieldpost.cli.operator_desk import Desk, desk_options
from fieldpost.cli.options import HexId
from fieldpost.cli.signing import export_option
from fieldpost.errors import Conflict, NotFound
from fieldpost.posts import subjects
from fieldpost.posts.attestation import MakerAttest
from fieldpost.posts.blob import BlobGone
from fieldpost.records import map_keys
from fieldpost.records.identifiers import check_domain
from fieldpost.records.maker import decode_maker_record


@click.group(name="operator")
def command() -> None:
    r"""Act as an operator of a board, with the keys of your node's data folder.

    \b
    fieldpost operator board-set --data ./board --board URL --admission endorsed
    fieldpost operator attest MAKER acme.example --data ./board --board URL
    """


@command.command()
@click.argument("maker", type=HexId(16))
@click.argument("domain")
@click.option(
    "--how",
    type=click.Choice([DNS, WEB]),
    default=WEB,
    show_default=True,
    help="Where the domain's owner shows the line.",
)
@click.option("--seen", is_flag=True, help="You saw the line yourself; do not look again.")
@export_option
@desk_options
@json_option
def attest(
    *,
    maker: bytes,
    domain: str,
    how: str,
    seen: bool,
    export: Path | None,
    data: Path,
    board_urls: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Attest that MAKER, with its keys of now, controls DOMAIN. Looks there first.

    The maker publishes the line of `fieldpost maker domain`, in DNS or under its web server.

    \b
    fieldpost operator attest 9f1f… acme.example --how dns --data ./board --board URL
    """
    check_domain(domain)
    desk = Desk(data, board_urls, as_json=as_json)
    key = map_keys.maker(maker)
    value, link = desk.proven.value(key), desk.proven.link(key)
    if value is None or link is None:
        raise NotFound(f"the board proves that there is no maker {maker.hex()}")
    line = domain_line(maker, decode_maker_record(value))
    if not seen:
        check_domain_proof(domain, line, how=how)
    payload = MakerAttest(
        nonce=desk.next_nonce(), maker=maker, epoch=link.epoch, domain=domain
    ).encode()
    posted = desk.post(
        "maker.attest",
        subjects.of_maker(maker),
        payload,
        [
            Needed("issuing operator", 1, (desk.operator.governance_key,)),
            desk.operators((len(desk.record.operators) - 1) // 3 + 1),
        ],
        export=export,
    )
    show(
        {"maker": maker.hex(), "epoch": link.epoch, "domain": domain, "seen": line} | posted,
        as_json=as_json,
        title="Attested" if export is None else "To be signed by other operators",
    )


@command.command(name="blob-gone")
@click.argument("digest", type=HexId(32))
@click.option("--reason", required=True, help="Why, for everybody and for ever.")
@desk_options
@json_option
def blob_gone(
    *, digest: bytes, reason: str, data: Path, board_urls: tuple[str, ...], as_json: bool
) -> None:
    r"""Say that you no longer serve a blob, and why. The entry that names it stays.

    \b
    fieldpost operator blob-gone 577e… --reason "court order 12/2027" --data ./board --board URL
    """
    desk = Desk(data, board_urls, as_json=as_json)
    if desk.proven.value(map_keys.gone(desk.operator.name, digest)) is not None:
        raise Conflict(f"{desk.operator.name} has said so already")
    payload = BlobGone(nonce=desk.next_nonce(), digest=digest, reason=reason).encode()
    posted = desk.post(
        "blob.gone",
        subjects.of_blob(digest),
        payload,
        [Needed("operator", 1, (desk.operator.governance_key,))],
        export=None,
    )
    show(
        {"blob": digest.hex(), "reason": reason} | posted,
        as_json=as_json,
        title="Said on the board",
    )
    note("next: remove the file from DATA/blobs; the post alone does not", as_json=as_json)


@command.command(name="import")
@click.argument(
    "files",
    metavar="SIGS...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@desk_options
@json_option
def import_signatures(
    *, files: tuple[Path, ...], data: Path, board_urls: tuple[str, ...], as_json: bool
) -> None:
    r"""Bring back other operators' signatures; post as soon as they suffice.

    \b
    fieldpost operator import berlin.signatures --data ./board --board URL
    """
    desk = Desk(data, board_urls, as_json=as_json)
    added = [desk.ceremonies.add(path.read_bytes()) for path in files]
    for request, signatures in {request.digest: (request, s) for request, s in added}.values():
        facts = request.title
        missing = request.lacks(signature.kid for signature in signatures)
        if missing:
            show(facts | {"still_needed": missing}, as_json=as_json, title="Not enough yet")
            continue
        facts |= desk.send(request.assemble(signatures))
        desk.ceremonies.close(request.digest)
        desk.settle_after()
        show(facts, as_json=as_json, title="Posted")
