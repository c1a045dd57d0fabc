# SPDX-License-Identifier: Apache-2.0
"""`fieldpost operator rotate-keys`: an operator's own keys replaced, beside its running node.

The new key lies beside the old one before anything is posted, and the board's record alone says
which of them counts, so this may be cut off at any moment; the same command goes on.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from fieldpost import durable
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.operator_board import post_record
from fieldpost.cli.operator_desk import KEYS, Desk, desk_options
from fieldpost.cli.signing import export_option
from fieldpost.engines.cometbft.home import comet_home
from fieldpost.engines.cometbft.succession import (
    give_up_successor,
    make_successor,
    read_successor,
)
from fieldpost.engines.operator_keys import (
    COSIGNER,
    GOVERNANCE,
    LOG,
    POST_QUANTUM,
    make_key,
    next_path,
)
from fieldpost.errors import Misconfigured
from fieldpost.keys import Algorithm, Signer
from fieldpost.records.board import Operator
from fieldpost.tlog.cosignature import cosigner_key
from fieldpost.tlog.note import ED25519, VerifierKey

VALIDATOR: Final = "validator"


@click.command(name="rotate-keys")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Choice([*KEYS, VALIDATOR, "all"]),
    help="Which to replace; cosigner-mldsa44 is made if you have none. Repeatable.",
)
@click.option("--abandon", is_flag=True, help="Give up a rotation that the board did not take.")
@export_option
@desk_options
@json_option
def rotate_keys(
    *,
    keys: tuple[str, ...],
    abandon: bool,
    export: Path | None,
    data: Path,
    board_urls: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Replace keys of your own, while your node runs. A quorum of operators signs it.

    New keys are made in DATA/keys as NAME.next.pem and sign, which proves that they are there.
    From the batch that carries the change on the node signs with them; then old files are kept in
    DATA/keys/retired. Devices follow by themselves. Without --key an interrupted rotation goes on.
    A stolen key: rotate it at once, and look at `fieldpost board fsck`.

    The validator key, with which the CometBFT of one of several operators votes for blocks, has its
    successor in DATA/cometbft/config. It votes two blocks after the change; the node starts its
    CometBFT again with it, which takes seconds, and does so at its next start if it is down.

    \b
    fieldpost operator rotate-keys --key log --key cosigner --data ./board --board URL
    fieldpost operator rotate-keys --key governance --data ./board --board URL
    fieldpost operator rotate-keys --key all --data ./board --board URL \
        --export-unsigned rotate.unsigned
    """
    desk = Desk(data, board_urls, as_json=as_json)
    home = comet_home(data)
    pending = [name for name in KEYS if next_path(desk.keys, name).exists()]
    if _is_open(read_successor(home), desk):
        pending.append(VALIDATOR)
    if abandon:
        _abandon(desk, home, pending)
        return
    chosen = _choose(desk, keys, pending)
    if not chosen:
        show({"operator": desk.operator.name}, as_json=as_json, title="Nothing is under way")
        return
    new = {name: _make(desk, home, name) for name in chosen}
    operators = tuple(
        _renewed(operator, new, desk.record.origin) if operator == desk.operator else operator
        for operator in desk.record.operators
    )
    changed = replace(desk.record, operators=operators)
    posted = post_record(desk, changed, tuple(new.values()), export)
    facts: dict[str, object] = {
        "operator": desk.operator.name,
        "keys": chosen,
        "old_keys": [str(folder / "retired") for folder in _folders(desk, home, chosen)],
    }
    title = "Keys rotated" if export is None else "To be signed by other operators"
    show(facts | posted, as_json=as_json, title=title)
    if export is None:
        kept = " and ".join(str(folder) for folder in _folders(desk, home, chosen))
        note(f"next: back up {kept}; you need not restart anything", as_json=as_json)


def _choose(desk: Desk, keys: tuple[str, ...], pending: list[str]) -> list[str]:
    if not keys:
        return pending
    wanted = [name for name in (*KEYS, VALIDATOR) if name in keys or "all" in keys]
    if desk.operator.validator_key is None and VALIDATOR in wanted:
        if VALIDATOR in keys:
            raise Misconfigured("this board has one operator and no validators: nothing votes here")
        wanted.remove(VALIDATOR)
    if "all" in keys and POST_QUANTUM not in keys and len(desk.operator.cosigner_keys) == 1:
        wanted.remove(POST_QUANTUM)
    other = [name for name in pending if name not in wanted]
    if other:
        raise Misconfigured(
            f"a rotation of {', '.join(other)} is under way; finish it first by the same command "
            "without --key, or give it up with --abandon"
        )
    return wanted


def _is_open(successor: bytes | None, desk: Desk) -> bool:
    """Whether the board has not taken it yet. What it took is the node's business."""
    taken = {operator.validator_key for operator in desk.record.operators}
    return successor is not None and successor not in taken


def _make(desk: Desk, home: Path, name: str) -> Signer:
    if name == VALIDATOR:
        found = make_successor(home)
        if found.public_key.raw == desk.operator.validator_key:
            raise Misconfigured(
                "the board has the last new validator key, and your node has not gone over to it "
                "yet: start the node, wait for `validator-key-changed` in its log, and try again"
            )
        return found
    algorithm = Algorithm.ML_DSA_44 if name == POST_QUANTUM else Algorithm.ED25519
    return make_key(next_path(desk.keys, name), algorithm)


def _folders(desk: Desk, home: Path, names: list[str]) -> list[Path]:
    """Where keys of these names lie."""
    validator = [home / "config"] if VALIDATOR in names else []
    return [*([desk.keys] if set(names) - {VALIDATOR} else []), *validator]


def _renewed(operator: Operator, new: dict[str, Signer], origin: str) -> Operator:
    if GOVERNANCE in new:
        operator = replace(operator, governance_key=new[GOVERNANCE].public_key)
    if LOG in new:
        key = VerifierKey(origin, ED25519, new[LOG].public_key.raw)
        operator = replace(operator, log_key=key)
    if VALIDATOR in new:
        operator = replace(operator, validator_key=new[VALIDATOR].public_key.raw)
    first, *others = operator.cosigner_keys
    if COSIGNER in new:
        first = cosigner_key(first.name, new[COSIGNER].public_key)
    if POST_QUANTUM in new:
        others = [cosigner_key(first.name, new[POST_QUANTUM].public_key)]
    return replace(operator, cosigner_keys=(first, *others))


def _abandon(desk: Desk, home: Path, pending: list[str]) -> None:
    if not pending:
        raise Misconfigured("no rotation is under way")
    retired = desk.keys / "retired"
    durable.make_dirs(retired, mode=0o700)
    # Kept, since what was exported may still be signed and posted by others.
    if VALIDATOR in pending:
        give_up_successor(home, desk.record.epoch)
    for name in (name for name in pending if name != VALIDATOR):
        path = next_path(desk.keys, name)
        durable.publish(path, retired / f"{name}.abandoned-{desk.record.epoch}.pem")
    title = "The old keys stay in use"
    show({"abandoned": pending}, as_json=desk.as_json, title=title)


commands = (rotate_keys,)
