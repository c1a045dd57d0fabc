# SPDX-License-Identifier: Apache-2.0
"""`fieldpost rollout`: which devices of a channel are offered which release."""

from pathlib import Path
from typing import Any

import click

from fieldpost.cli.board_access import Board, bound_board, publish
from fieldpost.cli.console import json_option, moment, note, show, table
from fieldpost.cli.device_class import read_class, resolve_class
from fieldpost.cli.nonces import next_nonce
from fieldpost.cli.options import board_option, home_options, open_home, parse_share
from fieldpost.errors import Conflict, Malformed, NotFound
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records.head import Conditions, Offer
from fieldpost.records.maker import Role


@click.group(name="rollout")
def command() -> None:
    r"""Say which devices are offered which release.

    A device takes the first offer, newest first, that is for it. A share is of devices, chosen by
    a public lottery that nobody can steer per device; it only grows, or falls to 0 to halt.

    \b
    fieldpost rollout set bulb-a19:r2 --offer 2=25% --offer 1=100%
    fieldpost rollout set bulb-a19:r2 --offer 2=100%
    """


@command.command(name="set")
@click.argument("class_name", metavar="CLASS")
@click.option("--channel", default="stable", show_default=True)
@click.option(
    "--offer",
    "offers",
    multiple=True,
    metavar="SEQUENCE=SHARE",
    help="A release and the share of devices that get it, e.g. 2=25%. Repeatable.",
)
@click.option(
    "--interval",
    default=86_400,
    show_default=True,
    type=click.IntRange(1),
    help="Seconds between two check-ins of a device.",
)
@click.option("--not-before", type=click.DateTime(), help="UTC time before which nobody installs.")
@click.option("--from", "from_range", metavar="MIN-MAX", help="Running sequences it is for.")
@click.option("--battery", type=click.IntRange(0, 100), help="Least battery charge in percent.")
@click.option("--urgency", type=click.IntRange(0, 3), help="0 = whenever, 3 = now.")
@home_options
@json_option
def set_rollout(
    *,
    class_name: str,
    channel: str,
    offers: tuple[str, ...],
    interval: int,
    not_before: Any,
    from_range: str | None,
    battery: int | None,
    urgency: int | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Set what a channel offers; replaces what it offered. No --offer offers nothing.

    Conditions apply to the newest offer. Refuses while the board's node lacks bytes that an offer
    needs.
    """
    maker = open_home(home, passphrase_file)
    board = bound_board(maker, as_json=as_json)
    settings = maker.settings()
    class_ = resolve_class(bytes.fromhex(settings.maker), class_name)
    read_class(board, class_)
    releases = {row["sequence"]: row for row in board.json(f"/v1/classes/{class_.hex()}/releases")}
    parsed = sorted((_parse_offer(text) for text in offers), reverse=True)
    built = []
    for place, (sequence, threshold) in enumerate(parsed):
        release = _find(releases, sequence)
        newest = place == 0
        built.append(
            Offer(
                sequence=sequence,
                manifest=bytes.fromhex(release["manifest"]),
                threshold=threshold,
                from_range=_parse_range(from_range) if newest and from_range else None,
                not_before=_seconds(not_before) if newest and not_before else None,
                conditions=(
                    Conditions(battery_percent=battery, urgency=urgency)
                    if newest and (battery is not None or urgency is not None)
                    else None
                ),
            )
        )
    (signer,) = maker.signers(Role.ROLLOUT, most=1)
    rollout = RolloutSet(
        nonce=next_nonce(
            board,
            maker=bytes.fromhex(settings.maker),
            role=Role.ROLLOUT,
            key=signer.public_key,
            threshold=1,
        ),
        class_id=class_,
        channel=channel,
        offers=tuple(built),
        interval_s=interval,
    )
    statement = Statement(
        kind="rollout.set",
        issuer=settings.maker,
        subject=subjects.of_channel(class_, channel),
        audience=board.id,
        payload=rollout.encode(),
    )
    index, receipt = publish(maker, board, sign_post(statement, [signer]))
    show(
        {
            "class": class_.hex(),
            "channel": channel,
            "offers": [f"{sequence}={_percent(share)}" for sequence, share in parsed],
            "interval_s": interval,
            "index": index,
            "receipt": str(receipt),
        },
        as_json=as_json,
        title="Rollout set",
    )
    note(f"next: fieldpost fleet status {class_name}", as_json=as_json)


def _seconds(moment_: Any) -> int:
    from datetime import UTC

    return int(moment_.replace(tzinfo=UTC).timestamp())


def _percent(threshold: int) -> str:
    return f"{threshold / 2**32 * 100:g}%"


def _parse_offer(text: str) -> tuple[int, int]:
    sequence, equals, share = text.partition("=")
    if not equals or not sequence.isdigit():
        raise Malformed(f"{text!r} is no offer; write SEQUENCE=SHARE, for example 2=25%")
    return int(sequence), parse_share(share)


def _parse_range(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash or not first.isdigit() or not last.isdigit() or int(first) > int(last):
        raise Malformed(f"{text!r} is no range; write MIN-MAX, for example 1-4")
    return int(first), int(last)


def _find(releases: dict[int, Any], sequence: int) -> Any:
    if sequence not in releases:
        raise NotFound(
            f"no release {sequence}; published are {sorted(releases)} (`fieldpost release list`)"
        )
    release = releases[sequence]
    missing = [a["digest"][:12] for a in release["artifacts"] if not a["stored"]]
    if missing or not release["manifest_stored"]:
        what = f"artifact {missing[0]}…" if missing else "the manifest"
        raise Conflict(
            f"release {sequence} is not complete on the node: {what} is missing; finish it with "
            "`fieldpost release publish` of the same file"
        )
    return release


@command.command(name="show")
@click.argument("class_name", metavar="CLASS")
@board_option
@home_options
@json_option
def show_rollout(
    *,
    class_name: str,
    board_url: str | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Show what every channel of a class offers now."""
    maker = open_home(home, passphrase_file)
    board = Board(board_url) if board_url else bound_board(maker, as_json=as_json)
    mine = b"" if len(class_name) == 32 else bytes.fromhex(maker.settings().maker)
    view = board.json(f"/v1/classes/{resolve_class(mine, class_name).hex()}")
    rows = [
        {
            "channel": channel,
            "sequence": offer["sequence"],
            "share": _percent(offer["threshold"]),
            "not_before": moment(offer["not_before"]) if offer.get("not_before") else None,
            "interval_s": head["interval_s"],
            "changes": head["change_count"],
        }
        for channel, head in view["channels"].items()
        for offer in head["offers"]
    ]
    table(rows, as_json=as_json, empty="no channel offers anything yet")
