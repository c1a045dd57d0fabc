# SPDX-License-Identifier: Apache-2.0
"""`fieldpost release withdraw|floor|sign`: what happens to a release after it was published."""

from pathlib import Path

import click

from fieldpost.cli.acting import act
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.options import home_options
from fieldpost.cli.resigning import fetch_envelope, read_release, sign_release
from fieldpost.cli.signing import export_option
from fieldpost.posts import subjects
from fieldpost.posts.release import ReleaseFloor, ReleaseWithdraw
from fieldpost.records.maker import Role
from fieldpost.suit.manifest import decode_manifest

_SEQUENCE = click.IntRange(1)


@click.command(name="withdraw")
@click.argument("class_name", metavar="CLASS")
@click.argument("sequence", type=_SEQUENCE)
@click.option("--reason", required=True, help="Why, for everybody and for ever.")
@export_option
@home_options
@json_option
def withdraw(
    *,
    class_name: str,
    sequence: int,
    reason: str,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Withdraw a release: every channel stops offering it, for good. Nothing is deleted.

    Devices that run it go on; publish a higher sequence to bring them away from it.

    \b
    fieldpost release withdraw bulb-a19:r2 2 --reason "radio stops after a day"
    """
    acting = act(home, passphrase_file, as_json=as_json)
    class_, _ = acting.class_(class_name)
    posted = acting.post_in_role(
        Role.RELEASE,
        "release.withdraw",
        subjects.of_release(class_.id, sequence),
        lambda nonce: ReleaseWithdraw(
            nonce=nonce, class_id=class_.id, sequence=sequence, reason=reason
        ).encode(),
        export=export,
    )
    show(
        {"class": class_.id.hex(), "sequence": sequence, "reason": reason} | posted,
        as_json=as_json,
        title="Release withdrawn" if export is None else "To be signed elsewhere",
    )
    note(f"next: fieldpost advisory publish {class_name} --help", as_json=as_json)


@click.command(name="floor")
@click.argument("class_name", metavar="CLASS")
@click.argument("sequence", type=_SEQUENCE)
@export_option
@home_options
@json_option
def floor(
    *,
    class_name: str,
    sequence: int,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Offer nothing below SEQUENCE any more, stepping stones apart. It never goes down again.

    At most what every channel with offers gives to all of its devices.

    \b
    fieldpost release floor bulb-a19:r2 3
    """
    acting = act(home, passphrase_file, as_json=as_json)
    class_, _ = acting.class_(class_name)
    posted = acting.post_in_role(
        Role.RELEASE,
        "release.floor",
        subjects.of_release(class_.id, sequence),
        lambda nonce: ReleaseFloor(nonce=nonce, class_id=class_.id, floor=sequence).encode(),
        export=export,
    )
    show(
        {"class": class_.id.hex(), "floor": sequence} | posted,
        as_json=as_json,
        title="Floor raised" if export is None else "To be signed elsewhere",
    )


@click.command(name="sign")
@click.argument("class_name", metavar="CLASS")
@click.argument("sequence", type=_SEQUENCE)
@click.option("--yes", is_flag=True, help="Sign without asking; you know this release.")
@export_option
@home_options
@json_option
def sign(
    *,
    class_name: str,
    sequence: int,
    yes: bool,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Sign a published release again, with the release keys of today.

    `fieldpost maker rotate-keys` does this for all that is on offer and was signed on this
    machine; this command is for the others. Look at the images first.

    Where several keys must sign and lie on several machines, --export-unsigned writes the manifest
    for them; after `maker import` the same command posts what was gathered, or, with
    --export-unsigned again, writes that post for them.

    \b
    fieldpost release sign bulb-a19:r2 2
    fieldpost release sign bulb-a19:r2 2 --export-unsigned sign.unsigned
    """
    acting = act(home, passphrase_file, as_json=as_json)
    class_, _ = acting.class_(class_name)
    release = read_release(acting, class_.id, sequence)
    envelope = fetch_envelope(acting.board, release.manifest)
    manifest = decode_manifest(envelope.manifest, decrypts=True)
    facts: dict[str, object] = {
        "class": class_.id.hex(),
        "sequence": manifest.sequence,
        "version": release.version,
        "manifest": release.manifest.hex(),
        "images": [f"{c.digest.hex()} {c.size} B" for c in manifest.components],
    }
    if not yes:
        show(facts, as_json=False, title="You are about to sign")
        click.confirm("Sign it?", abort=True, err=True)
    posted = sign_release(acting, class_, release, envelope.manifest, export=export)
    title = "Release signed" if "unsigned" not in posted else "To be signed elsewhere"
    show(facts | posted, as_json=as_json, title=title)


commands = (withdraw, floor, sign)
