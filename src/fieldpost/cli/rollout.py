# SPDX-License-Identifier: Apache-2.0
"""`fieldpost rollout`: which devices of a channel are offered which release."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from fieldpost.cli.board_access import bound_board, publish
from fieldpost.cli.console import json_option, moment, note, show, table
from fieldpost.cli.device_class import choose_class, resolve_class
from fieldpost.cli.nonces import next_nonce
from fieldpost.cli.options import board_option, home_options, is_number, open_home, parse_share
from fieldpost.cli.views import ClassView, ReleaseRow, octets
from fieldpost.errors import Conflict, Malformed, Misconfigured, NotFound
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.head import Conditions, Offer
from fieldpost.records.maker import Role

_FIRST_INTERVAL_S: Final = 86_400


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
@click.option(
    "--channel", default="stable", show_default=True, help="Channel of the class that it is about."
)
@click.option(
    "--offer",
    "offers",
    multiple=True,
    metavar="SEQUENCE=SHARE",
    help="A release and the share of devices that get it, e.g. 2=25%. Repeatable.",
)
@click.option("--nothing", is_flag=True, help="Offer nothing from now on.")
@click.option(
    "--interval",
    type=click.IntRange(1),
    help="Seconds between two check-ins of a device.  [default: as it is; at first a day]",
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
    nothing: bool,
    interval: int | None,
    not_before: datetime | None,
    from_range: str | None,
    battery: int | None,
    urgency: int | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Set what a channel offers; replaces what it offered.

    --not-before, --from, --battery and --urgency apply to the newest offer. Refuses while the
    board's node lacks bytes that an offer needs, so that no device is offered what it cannot get.

    \b
    fieldpost rollout set bulb-a19:r2 --offer 2=25% --offer 1=100%
    fieldpost rollout set bulb-a19:r2 --offer 2=100%
    fieldpost rollout set bulb-a19:r2 --offer 2=0% --offer 1=100%     halts release 2
    """
    _check_asked(offers, nothing=nothing, narrowed=(not_before, from_range, battery, urgency))
    maker = open_home(home, passphrase_file)
    board = bound_board(maker, as_json=as_json)
    settings = maker.settings()
    class_ = resolve_class(bytes.fromhex(settings.maker), class_name)
    view = board.class_view(class_)
    if channel not in view.intervals:
        raise NotFound(f"{class_name} has no channel {channel}; it has {', '.join(view.intervals)}")
    if interval is None:
        interval = _usual_interval(view, channel)
    releases = {row.sequence: row for row in board.releases(class_)}
    parsed = _parse_offers(offers)
    built = []
    for place, (sequence, threshold) in enumerate(parsed):
        release = _find(releases, sequence)
        newest = place == 0
        built.append(
            Offer(
                sequence=sequence,
                manifest=octets(release.manifest),
                threshold=threshold,
                from_range=parse_range(from_range) if newest and from_range else None,
                not_before=_seconds(not_before) if newest and not_before else None,
                conditions=(
                    Conditions(battery_percent=battery, urgency=urgency)
                    if newest and (battery is not None or urgency is not None)
                    else None
                ),
            )
        )
    (signer,) = maker.signers(Role.ROLLOUT, 1)
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


def _check_asked(offers: tuple[str, ...], *, nothing: bool, narrowed: tuple[object, ...]) -> None:
    if nothing and offers:
        raise Misconfigured("--nothing and --offer exclude each other")
    if not nothing and not offers:
        raise Misconfigured("say what to offer: --offer SEQUENCE=SHARE, or --nothing at all")
    if nothing and any(item is not None for item in narrowed):
        raise Misconfigured("--not-before, --from, --battery and --urgency need an --offer")


def _usual_interval(view: ClassView, channel: str) -> int:
    if any(offer.channel == channel for offer in view.offers):
        return view.intervals[channel]
    bounds = decode_class_record(view.record)
    return min(max(_FIRST_INTERVAL_S, bounds.least_interval_s), bounds.most_interval_s)


def _seconds(moment_: datetime) -> int:
    return int(moment_.replace(tzinfo=UTC).timestamp())


def _percent(threshold: int) -> str:
    return f"{threshold / 2**32 * 100:g}%"


def _parse_offers(texts: tuple[str, ...]) -> list[tuple[int, int]]:
    parsed = sorted((parse_offer(text) for text in texts), reverse=True)
    sequences = [sequence for sequence, _ in parsed]
    for sequence in sequences:
        if sequences.count(sequence) > 1:
            raise Malformed(f"release {sequence} is offered twice; a release has one share")
    return parsed


def parse_offer(text: str) -> tuple[int, int]:
    """(sequence, threshold in 0…2^32) of `2=25%`. Raises Malformed."""
    sequence, equals, share = text.partition("=")
    if not equals or not is_number(sequence):
        raise Malformed(f"{text!r} is no offer; write SEQUENCE=SHARE, for example 2=25%")
    return int(sequence), parse_share(share)


def parse_range(text: str) -> tuple[int, int]:
    """(first, last) running sequence of `1-4`. Raises Malformed."""
    first, _, last = text.partition("-")
    if not (is_number(first) and is_number(last)) or int(first) > int(last):
        raise Malformed(f"{text!r} is no range; write MIN-MAX, for example 1-4")
    return int(first), int(last)


def _find(releases: dict[int, ReleaseRow], sequence: int) -> ReleaseRow:
    if sequence not in releases:
        published = ", ".join(map(str, sorted(releases))) or "none"
        raise NotFound(
            f"no release {sequence}; published are: {published} (`fieldpost release list`)"
        )
    release = releases[sequence]
    if release.missing:
        raise Conflict(
            f"release {sequence} is not complete on the node: {release.missing[0]} is missing; "
            "finish it with `fieldpost release publish` of the same file and version"
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
    r"""Show what every channel of a class offers now.

    \b
    fieldpost rollout show bulb-a19:r2
    """
    maker = open_home(home, passphrase_file)
    board, class_ = choose_class(class_name, maker=maker, board_url=board_url, as_json=as_json)
    rows = [
        {
            "channel": offer.channel,
            "sequence": offer.sequence,
            "share": _percent(offer.threshold),
            "not_before": None if offer.not_before is None else moment(offer.not_before),
            "interval_s": offer.interval_s,
            "changes": offer.changes,
        }
        for offer in board.class_view(class_).offers
    ]
    table(rows, as_json=as_json, empty="no channel offers anything yet; `fieldpost rollout set`")
