# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker rotate-keys`: new keys, and everything on offer signed with them.

One ceremony in three steps, each of which may be interrupted and is taken up by the same command:
new keys and the record that names them; the post, signed by old and new roots and by every new
key; signatures of the new release keys over what is on offer.
"""

from dataclasses import replace
from pathlib import Path

import click

from fieldpost.cli.acting import Acting, act
from fieldpost.cli.ceremony import Needed
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.maker import ALGORITHMS, parse_threshold
from fieldpost.cli.new_keys import NewKeys, plan_keys, token_options
from fieldpost.cli.options import home_options
from fieldpost.cli.recovery_sheet import write_recovery_sheet
from fieldpost.cli.resigning import resign_offers
from fieldpost.cli.rotation import Rotation, make_keys, renewed
from fieldpost.cli.signing import export_option, needed_of
from fieldpost.errors import Misconfigured
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement
from fieldpost.records.maker import Role, decode_maker_record

_ROLES = {role.name.lower(): role for role in Role}


@click.command(name="rotate-keys")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([*_ROLES, "all"]),
    help="Whose keys to replace. Repeatable.",
)
@click.option("--roots", help="Root keys from now on: K-of-N.  [default: as many as now]")
@click.option("--releases", help="Release keys from now on: K-of-N.  [default: as many as now]")
@click.option(
    "--algorithm",
    type=click.Choice(list(ALGORITHMS)),
    default="ed25519",
    show_default=True,
    help="Of the new keys.",
)
@click.option("--no-passphrase", is_flag=True, help="Leave new key files unencrypted (for trials).")
@token_options
@click.option("--abandon", is_flag=True, help="Give up a rotation that the board did not take.")
@export_option
@home_options
@json_option
def rotate_keys(
    *,
    roles: tuple[str, ...],
    roots: str | None,
    releases: str | None,
    algorithm: str,
    no_passphrase: bool,
    token: str | None,
    on_token: tuple[str, ...],
    abandon: bool,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Replace keys, and sign again with the new ones what is on offer.

    Old and new roots sign, each up to their threshold, and so does every new key. Old key files
    are kept in HOME/keys/retired. Your domain counts as unverified until operators see the new
    keys. Without --role an interrupted rotation goes on.

    \b
    fieldpost maker rotate-keys --role release
    fieldpost maker rotate-keys --role release --token "pkcs11:token=lamps"
    fieldpost maker rotate-keys --role root --roots 3-of-5 --export-unsigned rotate.unsigned
    fieldpost maker rotate-keys
    """
    acting = act(home, passphrase_file, as_json=as_json)
    maker = acting.maker
    rotation = Rotation.load(maker)
    if abandon:
        _abandon(acting, rotation)
        return
    if rotation is not None and roles:
        raise Misconfigured(
            f"a rotation of {', '.join(rotation.keys)} keys is under way; finish it first by the "
            "same command without --role, or give it up with --abandon"
        )
    if rotation is None and roles:
        counts = _counts(acting, roles, roots, releases)
        keys = plan_keys(
            algorithm=ALGORITHMS[algorithm],
            token=token,
            on_token=on_token,
            roles=set(counts),
            no_passphrase=no_passphrase,
            passphrase_file=passphrase_file,
        )
        rotation = _begin(acting, counts, keys)
    facts: dict[str, object] = {"maker": acting.id.hex()}
    if rotation is not None:
        posted = _post(acting, rotation, export)
        facts |= posted
        if "unsigned" in posted:
            show(facts, as_json=as_json, title="To be signed elsewhere")
            return
        rotation.adopt(maker)
        write_recovery_sheet(maker)
        facts |= {"rotated": list(rotation.keys), "old_keys": str(maker.path / "keys" / "retired")}
    again = resign_offers(Acting(maker, acting.board, as_json=as_json))
    show(facts | again.facts(), as_json=as_json, title="Keys rotated" if rotation else "Up to date")
    for line in again.advice():
        note(line, as_json=as_json)
    if rotation is not None:
        _say_what_follows(acting, rotation)


