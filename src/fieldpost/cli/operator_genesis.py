# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator genesis`: operators found a board together, each on its own machine."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from fieldpost import durable
from fieldpost.cli.ceremony import (
    Request,
    Signed,
    decode_signatures,
    encode_signatures,
)
from fieldpost.cli.console import json_option, moment, note, show
from fieldpost.cli.maker_sign import present, read_ceremony_file
from fieldpost.cli.operator_file import OperatorFile, founding_record, read_operator_file
from fieldpost.cli.options import find_pin_prompt
from fieldpost.cli.signing import Ceremonies, export_option
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.operator_keys import GOVERNANCE, load_signer
from fieldpost.errors import Misconfigured
from fieldpost.records.board import Admission, Witness, decode_board_record
from fieldpost.tlog.note import parse_vkey

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class _Moment(click.ParamType[int]):
    """A whole second in UTC, as 2027-01-31T12:00:00Z."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return int(datetime.strptime(f"{value}+0000", "%Y-%m-%dT%H:%M:%SZ%z").timestamp())
        except ValueError:
            self.fail(f"{value!r} is no time in UTC; write 2027-01-31T12:00:00Z", param, ctx)


@click.command(name="genesis")
@click.argument("files", metavar="OPERATOR...", nargs=-1, required=True, type=_FILE)
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder of your node's data, with the keys of `operator init`.",
)
@click.option(
    "--time",
    type=_Moment(),
    required=True,
    help="When the board begins, in UTC, the same at every operator: 2027-01-31T12:00:00Z. "
    "Nothing is ordered before.",
)
@click.option("--epoch-s", type=click.IntRange(1, 86_400), default=60, show_default=True,
              help="Seconds between two cosignatures.")  # fmt: skip
@click.option("--witness", "witnesses", multiple=True, help="vkey of a witness. Repeatable.")
@click.option("--witnesses-needed", type=click.IntRange(0), default=0, show_default=True,
              help="How many of them must cosign.")  # fmt: skip
@click.option(
    "--admission",
    type=click.Choice([a.name.lower() for a in Admission]),
    default=Admission.OPEN.name.lower(),
    show_default=True,
    help="Which makers may register.",
)
@click.option(
    "--signatures", multiple=True, type=_FILE, help="Another operator's signature. Repeatable."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your signature, for the others.  [default: NAME.signatures]",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the node's settings to begin with; a file that is there is kept.",
)
@click.option("--yes", is_flag=True, help="Sign without asking; you have read what it says.")
@export_option
@json_option
def genesis(
    *,
    files: tuple[Path, ...],
    data: Path,
    time: int,
    epoch_s: int,
    witnesses: tuple[str, ...],
    witnesses_needed: int,
    admission: str,
    signatures: tuple[Path, ...],
    out: Path | None,
    settings: Path | None,
    yes: bool,
    export: Path | None,
    as_json: bool,
) -> None:
    r"""Found a board of several operators. Every operator runs the same command, twice.

    First from all public files: it shows the board's record and signs it. Exchange the signatures.
    Then with the signatures of all others: it writes genesis.json into the data folder, the same
    bytes at every operator, and says its SHA-256. It may be repeated at any time.

    \b
    fieldpost operator genesis *.operator --time 2027-01-31T12:00:00Z --data /var/lib/fieldpost
    fieldpost operator genesis *.operator --time 2027-01-31T12:00:00Z --data /var/lib/fieldpost \
        --signatures paris.signatures --signatures oslo.signatures --settings operator.toml
    """
    from fieldpost.cli.founding import complete, founding_request, starter_settings

    found = [read_operator_file(path) for path in files]
    record = founding_record(
        found,
        epoch_s=epoch_s,
        witnesses=tuple(Witness(key=parse_vkey(text)) for text in witnesses),
        witnesses_needed=witnesses_needed,
        admission=Admission[admission.upper()],
    )
    decode_board_record(record.encode())
    own = _own(data, found)
    request = founding_request(record)
    ceremonies = Ceremonies(data / "ceremonies")
    held = ceremonies.join(request, ())
    if not any(signed.kid == own.operator.governance_key.thumbprint() for signed in held):
        held = ceremonies.join(request, _sign(data, own, request, as_json=as_json, yes=yes))
    for path in signatures:
        held = _bring(ceremonies, request, path)
    out = out or Path(f"{own.operator.name}.signatures")
    mine = [s for s in held if s.kid == own.operator.governance_key.thumbprint()]
    if mine:
        durable.write_file(out, encode_signatures(request.digest, mine))
    if export is not None:
        durable.write_file(export, request.encode())
    facts: dict[str, object] = {
        "origin": record.origin,
        "operators": [f"{file.operator.name}: {file.fingerprint}" for file in found],
        "begins": moment(time),
        "signature": str(out) if mine else None,
        "unsigned": None if export is None else str(export),
    }
    missing = _missing(request, held, found)
    if missing:
        show(facts | {"still_needed": missing}, as_json=as_json, title="Not founded yet")
        return
    facts |= complete(data, request, held, time=time)
    if settings is not None:
        starter_settings(settings, data, own, found)
    facts |= {
        "settings": None if settings is None else str(settings),
        "peers": [file.peer for file in found if file != own],
    }
    show(facts, as_json=as_json, title="Founded")
    note("next: compare the SHA-256 with the others, then  fieldpost operator run", as_json=as_json)


def _own(data: Path, files: Sequence[OperatorFile]) -> OperatorFile:
    """The file whose keys are here, every one of them. Raises Misconfigured."""
    from fieldpost.engines.cometbft.home import comet_home, read_node_id, read_validator_key
    from fieldpost.engines.operator_keys import find_keys

    _, operator = find_keys(keys_directory(data), founding_record(list(files)))
    own = next(file for file in files if file.operator == operator)
    home = comet_home(data)
    if read_validator_key(home) != operator.validator_key:
        raise Misconfigured(
            f"the public file of {operator.name} has another validator key than {home}: make the "
            "file again with `fieldpost operator init`, and send it to all"
        )
    if own.peer.partition("@")[0] != read_node_id(home):
        raise Misconfigured(
            f"the public file of {operator.name} names another CometBFT than {home}: make it again "
            "with `fieldpost operator init`, and send it to all"
        )
    return own


def _sign(
    data: Path, own: OperatorFile, request: Request, *, as_json: bool, yes: bool
) -> Sequence[Signed]:
    """This operator's signature, if its governance key is here and a person agrees."""
    path = keys_directory(data) / f"{GOVERNANCE}.pem"
    if not path.exists():
        note(f"{path} is elsewhere: sign there with --export-unsigned FILE", as_json=as_json)
        return ()
    signer = load_signer(path, find_pin_prompt())
    if signer.public_key != own.operator.governance_key:
        raise Misconfigured(
            f"{path} is not the governance key that {own.operator.name}'s public file names: make "
            "the file again with `fieldpost operator init`, and send it to all"
        )
    present(request, as_json=as_json)
    if not yes:
        click.confirm("Found this board?", abort=True, err=True)
    return (request.sign(signer),)


def _bring(ceremonies: Ceremonies, request: Request, path: Path) -> tuple[Signed, ...]:
    data = read_ceremony_file(path)
    if decode_signatures(data)[0] != request.digest:
        raise Misconfigured(
            f"{path} signs another record than these files and options make: every operator must "
            "use the same public files and the same options"
        )
    return ceremonies.add(data)[1]


def _missing(request: Request, held: Sequence[Signed], files: Sequence[OperatorFile]) -> list[str]:
    signed = {one.kid for one in held}
    missing = [
        file.operator.name
        for file in files
        if file.operator.governance_key.thumbprint() not in signed
    ]
    return missing or request.lacks(signed)


commands = (genesis,)
