# SPDX-License-Identifier: Apache-2.0
"""`fieldpost board fsck`: a check of everything that a board ever said."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fieldpost.cli.board import choose_board
from fieldpost.cli.board_access import Board
from fieldpost.cli.console import json_option, moment, progress, show, table
from fieldpost.cli.failures import FAMILIES
from fieldpost.cli.options import board_option, home_options
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed, Misbehaviour, Misconfigured, NotFound, Untrusted
from fieldpost.store.read_faults import is_lost, why_not_read

if TYPE_CHECKING:
    from fieldpost.watch.fsck_log import Read
    from fieldpost.watch.fsck_report import Report

_BUNDLE_BYTES = 256 * (65_535 + 2)
_SHOWN = 10
DAMAGED = FAMILIES[Untrusted][0]


@click.command()
@click.argument("target", metavar="[URL|DIRECTORY]", required=False)
@board_option
@click.option(
    "--blobs/--no-blobs",
    default=True,
    show_default=True,
    help="At a URL: fetch and check manifests and artifacts too.",
)
@home_options
@json_option
@click.pass_context
def fsck(
    ctx: click.Context,
    *,
    target: str | None,
    board_urls: tuple[str, ...],
    blobs: bool,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Check all of a board: at a URL of a node or mirror, in a DIRECTORY, or the one at --board.

    Every entry is hashed, every signature verified, every rule applied again, every state leaf
    compared; the newest checkpoint must carry the operators' quorum, and each of its lines is
    checked; chains of links are followed as devices do. Nothing is believed. DIRECTORY is a copy
    of a log, or the folder of a node, mirror or backup, of which every file is checked then, also
    while it runs. All that is damaged is named, with what to do (exit code 3); what could not be
    checked, or not without what is damaged, is said, and is no failure.

    \b
    fieldpost board fsck https://board.example
    fieldpost board fsck /var/lib/fieldpost
    fieldpost board fsck ./copy-of-the-log --json
    """
    # It needs the whole ledger, which no other command of this noun does.
    from fieldpost.watch import fsck as checks
    from fieldpost.watch.fsck_first_look import COPY_AGAIN

    title = "Verified: the log proves every word of the state"
    advice = COPY_AGAIN
    bars = partial(progress, as_json=as_json)
    try:
        if target is None or "://" in target:
            advice = checks.ASK_ANOTHER
            board = Board(target) if target else choose_board(board_urls, home, passphrase_file)
            report = board.ask(
                lambda node: checks.check_url(node, _fetcher(node), progress=bars, blobs=blobs)
            )
        elif not Path(target).is_dir():
            raise Misconfigured(f"{target} is no folder, and no URL with http:// or https://")
        elif (Path(target) / "log").is_dir():
            folder = Path(target)
            title = "Verified: every file is what the log makes it"
            report = checks.check_folder(folder, _reader(folder / "log"), progress=bars)
        elif any((Path(target) / part).exists() for part in ("checkpoint", "tile")):
            report = checks.check_log(_reader(Path(target)), progress=bars)
        else:
            raise Misconfigured(f"{target} holds no board: name a node's folder, or its log's")
    except Misbehaviour:
        raise
    except (Malformed, NotFound, Untrusted) as error:
        raise _damaged(error, advice) from error
    _show(report, title=title, as_json=as_json)
    if report.damaged:
        ctx.exit(DAMAGED)


def _damaged(error: Malformed | NotFound | Untrusted, advice: str) -> Untrusted:
    """A log that does not hold although its files are whole: one exit code, and what to do."""
    if isinstance(error, Untrusted):
        return Untrusted(error.reason, f"{error.detail}: {advice}")
    return Untrusted("bad-proof", f"{error}: {advice}")


def _show(report: "Report", *, title: str, as_json: bool) -> None:
    damaged = [asdict(one) for one in report.damaged]
    unchecked = [asdict(one) for one in report.unchecked]
    if as_json:
        show(report.facts | {"damaged": damaged, "not_checked": unchecked}, as_json=True)
        return
    facts = dict(report.facts)
    if isinstance(lines := facts.get("signatures"), list):
        facts["signatures"] = [
            f"{line['key']} ({line['role']})"
            + (f", {moment(line['time'])}" if line["time"] else "")
            for line in lines
        ]
    if isinstance(chains := facts.get("chains"), dict):
        facts["chains"] = ", ".join(f"{count} of {what}" for what, count in chains.items())
    if damaged:
        facts["damaged"] = [row["file"] for row in damaged]
    show(facts, as_json=False, title="Damaged" if damaged else title)
    if damaged:
        table(damaged, as_json=False, empty="")
    if unchecked:
        click.echo(f"Not checked ({len(unchecked)}):")
        for row in unchecked[:_SHOWN]:
            click.echo(f"  {row['what']}: {row['why']}")
        if len(unchecked) > _SHOWN:
            click.echo(f"  and {len(unchecked) - _SHOWN} more; --json lists them")


def _reader(root: Path) -> "Read":
    def read(path: str) -> bytes:
        if (wrong := why_not_read(root / path, _BUNDLE_BYTES)) is not None:
            raise Untrusted("bad-proof", wrong)
        try:
            return (root / path).read_bytes()
        except FileNotFoundError as error:
            raise NotFound(f"{root / path} is missing") from error
        except OSError as error:
            if is_lost(error):
                what = f"{root / path} cannot be read: the disk reports an input/output error"
                raise Untrusted("bad-proof", what) from error
            raise Misconfigured(
                f"{root / path} cannot be read: {error.strerror}; run this as a user who may"
            ) from error

    return read


def _fetcher(node: HttpClient) -> "Read":
    return lambda path: node.fetch(f"/log/{path}", most_bytes=_BUNDLE_BYTES)


commands = (fsck,)
