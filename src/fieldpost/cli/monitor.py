# SPDX-License-Identifier: Apache-2.0
"""`fieldpost monitor`: watch a board for makers, and alarm people."""

import json
import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fieldpost.cli.console import json_option, note, printable, show, table
from fieldpost.cli.node_recovery import entries_bar
from fieldpost.cli.options import HexId, log_options
from fieldpost.errors import FieldpostError, Misconfigured, NotFound, Unavailable
from fieldpost.journal import configure, tell

if TYPE_CHECKING:
    from fieldpost.watch.monitor.looking import Look
    from fieldpost.watch.monitor.paths import AlarmPath
    from fieldpost.watch.monitor.running import Monitor

ALARMED: Final = 1
MISBEHAVED: Final = 4
BLIND: Final = 75
_log = logging.getLogger("fieldpost.monitor")


@click.group(name="monitor")
def command() -> None:
    """Watch a board for your makers, and be alarmed about what you did not expect."""


_alarms_option = click.option(
    "--alarms",
    "settings",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file of webhooks and mail servers.  [default: lines on standard output alone]",
)


@command.command()
@click.option(
    "--maker",
    "makers",
    type=HexId(16),
    multiple=True,
    help="Id of a maker to watch; may be given several times.",
)
@click.option(
    "--board",
    "urls",
    metavar="URL",
    multiple=True,
    required=True,
    help="A node or mirror of the board. Give several, of different people: a split view shows "
    "only where two of them are compared.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the monitor: a verified copy of the log, and what was alarmed.",
)
@click.option(
    "--fleet",
    "fleets",
    metavar="URL",
    multiple=True,
    help="A fleet service of yours: heads that devices verified are compared, too.",
)
@click.option(
    "--expect",
    "files",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="File of expectations (`fieldpost monitor expect`); read again when it changes.",
)
@click.option("--board-id", help="Id of the board.  [default: of --expect, or what is shown first]")
@_alarms_option
@click.option("--once", is_flag=True, help="Look once, send the alarms, exit by what was found.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.1, 3_600.0),
    default=10.0,
    show_default=True,
    help="Seconds between two looks, about.",
)
@click.option(
    "--stale-after",
    "stale_s",
    type=click.IntRange(1, 366 * 86_400),
    default=900,
    show_default=True,
    help="Seconds; an older head is alarming.",
)
@click.option(
    "--blind-after",
    "blind_s",
    type=click.IntRange(1, 366 * 86_400),
    default=900,
    show_default=True,
    help="Seconds without seeing the board that are alarming.",
)
@click.option(
    "--metrics-listen",
    metavar="HOST:PORT",
    help="Where to serve /metrics and /readyz, for yourself alone.  [default: nowhere]",
)
@log_options
@json_option
@click.pass_context
def run(
    context: click.Context,
    *,
    makers: tuple[bytes, ...],
    urls: tuple[str, ...],
    fleets: tuple[str, ...],
    data: Path,
    files: tuple[Path, ...],
    board_id: str | None,
    settings: Path | None,
    once: bool,
    every_s: float,
    stale_s: int,
    blind_s: int,
    metrics_listen: str | None,
    log_format: str,
    log_level: str,
    as_json: bool,
) -> None:
    r"""Follow the board, judge every post in the makers' names, compare all sources.

    The board is verified as by an auditor: every entry against the signed root, every rule applied
    again. Alarms are JSON lines on standard output, and go to the webhooks and mail servers of
    --alarms; what a path does not take waits on the disk. Try them first: `monitor test-alarm`.

    The first look at a board alarms nobody about its history. With --once the exit code is 0 for
    nothing new, 1 for alarms, 4 where the board's operators contradict themselves (evidence in
    DATA/evidence), 75 where the board was not seen.

    \b
    fieldpost monitor expect --maker ID --board URL > expected.toml
    fieldpost monitor run --expect expected.toml --board https://a.example --board https://b.example
        --data ./monitor --alarms alarms.toml
    fieldpost monitor run --maker ID --board https://board.example --data ./monitor --once
    """
    from fieldpost.node.service_manager import READY, notify
    from fieldpost.watch.monitor.looking import Patience
    from fieldpost.watch.monitor.paths import Lines
    from fieldpost.watch.monitor.running import MonitorSettings, open_monitor
    from fieldpost.watch.monitor.watchlist import Watchlist

    configure(form=log_format, level=log_level)
    watchlist = Watchlist(makers, files)
    paths = [Lines(sys.stdout), *_paths(settings)]
    told = MonitorSettings(
        data=data,
        urls=urls,
        fleets=fleets,
        patience=Patience(stale_s=stale_s, blind_s=blind_s),
        every_s=every_s,
    )
    with ExitStack() as stack:
        with entries_bar(as_json=as_json) as watch:
            monitor = stack.enter_context(
                open_monitor(told, watchlist, paths, clock=_clock, board=board_id, watch=watch)
            )
        stack.enter_context(_stopping(monitor))
        if once:
            context.exit(_once(monitor, paths, as_json=as_json))
        scrape = _serve(monitor, metrics_listen, stack)
        stack.enter_context(monitor.courier)
        facts: dict[str, Any] = {
            "board": monitor.looking.board,
            "makers": len(watchlist.expected),
            "sources": list(urls),
            "paths": list(monitor.courier.names),
            "metrics": scrape,
        }
        tell(
            _log,
            "monitor-ready",
            board=facts["board"],
            makers=facts["makers"],
            sources=facts["sources"],
            paths=facts["paths"],
            metrics=scrape,
        )
        if as_json:
            click.echo(json.dumps({"event": "ready"} | facts))
        else:
            note(f"watching {facts['makers']} makers on {', '.join(urls)}")
        notify(READY)
        monitor.run()
    note("stopped; what waits is on the disk", as_json=as_json)


