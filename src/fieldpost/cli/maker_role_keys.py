# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker add-key` and `remove-key`: keys of a role that somebody else holds.

A key of its own, with a scope, lets a contract manufacturer do one thing: enrol so many devices of
these classes until that day. Nothing that it signed before is undone by removing it.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from fieldpost.cli.acting import Acting, act
from fieldpost.cli.ceremony import Needed
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.device_class import resolve_class
from fieldpost.cli.factory_csv import parse_public_key
from fieldpost.cli.maker_join import EVERYDAY
from fieldpost.cli.options import home_options
from fieldpost.cli.signing import export_option, needed_of
from fieldpost.cli.words import short
from fieldpost.errors import Misconfigured, NotFound
from fieldpost.keys import Signer
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement
from fieldpost.records.counters import Link
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey, Scope

_role = click.argument("role", type=click.Choice(list(EVERYDAY)))


@click.command(name="add-key")
@_role
@click.argument("key")
@click.option("--class", "classes", multiple=True, help="Only for this class. Repeatable.")
@click.option("--channel", "channels", multiple=True, help="Only for this channel. Repeatable.")
@click.option("--devices", type=click.IntRange(1), help="It may enrol so many in all.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Its last day, in UTC.")
@click.option("--unlimited", is_flag=True, help="Set no limit: it may do all that the role may.")
@export_option
@home_options
@json_option
def add_key(
    *,
    role: str,
    key: str,
    classes: tuple[str, ...],
    channels: tuple[str, ...],
    devices: int | None,
    until: datetime | None,
    unlimited: bool,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Let KEY, which somebody else holds, act in ROLE, within the limits that you set.

    KEY is what `fieldpost maker join` printed. Its holder signs as well, and so proves to have it:
    hence --export-unsigned.

    \b
    fieldpost maker add-key enrol 9f8a… --class lamp:r1 --devices 5000 --until 2027-06-30 \
        --export-unsigned add.unsigned
    """
    acting = act(home, passphrase_file, as_json=as_json)
    record, link = acting.record_to_replace()
    scope = Scope(
        classes=tuple(sorted(resolve_class(acting.id, name) for name in classes)) or None,
        channels=channels or None,
        devices=devices,
        not_after=_end_of(until) if until else None,
    )
    if unlimited == bool(scope.value()):
        raise Misconfigured(
            "say what the key may do (--class, --devices, --until), or --unlimited: what it signs "
            "is as good as what you sign"
        )
    chosen, public = EVERYDAY[role], parse_public_key(key)
    held = record.keys_of(chosen)
    if public.thumbprint() in held.by_kid():
        raise Misconfigured("the key has this role already; to change its limits, remove it first")
    entry = RoleKey(public, None if unlimited else scope)
    changed = _with(record, chosen, KeySet(held.threshold, (*held.keys, entry)))
    facts = {"role": role, "key": short(public), "limits": _limits(scope, classes)}
    holder = Needed("new key", 1, (public,))
    posted = _post(acting, (record, link), changed, added=[holder], export=export)
    done = "Key added" if export is None else "To be signed elsewhere"
    show(facts | posted, as_json=as_json, title=done)


@click.command(name="remove-key")
@_role
@click.argument("thumbprint")
@export_option
@home_options
@json_option
def remove_key(
    *,
    role: str,
    thumbprint: str,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Take a key of somebody else's out of ROLE; `fieldpost maker show` names them.

    THUMBPRINT is the key's, or enough of its beginning. What it signed stays: look at it, and
    revoke what should not be there. It can never come back.

    \b
    fieldpost maker remove-key enrol 1f0c55d2
    """
    acting = act(home, passphrase_file, as_json=as_json)
    record, link = acting.record_to_replace()
    chosen = EVERYDAY[role]
    held = record.keys_of(chosen)
    wanted = thumbprint.replace(" ", "").lower()
    found = [entry for entry in held.keys if entry.key.thumbprint().hex().startswith(wanted)]
    if len(found) != 1 or len(wanted) < 8:
        raise NotFound(
            f"{thumbprint!r} names {len(found)} of {len(held.keys)} {role} keys; write eight "
            "digits or more of one"
        )
    mine = {signer.public_key for signer in acting.maker.present(chosen)}
    if found[0].key in mine:
        raise Misconfigured(f"that key is here; replace it: maker rotate-keys --role {role}")
    kept = tuple(entry for entry in held.keys if entry != found[0])
    changed = _with(record, chosen, KeySet(held.threshold, kept))
    posted = _post(acting, (record, link), changed, added=[], export=export)
    show(
        {"role": role, "key": short(found[0].key)} | posted,
        as_json=as_json,
        title="Key removed" if export is None else "To be signed elsewhere",
    )
    note("next: look at what it posted, for example `fieldpost class show`", as_json=as_json)


def _with(record: MakerRecord, role: Role, keys: KeySet) -> MakerRecord:
    return replace(record, roles={**record.roles, role: keys})


def _post(
    acting: Acting,
    now: tuple[MakerRecord, Link],
    changed: MakerRecord,
    *,
    added: list[Needed],
    export: Path | None,
) -> dict[str, object]:
    before, link = now
    record = replace(changed, epoch=link.epoch + 1, previous=link.digest)
    signers: list[Signer] = list(acting.signers(before, Role.ROOT))
    return acting.post(
        Statement(
            kind="maker.set",
            issuer=acting.id.hex(),
            subject=subjects.of_maker(acting.id),
            audience=acting.board.id,
            payload=record.encode(),
        ),
        [needed_of(before, Role.ROOT), *added],
        signers,
        export=export,
        previous=acting.entry_of(f"/v1/makers/{acting.id.hex()}/links", link),
    )


def _end_of(day: datetime) -> int:
    return int((day.replace(tzinfo=UTC) + timedelta(days=1)).timestamp()) - 1


def _limits(scope: Scope, classes: tuple[str, ...]) -> list[str]:
    said = [f"class {name}" for name in classes]
    said += [f"channel {name}" for name in scope.channels or ()]
    if scope.devices is not None:
        said.append(f"{scope.devices} devices in all")
    if scope.not_after is not None:
        said.append(f"until {datetime.fromtimestamp(scope.not_after, UTC):%Y-%m-%d}")
    return said or ["none"]


commands = (add_key, remove_key)
