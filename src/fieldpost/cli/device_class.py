# SPDX-License-Identifier: Apache-2.0
"""`fieldpost class`: one unit of binary compatibility, and what its devices are to trust."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from fieldpost import durable
from fieldpost.cli.board_access import Board, bound_board, publish
from fieldpost.cli.console import json_option, moment, note, show
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.options import board_option, home_options, open_home
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.keys import Algorithm
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records.device_class import ClassRecord, DeviceLimits, decode_class_record
from fieldpost.records.identifiers import check_class_name, class_id
from fieldpost.records.maker import Role, decode_maker_record
from fieldpost.records.provisioning import ProvisioningRecord


@click.group(name="class")
def command() -> None:
    r"""Add a class of devices; write the file that tells its devices what to trust.

    A class is what one firmware image runs on: MODEL[:REVISION[:VARIANT]].

    \b
    fieldpost class add bulb-a19:r2 --support-end 2032-12-31
    fieldpost class trust bulb-a19:r2 --out bulb.provisioning
    """


@command.command()
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
    maker = open_home(home, passphrase_file)
    board = bound_board(maker, as_json=as_json)
    maker_id = bytes.fromhex(maker.settings().maker)
    # The last second of the day named, so that "until 31 December" means what people read.
    end = support_end.replace(tzinfo=UTC) + timedelta(days=1) - timedelta(seconds=1)
    record = ClassRecord(
        epoch=0,
        previous=None,
        maker=maker_id,
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
            algorithms=_algorithms(board, maker_id),
        ),
        most_devices=most_devices,
    )
    statement = Statement(
        kind="class.set",
        issuer=maker_id.hex(),
        subject=subjects.of_class(record.id),
        audience=board.id,
        payload=record.encode(),
    )
    roots = maker.signers(Role.ROOT, maker.settings().root_threshold)
    index, receipt = publish(maker, board, sign_post(statement, roots))
    show(
        {
            "class": record.id.hex(),
            "name": name,
            "channels": list(channels),
            "support_end": moment(record.support_end),
            "index": index,
            "receipt": str(receipt),
        },
        as_json=as_json,
        title="Class added",
    )
    note(
        f"next: fieldpost class trust {name} --out {name.split(':', maxsplit=1)[0]}.provisioning",
        as_json=as_json,
    )


def _algorithms(board: Board, maker_id: bytes) -> tuple[Algorithm, ...]:
    payload, _ = board.last_link(f"/v1/makers/{maker_id.hex()}/links")
    record = decode_maker_record(payload)
    used = {
        held.key.algorithm
        for role in (Role.ROOT, Role.RELEASE)
        for held in record.keys_of(role).keys
    }
    return tuple(sorted(used | set(DeviceLimits().algorithms), reverse=True))


def resolve_class(maker_id: bytes, name: str) -> bytes:
    """A class id: from 32 hex digits, or from the name of one of the maker's classes."""
    if len(name) == 32 and all(digit in "0123456789abcdef" for digit in name):
        return bytes.fromhex(name)
    return class_id(maker_id, check_class_name(name))


def read_class(board: Board, class_: bytes) -> ClassRecord:
    """A class record as the board's node shows it. Raises NotFound with the next step."""
    return decode_class_record(board.class_view(class_).record)


def choose_class(
    name: str, *, maker: MakerHome, board_url: str | None, as_json: bool
) -> tuple[Board, bytes]:
    """The board and class that a reading command is about: yours by name, anybody's by id."""
    if board_url is None:
        board = bound_board(maker, as_json=as_json)
        return board, resolve_class(bytes.fromhex(maker.settings().maker), name)
    if len(name) != 32 and not (maker.path / "maker.json").exists():
        raise Misconfigured(
            f"{name!r} is no class id of 32 hex digits; a name is looked up among your own "
            "classes, and there is no maker in your --home"
        )
    mine = b"" if len(name) == 32 else bytes.fromhex(maker.settings().maker)
    return Board(board_url), resolve_class(mine, name)


@command.command(name="show")
@click.argument("name")
@board_option
@home_options
@json_option
def show_class(
    *,
    name: str,
    board_url: str | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Show a class (NAME of yours, or an id with --board): channels, newest release, devices.

    \b
    fieldpost class show bulb-a19:r2
    fieldpost class show ed4b55f3ed085ad5bf188bff940aee57 --board https://board.example
    """
    maker = open_home(home, passphrase_file)
    board, class_ = choose_class(name, maker=maker, board_url=board_url, as_json=as_json)
    if as_json:
        show(board.json_object(f"/v1/classes/{class_.hex()}"), as_json=True)
        return
    view = board.class_view(class_)
    record = decode_class_record(view.record)
    show(
        {
            "class": class_.hex(),
            "maker": view.maker,
            "channels": list(record.channels),
            "support_end": moment(record.support_end),
            "newest": view.newest,
            "floor": view.floor,
            "devices": view.devices,
        },
        as_json=False,
        title=record.name,
    )


@command.command()
@click.argument("name")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; the factory puts it on every device.",
)
@click.option("--channel", "channels", multiple=True, help="Admitted channels.  [default: all]")
@click.option("--url", "urls", multiple=True, help="Check-in URLs.  [default: your policy's]")
@home_options
@json_option
def trust(
    *,
    name: str,
    out: Path,
    channels: tuple[str, ...],
    urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Write the provisioning record: all that a device trusts, signed by your roots.

    It is public, small, and the same for every device of the class. A device believes nobody who
    is not named in it, so look at it (`fieldpost verify FILE`) before the factory uses it.

    \b
    fieldpost class trust bulb-a19:r2 --out bulb.provisioning
    fieldpost class trust bulb-a19:r2 --channel beta --out bulb-beta.provisioning
    """
    maker = open_home(home, passphrase_file)
    board = bound_board(maker, as_json=as_json)
    settings = maker.settings()
    maker_id = bytes.fromhex(settings.maker)
    class_ = resolve_class(maker_id, name)
    record = read_class(board, class_)
    unknown = [channel for channel in channels if channel not in record.channels]
    if unknown:
        raise NotFound(f"class {name} has no channel {unknown[0]}; it has {list(record.channels)}")
    board_record, board_link = board.record()
    size, moment_of_head = board.head()
    maker_payload, maker_link = board.last_link(f"/v1/makers/{settings.maker}/links")
    policy = decode_maker_record(maker_payload).policy
    provisioning = ProvisioningRecord(
        board=board.id,
        urls=urls or policy.urls,
        board_record=board_record.encode(),
        board_link=board_link,
        maker=maker_id,
        maker_record=maker_payload,
        maker_link=maker_link,
        class_id=class_,
        channels=channels or record.channels,
        least_interval_s=record.least_interval_s,
        most_interval_s=record.most_interval_s,
        least_size=size,
        least_time=moment_of_head,
        limits=record.limits,
    )
    statement = Statement(
        kind="provisioning",
        issuer=settings.maker,
        subject=subjects.of_class(class_),
        audience=board.id,
        payload=provisioning.encode(),
    )
    roots = maker.signers(Role.ROOT, settings.root_threshold)
    data = sign_post(statement, roots).encode()
    durable.write_file(out, data)
    show(
        {
            "file": str(out),
            "bytes": len(data),
            "class": class_.hex(),
            "board": board.id,
            "channels": list(provisioning.channels),
            "urls": list(provisioning.urls),
        },
        as_json=as_json,
        title="Provisioning record written",
    )
    note(
        f"next: fieldpost agent enrol --home DEVICE --provisioning {out} --serial SERIAL",
        as_json=as_json,
    )
