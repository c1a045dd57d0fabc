# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker set-policy`: what your devices accept, and the way out (docs/spec/policy.md)."""

from dataclasses import replace
from pathlib import Path
from time import time

import click

from fieldpost.cli.board_access import Board
from fieldpost.cli.bound_board import device_urls
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.maker_links import LinkHere, OrphanLink
from fieldpost.cli.options import check_grace, home_options
from fieldpost.cli.proven import ProvenBoard
from fieldpost.cli.signing import export_option
from fieldpost.errors import Misconfigured
from fieldpost.records import map_keys
from fieldpost.records.maker import MakerRecord
from fieldpost.records.policy import DevicePolicy
from fieldpost.tlog.note import parse_vkey

_DAY = 86_400


@click.command(name="set-policy")
@click.option("--max-age-days", type=float, help="Oldest news that devices accept.")
@click.option("--grace-days", type=float, help="Powered days alone after which they leave a board.")
@click.option("--never-leave", is_flag=True, help="Grace 0: devices never leave by themselves.")
@click.option("--url", "urls", multiple=True, help="URL devices check in at. Replaces all.")
@click.option("--link-url", "link_urls", multiple=True, help="Your own URL with your links.")
@click.option("--witness", "witnesses", multiple=True, help="Witness vkey. Replaces all.")
@click.option("--witnesses-needed", type=click.IntRange(0, 5), help="How many must cosign.")
@click.option("--move-to", help="URL of a node of another board: devices move there.")
@click.option("--board-is-gone", is_flag=True, help="With --move-to: post nothing on the old one.")
@click.option("--contact", help="Where people report vulnerabilities.")
@click.option("--report-url", "report_urls", multiple=True, help="Where devices report.")
@export_option
@home_options
@json_option
def set_policy(
    *,
    max_age_days: float | None,
    grace_days: float | None,
    never_leave: bool,
    urls: tuple[str, ...],
    link_urls: tuple[str, ...],
    witnesses: tuple[str, ...],
    witnesses_needed: int | None,
    move_to: str | None,
    board_is_gone: bool,
    contact: str | None,
    report_urls: tuple[str, ...],
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Change what your devices accept; what you do not name stays. Your roots sign it.

    With --move-to the devices leave this board: the link is the last one here, and it names the
    other board as its node shows it now. Look at that board first, register there, and prepare
    what your devices shall find (`maker use`). If this board is gone, --board-is-gone signs the
    link all the same: devices take it from your link URLs after their grace, or by hand.

    \b
    fieldpost maker set-policy --max-age-days 3 --link-url https://acme.example/fieldpost
    fieldpost maker set-policy --move-to https://other.example --url https://other.example
    fieldpost maker set-policy --move-to https://other.example --board-is-gone
    """
    if board_is_gone and move_to is None:
        raise Misconfigured("--board-is-gone goes with --move-to URL: where do the devices go?")
    linking = (OrphanLink if board_is_gone else LinkHere)(home, passphrase_file, as_json=as_json)
    if grace_days is not None:
        check_grace(grace_days, never_leave=never_leave)
    before, link = linking.before()
    policy = before.policy
    if move_to is not None:
        policy = _policy_on(Board(move_to), linking.maker_id, before.policy)
    policy = replace(policy, urls=urls or policy.urls, link_urls=link_urls or policy.link_urls)
    policy = _with_witnesses(policy, witnesses, witnesses_needed)
    policy = _with_times(policy, max_age_days, grace_days, never_leave=never_leave)
    changed = replace(
        before,
        policy=policy,
        contact=contact or before.contact,
        report_urls=report_urls or before.report_urls,
    )
    if changed == before:
        raise Misconfigured("nothing would change; name what shall (--help lists it)")
    record = replace(changed, epoch=link.epoch + 1, previous=link.digest)
    if move_to is not None:
        linking.check_fits_after(before, record)
    posted = linking.post(before, record, link, export)
    if export is not None:
        show(_facts(record) | posted, as_json=as_json, title="To be signed elsewhere")
        return
    show(_facts(record) | posted, as_json=as_json, title="Policy set")
    if move_to is not None:
        note(f"next: fieldpost maker register --board {move_to}", as_json=as_json)
    if board_is_gone or policy.link_urls:
        note("then, for your link URLs: fieldpost maker links --out FILE", as_json=as_json)


def _with_witnesses(
    policy: DevicePolicy, witnesses: tuple[str, ...], needed: int | None
) -> DevicePolicy:
    if not witnesses and needed is None:
        return policy
    keys = tuple(map(parse_vkey, witnesses)) if witnesses else policy.witnesses
    return replace(policy, witnesses=keys, witnesses_needed=len(keys) if needed is None else needed)


def _with_times(
    policy: DevicePolicy, max_age_days: float | None, grace_days: float | None, *, never_leave: bool
) -> DevicePolicy:
    if max_age_days is not None:
        policy = replace(policy, max_age_s=round(max_age_days * _DAY))
    if grace_days is not None or never_leave:
        policy = replace(policy, grace_s=round((grace_days or 0) * _DAY))
    return policy


def _policy_on(board: Board, maker: bytes, policy: DevicePolicy) -> DevicePolicy:
    if ProvenBoard(board, board.id, now=int(time())).link(map_keys.maker(maker)) is None:
        raise Misconfigured(
            f"{board.url} proves that you are not registered there, and devices that moved would "
            f"find nothing: fieldpost maker register --board {board.url}"
        )
    record, link = board.record()
    size, _ = board.head()
    # Witnesses are those of a board's record; the other board's are chosen anew.
    return replace(
        policy,
        board=board.id,
        urls=device_urls(board, board.urls),
        board_epoch=record.epoch,
        board_link=link,
        least_size=size,
        witnesses=(),
        witnesses_needed=0,
    )


def _facts(record: MakerRecord) -> dict[str, object]:
    policy = record.policy
    return {
        "epoch": record.epoch,
        "board": policy.board,
        "urls": list(policy.urls),
        "link_urls": list(policy.link_urls),
        "max_age_s": policy.max_age_s,
        "grace_s": policy.grace_s,
        "witnesses": [key.name for key in policy.witnesses],
        "witnesses_needed": policy.witnesses_needed,
        "contact": record.contact,
    }


commands = (set_policy,)
