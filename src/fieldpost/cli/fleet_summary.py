# SPDX-License-Identifier: Apache-2.0
"""`fieldpost fleet summary|prove`: numbers of a fleet on the board, and one report under them.

The fleet service keeps the reports and counts them (docs/spec/kinds.md, fleet summary). Whoever
posts its numbers believes it; what it shows later is verified here, against the posted root.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from fieldpost.cli.acting import Acting, act
from fieldpost.cli.board_access import Board
from fieldpost.cli.console import json_option, moment, note, show
from fieldpost.cli.device_proof import find_place
from fieldpost.cli.options import HexId, home_options
from fieldpost.cli.signing import export_option
from fieldpost.cli.views import PeriodView
from fieldpost.errors import Conflict, Misconfigured, NotFound, Untrusted
from fieldpost.identity.report import verify_report
from fieldpost.posts import subjects
from fieldpost.posts.fleet import FleetSummary, Outcomes, decode_fleet_summary
from fieldpost.records import map_keys
from fieldpost.records.limits import MAX_SUMMARY_RELEASES
from fieldpost.records.maker import Role
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.proof import verify_inclusion

_DAY_OPTION = click.DateTime(["%Y-%m-%d"])
_FLEET_OPTION = click.option(
    "--fleet", "fleet_url", help="URL of your own fleet service.  [default: the board's node]"
)


@click.command(name="summary")
@click.argument("class_name", metavar="CLASS")
@click.option(
    "--from",
    "since",
    type=_DAY_OPTION,
    help="First day, in UTC.  [default: where the last summary ended]",
)
@click.option("--to", "until", type=_DAY_OPTION, help="First day after it.  [default: until now]")
@click.option("--yes", is_flag=True, help="Post without asking; you know the numbers.")
@_FLEET_OPTION
@export_option
@home_options
@json_option
def summary(
    *,
    class_name: str,
    since: datetime | None,
    until: datetime | None,
    yes: bool,
    fleet_url: str | None,
    export: Path | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Post how CLASS fared in a period: numbers and a digest, no device. You need not.

    Counted are devices that told, for the first time, that a release was confirmed, failed or
    reverted. You see what becomes public, for ever, before it is posted. Later you can show any
    of the counted reports (`fieldpost fleet prove`), and can change none.

    \b
    fieldpost fleet summary bulb-a19:r2
    fieldpost fleet summary bulb-a19:r2 --from 2027-01-01 --to 2027-04-01 --yes
    """
    acting = act(home, passphrase_file, as_json=as_json)
    class_, _ = acting.class_(class_name)
    last = _posted(acting, class_.id)
    start = _seconds(since) if since else None if last is None else last.end
    if last is not None and start is not None and start < last.end:
        raise Conflict(
            f"the last summary ends at {moment(last.end)}; begin there, or leave --from out"
        )
    period = _ask(acting, fleet_url, f"{class_.id.hex()}/period", start, _seconds(until))
    if not period.reports:
        raise NotFound("no device told the end of a release in this period; nothing to post")
    outcomes = _of_published(acting, class_.id, period)
    facts = _facts(class_.id, period, outcomes)
    if not yes:
        show(facts, as_json=False, title="You are about to make public, for ever")
        if not sys.stdin.isatty():
            raise Misconfigured("there is nobody to ask here; say --yes if this may become public")
        click.confirm("Post it?", abort=True, err=True)
    posted = acting.post_in_role(
        Role.ROLLOUT,
        "fleet.summary",
        subjects.of_class(class_.id),
        lambda nonce: FleetSummary(
            nonce=nonce,
            class_id=class_.id,
            start=period.start,
            end=period.end,
            reports=period.reports,
            root=period.root,
            outcomes=outcomes,
        ).encode(),
        export=export,
    )
    show(
        facts | posted,
        as_json=as_json,
        title="Summary posted" if export is None else "To be signed elsewhere",
    )
    note(f"later, for one device: fieldpost fleet prove {class_name} DEVICE", as_json=as_json)


