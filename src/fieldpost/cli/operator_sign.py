# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator sign`: an operator's keys on what other operators ask it to sign."""

from collections.abc import Iterator
from pathlib import Path

import click

from fieldpost import durable
from fieldpost.cli.ceremony import decode_request, encode_signatures
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.maker_sign import present, read_ceremony_file
from fieldpost.cli.options import find_pin_prompt
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft.home import comet_home, key_path, load_key
from fieldpost.engines.operator_keys import load_signer
from fieldpost.errors import Misconfigured
from fieldpost.keys import Signer


@click.command(name="sign")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Signatures to send back; they are no secret.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder of your node's data; its keys are read, nothing else.",
)
@click.option("--yes", is_flag=True, help="Sign without asking; you have read what it says.")
@json_option
def sign(*, file: Path, out: Path, data: Path, yes: bool, as_json: bool) -> None:
    r"""Sign FILE of another operator's `--export-unsigned` with every key of yours that it needs.

    Your governance key votes; keys that the board is to take from you prove that you have them,
    the validator key among them. Needs no network and no running node.

    \b
    fieldpost operator sign change.unsigned --data /var/lib/fieldpost --out oslo.signatures
    """
    request = decode_request(read_ceremony_file(file))
    signers = [s for s in _signers(data) if s.public_key.thumbprint() in request.keys]
    if not signers:
        raise Misconfigured(f"{file} needs no key that is in {data}")
    words, changes = present(request, as_json=as_json)
    if not yes:
        click.confirm("Sign this?", abort=True, err=True)
    signatures = [request.sign(signer) for signer in signers]
    durable.write_file(out, encode_signatures(request.digest, signatures))
    facts: dict[str, object] = {
        "signatures": str(out),
        "keys": [signature.kid.hex() for signature in signatures],
    }
    if as_json:
        facts |= {"request": request.digest.hex(), "says": words, "changes": changes}
    show(facts, as_json=as_json, title="Signed")
    note(f"next, where the file came from: fieldpost operator import {out}", as_json=as_json)


def _signers(data: Path) -> Iterator[Signer]:
    for path in sorted(keys_directory(data).glob("*.pem")):
        yield load_signer(path, find_pin_prompt())
    home = comet_home(data)
    if key_path(home).exists():
        yield load_key(key_path(home))


commands = (sign,)
