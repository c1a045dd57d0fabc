# SPDX-License-Identifier: Apache-2.0
"""`fieldpost class trust`: the provisioning record, all that a device trusts."""

from pathlib import Path

import click

from fieldpost import durable
from fieldpost.cli.acting import act
from fieldpost.cli.ceremony import request_of
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.options import home_options
from fieldpost.cli.signing import (
    PROVISIONING,
    ceremonies_of,
    complete,
    export_option,
    export_request,
    needed_of,
    sign_here,
)
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement
from fieldpost.records.maker import Role
from fieldpost.records.provisioning import ProvisioningRecord


@click.command(name="trust")
@click.argument("name")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; the factory puts it on every device.",
)
@click.option("--channel", "channels", multiple=True, help="Admitted channels.  [default: all]")
@click.option("--url", "urls", multiple=True, help="Check-in URLs.  [default: your policy's]")
@export_option
@home_options
@json_option
def trust(
    *,
    name: str,
    out: Path,
    channels: tuple[str, ...],
    urls: tuple[str, ...],
    export: Path | None,
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
    fieldpost class trust bulb-a19:r2 --out bulb.provisioning --export-unsigned bulb.unsigned
    fieldpost maker import bulb.signatures --out bulb.provisioning
    """
    acting = act(home, passphrase_file, as_json=as_json)
    board = acting.board
    record, _ = acting.class_(name)
    unknown = [channel for channel in channels if channel not in record.channels]
    if unknown:
        raise NotFound(f"class {name} has no channel {unknown[0]}; it has {list(record.channels)}")
    board_record, board_link = board.record()
    size, moment_of_head = board.head()
    maker_record, maker_link = acting.record()
    if maker_record.policy.board != board.id:
        raise Misconfigured(
            f"your policy says that devices are on {maker_record.policy.board}, and {board.url} is "
            f"{board.id}: no device would accept that. `fieldpost maker use` the other board, or "
            "move your devices first (`fieldpost maker set-policy --move-to`)"
        )
    provisioning = ProvisioningRecord(
        board=board.id,
        urls=urls or maker_record.policy.urls,
        board_record=board_record.encode(),
        board_link=board_link,
        maker=acting.id,
        maker_record=maker_record.encode(),
        maker_link=maker_link.digest,
        class_id=record.id,
        channels=channels or record.channels,
        least_interval_s=record.least_interval_s,
        most_interval_s=record.most_interval_s,
        least_size=size,
        least_time=moment_of_head,
        limits=record.limits,
    )
    request = request_of(
        Statement(
            kind=PROVISIONING,
            issuer=acting.id.hex(),
            subject=subjects.of_class(record.id),
            audience=board.id,
            payload=provisioning.encode(),
        ),
        [needed_of(maker_record, Role.ROOT)],
    )
    signatures = sign_here(request, acting.signers(maker_record, Role.ROOT))
    facts: dict[str, object] = {
        "class": record.id.hex(),
        "board": board.id,
        "channels": list(provisioning.channels),
        "urls": list(provisioning.urls),
    }
    if export is not None:
        ceremonies = ceremonies_of(acting.maker)
        facts |= export_request(ceremonies, request, signatures, export, as_json=as_json)
        show(facts, as_json=as_json, title="To be signed elsewhere")
        return
    data = complete(acting.maker, request, signatures).encode()
    durable.write_file(out, data)
    facts = {"file": str(out), "bytes": len(data)} | facts
    show(facts, as_json=as_json, title="Provisioning record written")
    note(
        f"next: fieldpost agent enrol --home DEVICE --provisioning {out} --serial SERIAL",
        as_json=as_json,
    )


commands = (trust,)
