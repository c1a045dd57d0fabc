# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator board-set`: the board's own record replaced."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fieldpost.cli.ceremony import Needed
from fieldpost.cli.console import json_option, show
from fieldpost.cli.operator_desk import Desk, desk_options
from fieldpost.cli.operator_file import read_operator_file
from fieldpost.cli.signing import export_option
from fieldpost.client.transport import split_url
from fieldpost.errors import Misconfigured
from fieldpost.keys import Algorithm, PublicKey, Signer
from fieldpost.records.board import (
    Admission,
    BoardRecord,
    Operator,
    Witness,
    decode_board_record,
)
from fieldpost.tlog.note import parse_vkey

F = TypeVar("F", bound=Callable[..., Any])
_LIMITS: Final = (
    ("--posts-per-day", "posts_per_day", "Posts of one maker's role."),
    ("--bytes-per-day", "bytes_per_day", "Bytes of one maker's role."),
    ("--registrations-per-day", "registrations_per_day", "New makers in all."),
    ("--endorsed-per-day", "endorsed_registrations_per_day", "New endorsed makers in all."),
    ("--reserve-posts", "reserve_posts_per_day", "Kept for keys, withdrawals and halts."),
    ("--classes-per-maker", "classes_per_maker", "Classes of one maker."),
)


def _limit_options(command: F) -> F:
    for option, name, text in reversed(_LIMITS):
        command = click.option(option, name, type=click.IntRange(0), help=text)(command)
    return command


@click.command(name="board-set")
@click.option(
    "--witness",
    "witnesses",
    multiple=True,
    metavar="VKEY[@URL]",
    help="Witness to add, and where nodes ask it. Repeatable.",
)
@click.option("--drop-witness", "dropped", multiple=True, help="Name of a witness to remove.")
@click.option("--witnesses-needed", type=click.IntRange(0), help="How many must cosign.")
@click.option(
    "--admission",
    type=click.Choice([a.name.lower() for a in Admission]),
    help="Which makers may register.",
)
@click.option("--epoch-s", type=click.IntRange(1), help="Seconds between two cosignatures.")
@click.option("--url", "urls", multiple=True, help="Your addresses. Replaces all.")
@click.option(
    "--operator",
    "operators",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Public file of an operator to add; it replaces one of the same name. Repeatable.",
)
@click.option("--drop-operator", multiple=True, help="Name of an operator to remove. Repeatable.")
@click.option("--rule-version", type=click.IntRange(1), help="Rules in force from the next batch.")
@_limit_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@export_option
@desk_options
@json_option
def board_set(
    *,
    witnesses: tuple[str, ...],
    dropped: tuple[str, ...],
    witnesses_needed: int | None,
    admission: str | None,
    epoch_s: int | None,
    urls: tuple[str, ...],
    operators: tuple[Path, ...],
    drop_operator: tuple[str, ...],
    rule_version: int | None,
    yes: bool,
    export: Path | None,
    data: Path,
    board_urls: tuple[str, ...],
    as_json: bool,
    **limits: int | None,
) -> None:
    r"""Change the board's record; what you do not name stays. A quorum of operators signs it.

    Devices follow it by themselves, each link signed by the quorum before it. Limits are per UTC
    day.

    \b
    fieldpost operator board-set --admission endorsed --data ./board --board URL
    fieldpost operator board-set --witness VKEY@URL --witnesses-needed 1 --data ./board --board URL
    fieldpost operator board-set --operator rome.operator --drop-operator oslo --data ./board \
        --board URL --export-unsigned change.unsigned
    """
    desk = Desk(data, board_urls, as_json=as_json)
    before = desk.record
    added = tuple(map(parse_witness, witnesses))
    kept = tuple(w for w in before.witnesses if w.key.name not in dropped)
    unknown = set(dropped) - {w.key.name for w in before.witnesses}
    if unknown:
        raise Misconfigured(f"the board has no witness {min(unknown)}")
    readdressed = tuple(
        replace(operator, urls=urls or operator.urls) if operator == desk.operator else operator
        for operator in before.operators
    )
    changed = replace(
        before,
        operators=_members(before.origin, readdressed, operators, drop_operator),
        witnesses=kept + added,
        witnesses_needed=(
            before.witnesses_needed if witnesses_needed is None else witnesses_needed
        ),
        admission=before.admission if admission is None else Admission[admission.upper()],
        limits=replace(
            before.limits,
            **{name: value for name, value in limits.items() if value is not None},
        ),
        rule_version=rule_version or before.rule_version,
        epoch_s=epoch_s or before.epoch_s,
    )
    if changed == before:
        raise Misconfigured("nothing would change; name what shall (--help lists it)")
    if not yes:
        _ask(before, changed)
    posted = post_record(desk, changed, (), export)
    title = "Board changed" if export is None else "To be signed by others"
    show(_facts(changed, desk) | posted, as_json=as_json, title=title)


