# SPDX-License-Identifier: Apache-2.0
"""`fieldpost class set`: a class changed; promises to owners only grow."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from fieldpost.cli.acting import act
from fieldpost.cli.console import json_option, moment, show
from fieldpost.cli.options import HexId, home_options
from fieldpost.cli.signing import export_option, needed_of
from fieldpost.errors import Misconfigured
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.maker import Role


@click.command(name="set")
@click.argument("name")
@click.option("--support-end", type=click.DateTime(["%Y-%m-%d"]), help="A later day.")
@click.option("--add-channel", "channels", multiple=True, help="A further channel. Repeatable.")
@click.option("--family", help="What people call the product.")
@click.option("--most-devices", type=click.IntRange(1), help="How many may be enrolled.")
@click.option("--image-bytes", type=click.IntRange(1), help="Largest image.")
@click.option("--least-interval", type=click.IntRange(1), help="Seconds between check-ins.")
@click.option("--most-interval", type=click.IntRange(1), help="Seconds.")
@click.option("--successor", type=HexId(16), help="Id of the class that follows this one.")
@export_option
@home_options
@json_option
def set_class(
    *,
    name: str,
    support_end: datetime | None,
    channels: tuple[str, ...],
    family: str | None,
    most_devices: int | None,
    image_bytes: int | None,
    least_interval: int | None,
    most_interval: int | None,
    successor: bytes | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Change a class; what you do not name stays. Your roots sign it.

    The support end can only be lengthened, and channels only be added.

    \b
    fieldpost class set bulb-a19:r2 --support-end 2038-12-31
    fieldpost class set bulb-a19:r2 --add-channel beta
    """
    acting = act(home, passphrase_file, as_json=as_json)
    before, link = acting.class_(name)
    end = before.support_end
    if support_end is not None:
        day = support_end.replace(tzinfo=UTC) + timedelta(days=1) - timedelta(seconds=1)
        end = int(day.timestamp())
    added = tuple(channel for channel in channels if channel not in before.channels)
    changed = replace(
        before,
        channels=before.channels + added,
        support_end=end,
        family=family or before.family,
        most_devices=most_devices or before.most_devices,
        least_interval_s=least_interval or before.least_interval_s,
        most_interval_s=most_interval or before.most_interval_s,
        limits=replace(before.limits, image_bytes=image_bytes or before.limits.image_bytes),
        successor=successor or before.successor,
    )
    if changed == before:
        raise Misconfigured("nothing would change; name what shall (--help lists it)")
    record = replace(changed, epoch=link.epoch + 1, previous=link.digest)
    decode_class_record(record.encode())
    maker_record, _ = acting.record()
    posted = acting.post(
        Statement(
            kind="class.set",
            issuer=acting.id.hex(),
            subject=subjects.of_class(record.id),
            audience=acting.board.id,
            payload=record.encode(),
        ),
        [needed_of(maker_record, Role.ROOT)],
        list(acting.signers(maker_record, Role.ROOT)),
        export=export,
    )
    show(
        {
            "class": record.id.hex(),
            "epoch": record.epoch,
            "channels": list(record.channels),
            "support_end": moment(record.support_end),
            "most_devices": record.most_devices,
        }
        | posted,
        as_json=as_json,
        title="Class changed" if export is None else "To be signed elsewhere",
    )


commands = (set_class,)