@click.command(name="prove")
@click.argument("class_name", metavar="CLASS")
@click.argument("device", type=HexId(32))
@_FLEET_OPTION
@home_options
@json_option
def prove(
    *,
    class_name: str,
    device: bytes,
    fleet_url: str | None,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Prove which reports of DEVICE (its id, 64 hex digits) the last summary of CLASS counts.

    Each is signed by the key that stands in the device's lot, and lies under the posted root.

    \b
    fieldpost fleet prove bulb-a19:r2 DEVICE
    """
    acting = act(home, passphrase_file, as_json=as_json)
    class_, _ = acting.class_(class_name)
    posted = _posted(acting, class_.id)
    if posted is None:
        raise NotFound(f"{class_name} has no summary yet; `fieldpost fleet summary {class_name}`")
    key = find_place(acting.proven, device, fleet_url=fleet_url).leaf.key
    path = f"{class_.id.hex()}/period/{device.hex()}"
    period = _ask(acting, fleet_url, path, posted.start, posted.end)
    rows = []
    for index, data, hashes in period.shown:
        verify_inclusion(
            leaf_hash=leaf_hash(data),
            index=index,
            size=posted.reports,
            root=posted.root,
            path=hashes,
        )
        report = verify_report(data, key, board=acting.board.id)
        sequence = report.components[0].sequence if report.components else 0
        rows.append(f"{report.outcome.value} {sequence} (report {index} of {posted.reports})")
    if not rows:
        # An empty answer is true or not; only the whole list could tell.
        if (period.reports, period.root) != (posted.reports, posted.root):
            raise Untrusted("bad-proof", "this service no longer keeps what was counted")
        raise NotFound("the service keeps no report of this device in the summary's period")
    show(
        {
            "class": class_.id.hex(),
            "device": device.hex(),
            "from": moment(posted.start),
            "to": moment(posted.end),
            "root": posted.root.hex(),
            "counted": rows,
        },
        as_json=as_json,
        title="Proven",
    )


def _posted(acting: Acting, class_id: bytes) -> FleetSummary | None:
    value = acting.proven.value(map_keys.summary(class_id))
    return None if value is None else decode_fleet_summary(value)


def _seconds(day: datetime | None) -> int | None:
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp())


def _ask(
    acting: Acting, fleet_url: str | None, path: str, start: int | None, end: int | None
) -> PeriodView:
    service = Board(fleet_url) if fleet_url else acting.board
    query = [f"{name}={at}" for name, at in (("from", start), ("to", end)) if at is not None]
    return PeriodView.parse(service.json(f"/v1/fleet/{path}?{'&'.join(query)}"))


def _of_published(acting: Acting, class_id: bytes, period: PeriodView) -> dict[int, Outcomes]:
    """The outcomes that may be posted: a device can report on a release that never was."""
    published = {row.sequence for row in acting.board.releases(class_id)}
    known = sorted(published & set(period.outcomes))[-MAX_SUMMARY_RELEASES:]
    left = len(period.outcomes) - len(known)
    if left:
        note(
            f"{left} sequences are left out of the outcomes: never published, or older than the "
            f"newest {MAX_SUMMARY_RELEASES}; their reports stay under the root",
            as_json=acting.as_json,
        )
    return {sequence: Outcomes(*period.outcomes[sequence]) for sequence in known}


def _facts(class_id: bytes, period: PeriodView, outcomes: dict[int, Outcomes]) -> dict[str, object]:
    return {
        "class": class_id.hex(),
        "from": moment(period.start),
        "to": moment(period.end),
        "reports": period.reports,
        "root": period.root.hex(),
        "outcomes": [
            f"release {sequence}: confirmed {counts.confirmed}, failed {counts.failed}, "
            f"reverted {counts.reverted}"
            for sequence, counts in outcomes.items()
        ],
    }


commands = (summary, prove)
