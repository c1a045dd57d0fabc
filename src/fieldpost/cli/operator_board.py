# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator board-set`: the board's own record replaced."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fieldpost.cli.ceremony import Needed
from fieldpost.cli.console import json_option, show
from fieldpost.cli.operator_desk import Desk, desk_options
from fieldpost.cli.signing import export_option
from fieldpost.errors import Misconfigured
from fieldpost.keys import Signer
from fieldpost.records.board import Admission, BoardRecord, Witness, decode_board_record
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
@click.option("--witness", "witnesses", multiple=True, help="vkey of a witness to add.")
@click.option("--drop-witness", "dropped", multiple=True, help="Name of a witness to remove.")
@click.option("--witnesses-needed", type=click.IntRange(0), help="How many must cosign.")
@click.option(
    "--admission",
    type=click.Choice([a.name.lower() for a in Admission]),
    help="Which makers may register.",
)
@click.option("--epoch-s", type=click.IntRange(1), help="Seconds between two cosignatures.")
@click.option("--url", "urls", multiple=True, help="Your addresses. Replaces all.")
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
    rule_version: int | None,
    yes: bool,
    export: Path | None,
    data: Path,
    board_url: str,
    as_json: bool,
    **limits: int | None,
) -> None:
    r"""Change the board's record; what you do not name stays. A quorum of operators signs it.

    Devices follow it by themselves, each link signed by the quorum before it. Limits are per UTC
    day.

    \b
    fieldpost operator board-set --admission endorsed --data ./board --board URL
    fieldpost operator board-set --witness VKEY --witnesses-needed 1 --data ./board --board URL
    """
    desk = Desk(data, board_url, as_json=as_json)
    before = desk.record
    added = tuple(Witness(key=parse_vkey(text)) for text in witnesses)
    kept = tuple(w for w in before.witnesses if w.key.name not in dropped)
    unknown = set(dropped) - {w.key.name for w in before.witnesses}
    if unknown:
        raise Misconfigured(f"the board has no witness {min(unknown)}")
    changed = replace(
        before,
        operators=tuple(
            replace(operator, urls=urls or operator.urls) if operator == desk.operator else operator
            for operator in before.operators
        ),
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
    show(_facts(changed, desk) | posted, as_json=as_json, title="Board changed")


def _ask(before: BoardRecord, changed: BoardRecord) -> None:
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
    desk: Desk, changed: BoardRecord, new_keys: Sequence[Signer], export: Path | None
) -> dict[str, object]:
    """Put the record on the board as its next link, or export it; what to tell the user.

    `new_keys`: those that it adds, each of which signs.
    """
    record = replace(changed, epoch=desk.link.epoch + 1, previous=desk.link.digest)
    decode_board_record(record.encode())
    needed = [desk.operators(desk.record.quorum)]
    if new_keys:
        public = tuple(signer.public_key for signer in new_keys)
        needed.append(Needed("new keys", len(public), public))
    entries = desk.board.links("/v1/board", desk.link.epoch - 1)
    posted = desk.post(
        "board.set",
        desk.record.origin,
        record.encode(),
        needed,
        signers=new_keys,
        export=export,
        previous=next((e for e in entries if sha256(e).digest() == desk.link.digest), None),
    )
    if export is None:
        desk.settle_after()
    return posted


def _facts(record: BoardRecord, desk: Desk) -> dict[str, object]:
    return {
        "board": desk.board.id,
        "admission": record.admission.name.lower(),
        "witnesses": [witness.key.name for witness in record.witnesses],
        "witnesses_needed": record.witnesses_needed,
        "epoch_s": record.epoch_s,
        "rule_version": record.rule_version,
        **{name: getattr(record.limits, name) for _, name, _ in _LIMITS},
    }


commands = (board_set,)
