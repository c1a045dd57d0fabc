# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker show`: what a board says of a maker, every word of it proven on the spot."""

from pathlib import Path
from time import time

import click

from fieldpost import cbor
from fieldpost.cli.board_access import Board
from fieldpost.cli.board_memory import own_urls
from fieldpost.cli.console import json_option, moment, note, show
from fieldpost.cli.options import HexId, board_option, home_options, open_home
from fieldpost.cli.proven import ProvenBoard
from fieldpost.cli.words import describe_keys
from fieldpost.errors import NotFound
from fieldpost.records import map_keys
from fieldpost.records.counters import Link, decode_attestation
from fieldpost.records.maker import decode_maker_record


@click.command(name="show")
@click.argument("maker_id", type=HexId(16), required=False)
@board_option
@home_options
@json_option
def show_maker(
    *,
    maker_id: bytes | None,
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Show a maker as the board has it: yourself, or MAKER_ID on --board.

    Record, domain and classes come with their proofs, under the quorum of the board. A domain
    counts from when operators attest it until the maker's keys change.

    \b
    fieldpost maker show
    fieldpost maker show 31d420b9249109f599e03c14b37ce0a4 --board https://board.example
    """
    maker = open_home(home, passphrase_file)
    board_id = None
    if maker_id is None or not board_urls:
        settings = maker.settings()
        maker_id = maker_id or bytes.fromhex(settings.maker)
        if not board_urls:
            board_urls, board_id = own_urls(maker), settings.board
    if not board_urls:
        note("next: fieldpost maker register --board URL", as_json=as_json)
        show(
            {"maker": maker_id.hex(), "registered": False, "home": str(maker.path)},
            as_json=as_json,
            title="Not registered yet",
        )
        return
    board = Board(*board_urls)
    proven = ProvenBoard(board, board_id or board.id, now=int(time()))
    facts = _facts(proven, maker_id)
    if as_json:
        show(facts, as_json=True)
        return
    told = {name: facts[name] for name in ("maker", "board", "epoch", "link", "policy_board")}
    keys = describe_keys(decode_maker_record(bytes.fromhex(str(facts["record"]))))
    show(
        told | _domain_words(facts) | {"classes": facts["classes"]} | keys,
        as_json=False,
        title=_name(facts),
    )


def _name(facts: dict[str, object]) -> str:
    return str(facts["name"])


def _facts(proven: ProvenBoard, maker_id: bytes) -> dict[str, object]:
    key = map_keys.maker(maker_id)
    value, link = proven.value(key), proven.link(key)
    if value is None or link is None:
        raise NotFound(f"the board proves that it has no maker {maker_id.hex()}")
    record = decode_maker_record(value)
    listed = proven.value(map_keys.maker_classes(maker_id))
    classes = () if listed is None else cbor.decode(listed)
    assert isinstance(classes, tuple)
    return {
        "maker": maker_id.hex(),
        "board": proven.id,
        "name": record.name,
        "epoch": link.epoch,
        "link": link.digest.hex(),
        "policy_board": record.policy.board,
        "record": value.hex(),
        "classes": [item.hex() for item in classes if isinstance(item, bytes)],
        **_domain(proven, maker_id, link),
    }


def _domain(proven: ProvenBoard, maker_id: bytes, link: Link) -> dict[str, object]:
    value = proven.value(map_keys.domain_of_maker(maker_id))
    given = None if value is None else decode_attestation(value)
    if given is None:
        return {"domain": "unverified", "domain_attested": None, "domain_lapsed": None}
    if given.epoch != link.epoch:
        return {"domain": "unverified", "domain_attested": None, "domain_lapsed": given.domain}
    return {"domain": given.domain, "domain_attested": given.time, "domain_lapsed": None}


def _domain_words(facts: dict[str, object]) -> dict[str, object]:
    match facts:
        case {"domain_attested": int(when), "domain": domain}:
            return {"domain": f"{domain} (operators saw it, {moment(when)})"}
        case {"domain_lapsed": str(lapsed)}:
            return {"domain": f"unverified ({lapsed} was attested to former keys)"}
    return {"domain": "unverified"}


commands = (show_maker,)
