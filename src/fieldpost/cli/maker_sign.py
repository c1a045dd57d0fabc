# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker sign` and `maker import`: posts whose keys lie on several machines.

Signing needs no network and no board: only the file, the keys, and a person who reads what it says.
"""

from collections.abc import Sequence
from pathlib import Path

import click

from fieldpost import durable
from fieldpost.cli.bound_board import bound_board
from fieldpost.cli.ceremony import Request, Signed, decode_request, encode_signatures
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.maker_home import MakerHome, default_home
from fieldpost.cli.options import find_passphrase, find_pin_prompt, home_options, open_home
from fieldpost.cli.own_chain import keep_link
from fieldpost.cli.release_envelopes import settle_release
from fieldpost.cli.signing import PROVISIONING, ceremonies_of, post_facts
from fieldpost.cli.stores import Stores
from fieldpost.cli.words import describe, describe_change, describe_manifest
from fieldpost.errors import Malformed, Misconfigured, NotFound
from fieldpost.posts.envelope import Post, Statement
from fieldpost.signers.keyfile import load_key_file

_MOST_BYTES = 512 * 1024


def read_ceremony_file(path: Path) -> bytes:
    """What a file of a ceremony holds. Raises Malformed for one that is too large."""
    if path.stat().st_size > _MOST_BYTES:
        raise Malformed(f"{path} is too large for a file of a ceremony")
    return path.read_bytes()


@click.command(name="sign")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Signatures to carry back; they are no secret.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Key file to sign with. Repeatable.  [default: all of HOME/keys that are asked for]",
)
@click.option("--yes", is_flag=True, help="Sign without asking; you have read what it says.")
@home_options
@json_option
def sign(
    *,
    file: Path,
    out: Path,
    keys: tuple[Path, ...],
    yes: bool,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Sign FILE of `--export-unsigned`, without any network. Read first what it says.

    \b
    fieldpost maker sign rotate.unsigned --out rotate.signatures
    fieldpost maker sign rotate.unsigned --key /media/stick/root-2.pem --out root-2.signatures
    """
    request = decode_request(read_ceremony_file(file))
    words, changes = present(request, as_json=as_json)
    if not yes:
        click.confirm("Sign this?", abort=True, err=True)
    signatures = _sign(request, keys or _own_keys(home), passphrase_file)
    durable.write_file(out, encode_signatures(request.digest, signatures))
    facts: dict[str, object] = {
        "signatures": str(out),
        "keys": [signature.kid.hex() for signature in signatures],
    }
    if as_json:
        facts |= {"request": request.digest.hex(), "says": words, "changes": changes}
    show(facts, as_json=as_json, title="Signed")
    note(f"next, where the file came from: fieldpost maker import {out}", as_json=as_json)


def present(request: Request, *, as_json: bool) -> tuple[dict[str, object], list[str]]:
    """Show people what they are asked to sign: what it says, and what it changes."""
    words: dict[str, object] = {}
    changes: list[str] = []
    if request.statement is not None:
        words |= describe(request.statement)
        if request.previous is not None:
            changes = describe_change(request.statement, request.previous)
    if request.manifest is not None:
        words |= describe_manifest(request.manifest, request.statement)
    if not as_json:
        show(words, as_json=False, title="You are asked to sign")
        if changes:
            click.echo(click.style("What it changes", bold=True))
            for line in changes:
                note(f"  {line}")
    return words, changes


def _own_keys(home: Path | None) -> tuple[Path, ...]:
    return tuple(sorted(((home or default_home()) / "keys").glob("*.pem")))


def _sign(request: Request, keys: tuple[Path, ...], passphrase_file: Path | None) -> list[Signed]:
    signatures: list[Signed] = []
    skipped: list[str] = []
    ask = find_passphrase(passphrase_file, new=False)
    known: list[bytes] = []

    def passphrase() -> bytes:
        # Asked for once, however many keys there are.
        if not known:
            known.append(ask())
        return known[0]

    for path in keys:
        try:
            signer = load_key_file(path, passphrase, pin_prompt=find_pin_prompt())
        except Misconfigured as error:
            skipped.append(str(error))
            continue
        if signer.public_key.thumbprint() in request.keys:
            signatures.append(request.sign(signer))
    if not signatures:
        wanted = ", ".join(kid.hex()[:16] + "…" for kid in sorted(request.keys))
        raise NotFound(
            f"none of {len(keys)} key files is asked for ({wanted})"
            + "".join(f"; {reason}" for reason in skipped)
        )
    return signatures


@click.command(name="import")
@click.argument(
    "files",
    metavar="SIGS...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option("--board-is-gone", is_flag=True, help="Keep the link for a board that is gone.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, if it was `class trust` that asked for signatures.",
)
@home_options
@json_option
def import_signatures(
    *,
    files: tuple[Path, ...],
    board_is_gone: bool,
    out: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Bring back signatures of `maker sign`; post as soon as they suffice.

    \b
    fieldpost maker import root-2.signatures root-3.signatures
    fieldpost maker import root-2.signatures --out bulb.provisioning
    """
    maker = open_home(home, passphrase_file)
    ceremonies = ceremonies_of(maker)
    requests: dict[bytes, tuple[Request, tuple[Signed, ...]]] = {}
    for path in files:
        request, signatures = ceremonies.add(read_ceremony_file(path))
        requests[request.digest] = (request, signatures)
    for digest, (request, signatures) in requests.items():
        missing = request.lacks(signature.kid for signature in signatures)
        facts = request.title | {"signatures": len(signatures)}
        if missing:
            show(facts | {"still_needed": missing}, as_json=as_json, title="Not enough yet")
            continue
        if request.statement is not None and request.statement.kind == PROVISIONING:
            facts |= _write(request.assemble(signatures), out)
        elif board_is_gone:
            facts |= {"index": None, "kept": str(keep_link(maker, request.assemble(signatures)))}
        else:
            facts |= _post(maker, request, signatures, as_json=as_json)
        ceremonies.close(digest)
        show(facts, as_json=as_json, title="Done")
        _say_what_follows(maker, request.statement, as_json=as_json)


def _post(
    maker: MakerHome, request: Request, signatures: Sequence[Signed], *, as_json: bool
) -> dict[str, object]:
    audience = None if request.statement is None else request.statement.audience
    board = bound_board(maker, as_json=as_json, board_id=audience)
    if request.manifest is not None:
        stores = Stores(board)
        facts = settle_release(maker, stores, request, signatures)
        stores.tell(as_json=as_json)
        return facts
    return post_facts(maker, board, request.assemble(signatures))


def _write(post: Post, out: Path | None) -> dict[str, object]:
    if out is None:
        raise Misconfigured("this is a provisioning record: say with --out FILE where it goes")
    durable.write_file(out, post.encode())
    return {"file": str(out)}


def _say_what_follows(maker: MakerHome, statement: Statement | None, *, as_json: bool) -> None:
    if statement is None:
        line = "next: fieldpost release sign CLASS SEQUENCE, to post these signatures"
        note(line, as_json=as_json)
        return
    if statement.kind == "release.publish":
        line = "next: the same fieldpost release publish again, which uploads the images"
        note(line, as_json=as_json)
    if statement.kind == "maker.set" and (maker.path / "rotation.json").exists():
        note("next: fieldpost maker rotate-keys, to go on with the new keys", as_json=as_json)
    if statement.kind == "maker.register":
        url = maker.settings().boards[statement.audience][0]
        note(f"next: fieldpost maker register --board {url}, to take it up", as_json=as_json)


commands = (sign, import_signatures)
