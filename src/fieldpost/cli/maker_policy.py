# SPDX-License-Identifier: Apache-2.0
"""`fieldpost maker set-policy`: what your devices accept, and the way out (docs/spec/policy.md)."""

from dataclasses import replace
from pathlib import Path

import click

from fieldpost.cli.acting import act
from fieldpost.cli.board_access import Board
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.options import home_options
from fieldpost.cli.signing import export_option, needed_of
from fieldpost.errors import Misconfigured
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement
from fieldpost.records.maker import MakerRecord, Role
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
    contact: str | None,
    report_urls: tuple[str, ...],
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Change what your devices accept; what you do not name stays. Your roots sign it.

    With --move-to the devices leave this board: the link is the last one here, and it names the
    other board as its node shows it now. Look at that board first.

    \b
    fieldpost maker set-policy --max-age-days 3 --link-url https://acme.example/fieldpost
    fieldpost maker set-policy --move-to https://other.example --url https://other.example
    """
    acting = act(home, passphrase_file, as_json=as_json)
    if grace_days is not None and never_leave != (grace_days == 0):
        raise Misconfigured(
            "--grace-days 0 and --never-leave go together: if this board dies, devices with "
            "grace 0 never update again unless a person acts on each"
        )
    before, link = acting.record()
    policy = before.policy if move_to is None else _policy_on(Board(move_to), before.policy)
    if urls or move_to:
        policy = replace(policy, urls=urls or (str(move_to),))
    if link_urls:
        policy = replace(policy, link_urls=link_urls)
    if witnesses or witnesses_needed is not None:
        keys = tuple(map(parse_vkey, witnesses)) if witnesses else policy.witnesses
        needed = len(keys) if witnesses_needed is None else witnesses_needed
        policy = replace(policy, witnesses=keys, witnesses_needed=needed)
    if max_age_days is not None:
        policy = replace(policy, max_age_s=round(max_age_days * _DAY))
    if grace_days is not None or never_leave:
        policy = replace(policy, grace_s=round((grace_days or 0) * _DAY))
    changed = replace(
        before,
        policy=policy,
        contact=contact or before.contact,
        report_urls=report_urls or before.report_urls,
    )
    if changed == before:
        raise Misconfigured("nothing would change; name what shall (--help lists it)")
    record = replace(changed, epoch=link.epoch + 1, previous=link.digest)
    posted = acting.post(
        Statement(
            kind="maker.set",
            issuer=acting.id.hex(),
            subject=subjects.of_maker(acting.id),
            audience=acting.board.id,
            payload=record.encode(),
        ),
        [needed_of(before, Role.ROOT)],
        list(acting.signers(before, Role.ROOT)),
        export=export,
        previous=acting.entry_of(f"/v1/makers/{acting.id.hex()}/links", link),
    )
    show(_facts(record) | posted, as_json=as_json, title="Policy set")
    if move_to is not None:
        note(
            f"next: take your links to {policy.board}; devices follow at their next check-in",
            as_json=as_json,
        )


def _policy_on(board: Board, policy: DevicePolicy) -> DevicePolicy:
    record, link = board.record()
    size, _ = board.head()
    # Witnesses are those of a board's record; the other board's are chosen anew.
    return replace(
        policy,
        board=board.id,
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
