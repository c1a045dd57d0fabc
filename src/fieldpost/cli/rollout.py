# SPDX-License-Identifier: Apache-2.0
"""`fieldpost rollout`: which devices of a channel are offered which release."""

from pathlib import Path
from typing import Any, Final

import click

from fieldpost.cli.acting import act
from fieldpost.cli.console import json_option, moment, note, show, table
from fieldpost.cli.device_class import choose_class, resolve_class
from fieldpost.cli.options import (
    board_option,
    format_share,
    home_options,
    is_number,
    open_home,
    parse_share,
)
from fieldpost.cli.rollout_conditions import is_narrowed, narrow, offer_options
from fieldpost.cli.signing import export_option
from fieldpost.cli.views import ClassView, ReleaseRow, octets
from fieldpost.errors import Conflict, Malformed, Misconfigured, NotFound
from fieldpost.posts import subjects
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.head import Offer
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
@offer_options
@export_option
@home_options
@json_option
def set_rollout(
    *,
    class_name: str,
    channel: str,
    offers: tuple[str, ...],
    nothing: bool,
    interval: int | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
    **narrowed: Any,
) -> None:
    r"""Set what a channel offers; replaces what it offered.

    Options from --not-before to --window apply to the newest offer. Refuses while the board's node
    lacks bytes that an offer needs, so that no device is offered what it cannot get.

    \b
    fieldpost rollout set bulb-a19:r2 --offer 2=25% --offer 1=100%
    fieldpost rollout set bulb-a19:r2 --offer 2=100%
    fieldpost rollout set bulb-a19:r2 --offer 2=0% --offer 1=100%     halts release 2
    fieldpost rollout set bulb-a19:r2 --offer 3=100% --window 22:00-05:30 --postpone-hours 72
    """
    _check_asked(offers, nothing=nothing, narrowed=is_narrowed(narrowed))
    acting = act(home, passphrase_file, as_json=as_json)
    board, class_ = acting.board, resolve_class(acting.id, class_name)
    view = board.class_view(class_)
    if channel not in view.intervals:
        raise NotFound(f"{class_name} has no channel {channel}; it has {', '.join(view.intervals)}")
    interval_s = _usual_interval(view, channel) if interval is None else interval
    releases = {row.sequence: row for row in board.releases(class_)}
    parsed = _parse_offers(offers)
    built = [
        Offer(
            sequence=sequence, manifest=octets(_find(releases, sequence).manifest), threshold=share
        )
        for sequence, share in parsed
    ]
    if built:
        built[0] = narrow(built[0], **narrowed)
    posted = acting.post_in_role(
        Role.ROLLOUT,
        "rollout.set",
        subjects.of_channel(class_, channel),
        lambda nonce: RolloutSet(
            nonce=nonce,
            class_id=class_,
            channel=channel,
            offers=tuple(built),
            interval_s=interval_s,
        ).encode(),
        export=export,
    )
    show(
        {
            "class": class_.hex(),
            "channel": channel,
            "offers": [f"{sequence}={format_share(share)}" for sequence, share in parsed],
            "interval_s": interval_s,
        }
        | posted,
        as_json=as_json,
        title="Rollout set" if export is None else "To be signed elsewhere",
    )
    if export is None:
        note(f"next: fieldpost fleet status {class_name}", as_json=as_json)


def _check_asked(offers: tuple[str, ...], *, nothing: bool, narrowed: bool) -> None:
    if nothing and offers:
        raise Misconfigured("--nothing and --offer exclude each other")
    if not nothing and not offers:
        raise Misconfigured("say what to offer: --offer SEQUENCE=SHARE, or --nothing at all")
    if nothing and narrowed:
        raise Misconfigured("options from --not-before to --window need an --offer")


def _usual_interval(view: ClassView, channel: str) -> int:
    if any(offer.channel == channel for offer in view.offers):
        return view.intervals[channel]
    bounds = decode_class_record(view.record)
    return min(max(_FIRST_INTERVAL_S, bounds.least_interval_s), bounds.most_interval_s)


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
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Show what every channel of a class offers now.

    \b
    fieldpost rollout show bulb-a19:r2
    """
    maker = open_home(home, passphrase_file)
    board, class_ = choose_class(class_name, maker=maker, board_urls=board_urls, as_json=as_json)
    rows = [
        {
            "channel": offer.channel,
            "sequence": offer.sequence,
            "share": format_share(offer.threshold),
            "not_before": None if offer.not_before is None else moment(offer.not_before),
            "interval_s": offer.interval_s,
            "changes": offer.changes,
        }
        for offer in board.class_view(class_).offers
    ]
    table(rows, as_json=as_json, empty="no channel offers anything yet; `fieldpost rollout set`")