def _members(
    origin: str, before: Sequence[Operator], files: Sequence[Path], dropped: Sequence[str]
) -> tuple[Operator, ...]:
    """The operators after some left and some came. Raises Misconfigured."""
    members = {operator.name: operator for operator in before}
    for name in dropped:
        if members.pop(name, None) is None:
            raise Misconfigured(f"the board has no operator {name}")
    for path in files:
        file = read_operator_file(path)
        if file.origin != origin:
            raise Misconfigured(f"{path} is for the board {file.origin}, and this is {origin}")
        members[file.operator.name] = file.operator
    if not members:
        raise Misconfigured("a board needs an operator; close it with `fieldpost board close`")
    return tuple(sorted(members.values(), key=lambda each: each.name))


def parse_witness(text: str) -> Witness:
    """Read VKEY or VKEY@URL; neither a vkey's base64 nor its hex has an @. Raises Malformed."""
    # The name of a key may have one.
    name, plus, rest = text.partition("+")
    vkey, at, url = rest.partition("@")
    if at:
        split_url(url)
    return Witness(key=parse_vkey(f"{name}{plus}{vkey}"), url=url.rstrip("/") if at else None)


def _ask(before: BoardRecord, changed: BoardRecord) -> None:
    if changed.operators != before.operators:
        names = ", ".join(operator.name for operator in changed.operators)
        click.confirm(
            f"From then on the operators are {names}, and {changed.quorum} of them must cosign. "
            "Are they all at work?",
            abort=True,
            err=True,
        )
    if changed.witnesses_needed > before.witnesses_needed:
        click.confirm(
            f"From then on nothing is published before {changed.witnesses_needed} witnesses "
            "cosign. Are they at work?",
            abort=True,
            err=True,
        )
    if changed.rule_version != before.rule_version:
        click.confirm(
            f"Replicas that do not know rule version {changed.rule_version} stop. Go on?",
            abort=True,
            err=True,
        )


def post_record(
    desk: Desk, changed: BoardRecord, signers: Sequence[Signer], export: Path | None
) -> dict[str, object]:
    """Put the record on the board as its next link, or export it; what to tell the user.

    A quorum of the operators signs, and every key that the record adds; `signers` are those of
    the latter that are here.
    """
    record = replace(changed, epoch=desk.link.epoch + 1, previous=desk.link.digest)
    decode_board_record(record.encode())
    needed = [desk.operators(desk.record.quorum)]
    held = set(_keys(desk.record))
    new = tuple(key for key in _keys(record) if key not in held)
    if new:
        needed.append(Needed("new keys", len(new), new))
    entries = desk.board.links("/v1/board", desk.link.epoch - 1)
    posted = desk.post(
        "board.set",
        desk.record.origin,
        record.encode(),
        needed,
        signers=signers,
        export=export,
        previous=next((e for e in entries if sha256(e).digest() == desk.link.digest), None),
    )
    if export is None:
        desk.settle_after()
    return posted


def _keys(record: BoardRecord) -> Iterator[PublicKey]:
    """Every key by which an operator signs anything."""
    for operator in record.operators:
        yield operator.governance_key
        yield operator.log_key.public_key
        yield from (key.public_key for key in operator.cosigner_keys)
        if operator.validator_key is not None:
            yield PublicKey(Algorithm.ED25519, operator.validator_key)


def _facts(record: BoardRecord, desk: Desk) -> dict[str, object]:
    return {
        "board": desk.board.id,
        "operators": [operator.name for operator in record.operators],
        "admission": record.admission.name.lower(),
        "witnesses": [witness.key.name for witness in record.witnesses],
        "witnesses_needed": record.witnesses_needed,
        "epoch_s": record.epoch_s,
        "rule_version": record.rule_version,
        **{name: getattr(record.limits, name) for _, name, _ in _LIMITS},
    }


commands = (board_set,)
