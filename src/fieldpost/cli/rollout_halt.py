# SPDX-License-Identifier: Apache-2.0
"""`fieldpost rollout halt|resume`: shares down to 0 and back, everything else as it stands."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from fieldpost.cli.acting import Acting, act
from fieldpost.cli.console import json_option, show
from fieldpost.cli.options import format_share, home_options
from fieldpost.cli.signing import export_option
from fieldpost.errors import Conflict, NotFound
from fieldpost.posts import subjects
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records import map_keys
from fieldpost.records.counters import ReleaseCounters
from fieldpost.records.head import Offer, decode_head
from fieldpost.records.maker import Role


@click.command(name="halt")
@click.argument("class_name", metavar="CLASS")
@click.option("--channel", default="stable", show_default=True, help="Channel that it is about.")
@click.option("--sequence", type=click.IntRange(1), help="One offer.  [default: all of them]")
@export_option
@home_options
@json_option
def halt(
    *,
    class_name: str,
    channel: str,
    sequence: int | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Halt a rollout: no further device is offered the release. Those that run it go on.

    \b
    fieldpost rollout halt bulb-a19:r2 --sequence 2
    """
    acting = act(home, passphrase_file, as_json=as_json)
    _change(
        acting,
        class_name,
        channel,
        sequence,
        lambda _class, _offer: 0,
        title="Halted",
        export=export,
    )


@click.command(name="resume")
@click.argument("class_name", metavar="CLASS")
@click.option("--channel", default="stable", show_default=True, help="Channel that it is about.")
@click.option("--sequence", type=click.IntRange(1), help="One offer.  [default: all of them]")
@export_option
@home_options
@json_option
def resume(
    *,
    class_name: str,
    channel: str,
    sequence: int | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Resume a halted rollout with the share that it had.

    \b
    fieldpost rollout resume bulb-a19:r2 --sequence 2
    """
    acting = act(home, passphrase_file, as_json=as_json)

    def highest(class_id: bytes, offer: Offer) -> int:
        if offer.threshold:
            return offer.threshold
        value = acting.proven.value(map_keys.release_counters(class_id, offer.sequence))
        return 0 if value is None else ReleaseCounters.decode(value).highest.get(channel, 0)

    _change(acting, class_name, channel, sequence, highest, title="Resumed", export=export)


def _change(
    acting: Acting,
    class_name: str,
    channel: str,
    sequence: int | None,
    share: Callable[[bytes, Offer], int],
    *,
    title: str,
    export: Path | None,
) -> None:
    class_, _ = acting.class_(class_name)
    value = acting.proven.value(map_keys.head(class_.id, channel))
    if value is None:
        raise NotFound(f"{class_name} has no channel {channel}; it has {list(class_.channels)}")
    head = decode_head(value)
    if sequence is not None and sequence not in {offer.sequence for offer in head.offers}:
        raise NotFound(f"{channel} does not offer {sequence}; see `fieldpost rollout show`")
    offers = tuple(
        replace(
            offer,
            salt=None,
            threshold=(
                share(class_.id, offer) if sequence in (None, offer.sequence) else offer.threshold
            ),
        )
        for offer in head.offers
    )
    if [offer.threshold for offer in offers] == [offer.threshold for offer in head.offers]:
        raise Conflict("it stands so already; nothing was posted")
    posted = acting.post_in_role(
        Role.ROLLOUT,
        "rollout.set",
        subjects.of_channel(class_.id, channel),
        lambda nonce: RolloutSet(
            nonce=nonce,
            class_id=class_.id,
            channel=channel,
            offers=offers,
            interval_s=head.interval_s,
        ).encode(),
        export=export,
    )
    shares = [f"{offer.sequence}={format_share(offer.threshold)}" for offer in offers]
    show(
        {"class": class_.id.hex(), "channel": channel, "offers": shares} | posted,
        as_json=acting.as_json,
        title=title if export is None else "To be signed elsewhere",
    )


commands = (halt, resume)
