# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker use|links`: on several boards, and the links that belong to none of them."""

from pathlib import Path

import click

from fieldpost import cbor, durable
from fieldpost.agent.leaving import MOST_LINKS_BYTES
from fieldpost.cli.board_access import Board
from fieldpost.cli.bound_board import bound_board
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.options import home_options, open_home
from fieldpost.cli.own_chain import gather_chain
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.records.limits import MAX_ENTRY_BYTES


@click.command(name="use")
@click.argument("board_urls", metavar="URL...", nargs=-1, required=True)
@home_options
@json_option
def use(
    *,
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Act on another board where you are registered: classes, releases, rollouts and lots there.

    Where your devices are is said by your policy alone. URL may also be a new address of the same
    board, and several may be of its nodes: they take the place of those that you named before.

    \b
    fieldpost maker use https://second.example
    fieldpost maker use https://a.board.example https://b.board.example
    """
    maker = open_home(home, passphrase_file)
    asked = Board(*board_urls)
    if asked.id not in maker.settings().boards:
        raise NotFound(
            f"{asked.url} is {asked.id}, where this maker is not registered: "
            f"fieldpost maker register --board {asked.url}"
        )
    maker.bind(board_urls=[url.rstrip("/") for url in board_urls], board=asked.id)
    board = bound_board(maker, as_json=as_json)
    others = [urls[0] for id_, urls in maker.settings().boards.items() if id_ != asked.id]
    show(
        {"board": asked.id, "url": board.url, "urls": list(board.urls), "others": others},
        as_json=as_json,
        title="Commands act on this board now",
    )


@click.command(name="links")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write them to FILE, for your link URLs and `fieldpost agent follow`.",
)
@click.option("--since", type=click.IntRange(-1), default=-1, help="Write those after this epoch.")
@home_options
@json_option
def links(
    *, out: Path | None, since: int, home: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    r"""Show your links so far, and write the file that helps devices whose board died.

    Put the file at the link URLs of your policy, on a web server of your own, and do so again
    after every `maker rotate-keys` and `maker set-policy`. A device takes from it what is new to
    it. A further board takes all links in one entry, so there is a limit to how many can move.

    \b
    fieldpost maker links
    fieldpost maker links --out /var/www/fieldpost/links
    """
    maker = open_home(home, passphrase_file)
    boards = [Board(*urls) for urls in maker.settings().boards.values()]
    chain = gather_chain(maker, boards, as_json=as_json)
    if chain is None:
        raise NotFound("no link yet; `fieldpost maker register --board URL` makes the first")
    maker_id = bytes.fromhex(maker.settings().maker)
    facts: dict[str, object] = {
        "maker": maker_id.hex(),
        "links": [
            f"{step.record.epoch} {step.digest.hex()} on {step.board}" for step in chain.steps
        ],
        "policy_board": chain.record.policy.board,
        "moving_takes_bytes": chain.entry_bytes(maker_id, chain.record.policy.board),
        "most_bytes": MAX_ENTRY_BYTES,
    }
    if out is not None:
        entries = [
            e for e, s in zip(chain.entries, chain.steps, strict=True) if s.record.epoch > since
        ]
        data = cbor.encode(entries)
        if len(data) > MOST_LINKS_BYTES:
            raise Misconfigured(
                f"a links file of {len(data)} bytes, and devices read {MOST_LINKS_BYTES}: leave "
                "out links that every device has, with --since EPOCH"
            )
        durable.write_file(out, data)
        facts |= {"file": str(out), "bytes": len(data)}
    show(facts, as_json=as_json, title="Your links")
    if out is not None:
        urls = ", ".join(chain.record.policy.link_urls)
        where = urls or "a link URL of yours, and name that by `maker set-policy --link-url`"
        note(f"next: put {out} at {where}", as_json=as_json)


commands = (use, links)
