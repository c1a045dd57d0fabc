# SPDX-License-Identifier: Apache-2.0
"""`fieldpost class add`: a class of devices, for as long as its owners were promised."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from fieldpost.cli.acting import act
from fieldpost.cli.console import json_option, moment, note, show
from fieldpost.cli.options import home_options
from fieldpost.cli.signing import export_option, needed_of
from fieldpost.keys import Algorithm
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement
from fieldpost.records.device_class import ClassRecord, DeviceLimits
from fieldpost.records.identifiers import check_class_name
from fieldpost.records.maker import MakerRecord, Role


@click.command(name="add")
@click.argument("name")
@click.option(
    "--support-end",
    required=True,
    type=click.DateTime(["%Y-%m-%d"]),
    help="Until when you ship security updates. It can only be lengthened.",
)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    default=("stable",),
    show_default=True,
    help="Stream of offers that a device follows. Repeatable; channels are only ever added.",
)
@click.option("--family", help="What people call the product.")
@click.option(
    "--most-devices",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(1),
    help="Devices that may ever be enrolled: what a stolen enrolment key cannot exceed.",
)
@click.option(
    "--image-bytes",
    default=64 * 1024 * 1024,
    show_default=True,
    type=click.IntRange(1),
    help="Largest image that the devices' slots hold.",
)
@click.option(
    "--envelope-bytes",
    default=4096,
    show_default=True,
    type=click.IntRange(256, 16384),
    help="Largest release manifest that the devices read.",
)
@click.option("--least-interval", default=60, show_default=True, help="Seconds between check-ins.")
@click.option(
    "--most-interval",
    default=7 * 86_400,
    show_default=True,
    help="Seconds after which a device checks in, whatever a rollout says.",
)
@export_option
@home_options
@json_option
def add(
    *,
    name: str,
    support_end: datetime,
    channels: tuple[str, ...],
    family: str | None,
    most_devices: int,
    image_bytes: int,
    envelope_bytes: int,
    least_interval: int,
    most_interval: int,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Add a class. Its name, channels and support end become public.

    Your roots sign it, as many as `maker init` said. Limits are promises to the smallest device of
    the class: nothing larger will ever be accepted for it.

    \b
    fieldpost class add bulb-a19:r2 --support-end 2032-12-31 --channel stable --channel beta
    """
    acting = act(home, passphrase_file, as_json=as_json)
    maker_record, _ = acting.record()
    # The last second of the day named, so that "until 31 December" means what people read.
    end = support_end.replace(tzinfo=UTC) + timedelta(days=1) - timedelta(seconds=1)
    record = ClassRecord(
        epoch=0,
        previous=None,
        maker=acting.id,
        name=check_class_name(name),
        family=family,
        channels=channels,
        support_end=int(end.timestamp()),
        least_interval_s=least_interval,
        most_interval_s=most_interval,
        limits=replace(
            DeviceLimits(),
            image_bytes=image_bytes,
            envelope_bytes=envelope_bytes,
            algorithms=_algorithms(maker_record),
        ),
        most_devices=most_devices,
    )
    posted = acting.post(
        Statement(
            kind="class.set",
            issuer=acting.id.hex(),
            subject=subjects.of_class(record.id),
            audience=acting.board.id,
            payload=record.encode(),
        ),
        [needed_of(maker_record, Role.ROOT)],
        acting.signers(maker_record, Role.ROOT),
        export=export,
    )
    show(
        {
            "class": record.id.hex(),
            "name": name,
            "channels": list(channels),
            "support_end": moment(record.support_end),
        }
        | posted,
        as_json=as_json,
        title="Class added" if export is None else "To be signed elsewhere",
    )
    if export is None:
        file = f"{name.split(':', maxsplit=1)[0]}.provisioning"
        note(f"next: fieldpost class trust {name} --out {file}", as_json=as_json)


def _algorithms(record: MakerRecord) -> tuple[Algorithm, ...]:
    used = {
        held.key.algorithm
        for role in (Role.ROOT, Role.RELEASE)
        for held in record.keys_of(role).keys
    }
    return tuple(sorted(used | set(DeviceLimits().algorithms), reverse=True))


commands = (add,)