def _serve(monitor: "Monitor", listen: str | None, stack: ExitStack) -> str | None:
    if listen is None:
        return None
    from fieldpost.metrics.prometheus import Metrics
    from fieldpost.metrics.server import MetricsServer
    from fieldpost.node.config import parse_listen

    metrics = Metrics()
    monitor.announce(metrics)
    private = MetricsServer(parse_listen(listen), metrics, monitor.check_ready)
    return stack.enter_context(private).url


def _once(monitor: "Monitor", paths: "Sequence[AlarmPath]", *, as_json: bool) -> int:
    look = monitor.look_until_done()
    for path in paths:
        monitor.courier.deliver(path)
    waiting = {name: monitor.memory.owed_count(name) for name in monitor.courier.names}
    facts = {
        "event": "looked",
        "board": monitor.looking.board,
        "size": monitor.looking.copy.published_size,
        "seen": look.seen,
        "alarms": look.alarms,
        "misbehaviour": look.misbehaviour,
        "conditions": monitor.conditions(),
        "waiting": {name: count for name, count in waiting.items() if count},
        "troubles": look.troubles,
    }
    if as_json:
        click.echo(json.dumps(facts))
    else:
        for trouble in look.troubles:
            note(trouble)
        note(f"size {facts['size']} judged, {look.alarms} new alarms")
    return _code_of(look)


def _code_of(look: "Look") -> int:
    if look.misbehaviour:
        return MISBEHAVED
    if look.alarms:
        return ALARMED
    return 0 if look.seen else BLIND


@command.command("test-alarm")
@_alarms_option
@json_option
def test_alarm(*, settings: Path | None, as_json: bool) -> None:
    r"""Send a test alarm by every configured path, and say which of them work.

    Do it before you rely on a monitor, and whenever --alarms changes. Exit code 75: a path failed.

    \b
    fieldpost monitor test-alarm --alarms alarms.toml
    """
    from fieldpost.watch.monitor.alarm import Alarm

    if settings is None:
        raise Misconfigured("name the file of paths: --alarms FILE (docs/guides/monitor.md)")
    paths = _paths(settings)
    if not paths:
        raise Misconfigured(f"{settings} names no path; docs/guides/monitor.md shows how")
    now = _clock()
    alarm = Alarm(
        kind="test",
        board="none",
        text="this is a test: somebody ran `fieldpost monitor test-alarm`",
        at=now,
        about=str(time.time_ns()),
    )
    rows: list[dict[str, object]] = []
    for path in paths:
        try:
            path.send([alarm])
            rows.append({"path": path.name, "works": True, "error": None})
        except FieldpostError as error:
            rows.append({"path": path.name, "works": False, "error": str(error)})
    table(rows, as_json=as_json, empty="")
    failed = [str(row["path"]) for row in rows if not row["works"]]
    if failed:
        raise Unavailable(f"{len(failed)} of {len(rows)} paths do not work: {', '.join(failed)}")
    note(f"alarm {alarm.id} was taken everywhere: see that it arrived", as_json=as_json)


@command.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the monitor.",
)
@click.option("--after", type=click.IntRange(0), default=0, help="Only those after this number.")
@json_option
def alarms(*, data: Path, after: int, as_json: bool) -> None:
    """List the alarms that a monitor raised, oldest first; a running one is not disturbed."""
    from fieldpost.watch.monitor.memory import Memory

    if not (data / "monitor.db").exists():
        raise NotFound(f"{data} is no monitor's folder: there is no monitor.db")
    memory = Memory(data)
    try:
        found = memory.alarms(after=after)
    finally:
        memory.close()
    if as_json:
        for number, alarm in found:
            click.echo(json.dumps({"number": number} | alarm.value()))
        return
    for number, alarm in found:
        facts = {"at": alarm.value()["at"], "maker": alarm.maker, "text": alarm.text} | {
            name: fact for name, fact in alarm.facts.items() if fact not in (None, [], "")
        }
        show(facts, as_json=False, title=f"{number}. {printable(alarm.subject)}")
    if not found:
        click.echo("no alarms")


def _paths(settings: Path | None) -> "list[AlarmPath]":
    from fieldpost.watch.monitor.settings import load_paths

    return [] if settings is None else load_paths(settings, _clock)


def _clock() -> int:
    return int(time.time())


@contextmanager
def _stopping(monitor: "Monitor") -> Iterator[None]:
    """SIGTERM and Ctrl-C end the look that runs, and then the monitor."""
    before = {
        number: signal.signal(number, lambda *_: monitor.stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
