# SPDX-License-Identifier: Apache-2.0
"""`fieldpost device`: take devices out, bring suspended ones back, and check one."""

from collections import defaultdict
from pathlib import Path

import click

from fieldpost.cli.acting import Acting, act
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.device_proof import find_place, fleet_option
from fieldpost.cli.options import HexId, home_options
from fieldpost.cli.signing import export_option
from fieldpost.errors import Malformed
from fieldpost.identity.status import DeviceStatus
from fieldpost.posts import subjects
from fieldpost.posts.device import DeviceStatusSet
from fieldpost.records.limits import MAX_STATUS_CHANGES
from fieldpost.records.maker import Role


@click.group(name="device")
def command() -> None:
    r"""Check a device, as its owner or auditor; take devices out, as their maker.

    \b
    fieldpost device check DEVICE --provisioning bulb.provisioning
    fieldpost device revoke DEVICE
    """


def _change(
    acting: Acting,
    devices: tuple[bytes, ...],
    to: DeviceStatus,
    *,
    fleet_url: str | None,
    export: Path | None,
) -> None:
    if not 1 <= len(devices) <= MAX_STATUS_CHANGES:
        raise Malformed(f"{len(devices)} devices; one post changes 1…{MAX_STATUS_CHANGES}")
    by_lot: defaultdict[bytes, set[int]] = defaultdict(set)
    for device in devices:
        place = find_place(acting.proven, device, fleet_url=fleet_url)
        by_lot[place.lot.id].add(place.index)
    if export is not None and len(by_lot) > 1:
        raise Malformed("the devices are of several lots; export one lot at a time")
    role = Role.ROOT if to is DeviceStatus.VALID else Role.CARE
    posted: list[dict[str, object]] = []
    for lot, indexes in sorted(by_lot.items()):
        changes = tuple((index, int(to)) for index in sorted(indexes))

        def payload(
            nonce: int, lot: bytes = lot, changes: tuple[tuple[int, int], ...] = changes
        ) -> bytes:
            return DeviceStatusSet(nonce=nonce, lot=lot, changes=changes).encode()

        facts = acting.post_in_role(
            role, "device.status", subjects.of_lot(lot), payload, export=export
        )
        posted.append({"lot": lot.hex(), "indexes": sorted(indexes)} | facts)
    if acting.as_json:
        show({"status": to.name.lower(), "lots": posted}, as_json=True)
        return
    for facts in posted:
        show(facts, as_json=False, title=f"Now {to.name.lower()}")
    if to is not DeviceStatus.VALID:
        note("devices and customers see it on the board at once; the fleet refuses their reports")


_DEVICES = click.argument("devices", metavar="DEVICE...", nargs=-1, required=True, type=HexId(32))


@command.command()
@_DEVICES
@fleet_option
@export_option
@home_options
@json_option
def revoke(
    *,
    devices: tuple[bytes, ...],
    fleet_url: str | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Revoke devices (ids of 64 hex digits), for good: cloned, stolen, or lost their key.

    \b
    fieldpost device revoke 0f3c…
    """
    acting = act(home, passphrase_file, as_json=as_json)
    _change(acting, devices, DeviceStatus.REVOKED, fleet_url=fleet_url, export=export)


@command.command()
@_DEVICES
@fleet_option
@export_option
@home_options
@json_option
def suspend(
    *,
    devices: tuple[bytes, ...],
    fleet_url: str | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Suspend devices until your roots reinstate them.

    \b
    fieldpost device suspend 0f3c… 77ab…
    """
    acting = act(home, passphrase_file, as_json=as_json)
    _change(acting, devices, DeviceStatus.SUSPENDED, fleet_url=fleet_url, export=export)


@command.command()
@_DEVICES
@fleet_option
@export_option
@home_options
@json_option
def decommission(
    *,
    devices: tuple[bytes, ...],
    fleet_url: str | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Say that devices are out of use, for good: scrapped, returned, replaced.

    \b
    fieldpost device decommission 0f3c…
    """
    acting = act(home, passphrase_file, as_json=as_json)
    _change(acting, devices, DeviceStatus.DECOMMISSIONED, fleet_url=fleet_url, export=export)


@command.command()
@_DEVICES
@fleet_option
@export_option
@home_options
@json_option
def reinstate(
    *,
    devices: tuple[bytes, ...],
    fleet_url: str | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Reinstate suspended devices. Your roots sign it, so that a stolen care key cannot.

    \b
    fieldpost device reinstate 0f3c…
    """
    acting = act(home, passphrase_file, as_json=as_json)
    _change(acting, devices, DeviceStatus.VALID, fleet_url=fleet_url, export=export)