def _say_what_follows(acting: Acting, rotation: Rotation) -> None:
    for id_, (url, *_) in acting.maker.settings().boards.items():
        if id_ != acting.board.id:
            line = f"next: fieldpost maker register --board {url}, which learns of it there"
            note(line, as_json=acting.as_json)
    if "root" in rotation.keys:
        sheet = acting.maker.path / "recovery.txt"
        note(f"next: move new root keys apart, print {sheet}", as_json=acting.as_json)


def _counts(
    acting: Acting, roles: tuple[str, ...], roots: str | None, releases: str | None
) -> dict[Role, tuple[int, int]]:
    """(threshold, number) of the new keys by role."""
    record, _ = acting.record()
    chosen = list(_ROLES.values()) if "all" in roles else [_ROLES[name] for name in roles]
    given = {Role.ROOT: roots, Role.RELEASE: releases}
    counts: dict[Role, tuple[int, int]] = {}
    for role in dict.fromkeys(chosen):
        keys = record.keys_of(role)
        text = given.get(role)
        counts[role] = parse_threshold(text) if text else (keys.threshold, max(1, len(keys.keys)))
    for role, text in given.items():
        if text and role not in counts:
            raise Misconfigured(f"{text} is for {role.name.lower()} keys; add --role {role.name}")
    return counts


def _begin(
    acting: Acting,
    counts: dict[Role, tuple[int, int]],
    keys: NewKeys,
) -> Rotation:
    maker = acting.maker
    record, link = acting.record_to_replace()
    made = make_keys(
        maker,
        {role: number for role, (_, number) in counts.items()},
        epoch=link.epoch + 1,
        make_key=keys.make,
    )
    new = {role: (counts[role][0], tuple(signers.values())) for role, signers in made.items()}
    renewal = replace(renewed(record, new), epoch=link.epoch + 1, previous=link.digest)
    before = acting.entry_of(f"/v1/makers/{acting.id.hex()}/links", link)
    rotation = Rotation(
        keys={role.name.lower(): tuple(signers) for role, signers in made.items()},
        thresholds={role.name.lower(): threshold for role, (threshold, _) in counts.items()},
        record=renewal.encode().hex(),
        previous=None if before is None else before.hex(),
    )
    rotation.save(maker)
    return rotation


def _post(acting: Acting, rotation: Rotation, export: Path | None) -> dict[str, object]:
    payload = bytes.fromhex(rotation.record)
    new = decode_maker_record(payload)
    record, link = acting.record()
    if link.epoch >= new.epoch:
        if record.encode() != payload:
            raise Misconfigured(
                f"the board has another record at epoch {link.epoch} by now; "
                "run the command again with --abandon, then begin anew"
            )
        return {}
    fresh = rotation.signers(acting.maker)
    needed = [
        needed_of(record, Role.ROOT, "old root keys"),
        needed_of(new, Role.ROOT, "new root keys" if "root" in rotation.keys else "root keys"),
        Needed("new keys", len(fresh), tuple(signer.public_key for signer in fresh)),
    ]
    statement = Statement(
        kind="maker.set",
        issuer=acting.id.hex(),
        subject=subjects.of_maker(acting.id),
        audience=acting.board.id,
        payload=payload,
    )
    return acting.post(
        statement,
        needed,
        [*acting.signers(record, Role.ROOT), *fresh],
        export=export,
        previous=None if rotation.previous is None else bytes.fromhex(rotation.previous),
    )


def _abandon(acting: Acting, rotation: Rotation | None) -> None:
    if rotation is None:
        raise Misconfigured("no rotation is under way")
    record, _ = acting.record()
    if record.encode().hex() == rotation.record:
        raise Misconfigured("the board took this rotation; go on with `maker rotate-keys`")
    rotation.abandon(acting.maker)
    show(
        {"abandoned": list(rotation.keys)}, as_json=acting.as_json, title="The old keys stay in use"
    )


commands = (rotate_keys,)
