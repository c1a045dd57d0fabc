# SPDX-License-Identifier: Apache-2.0
"""`fieldpost witness`: cosign what extends all that was cosigned before, for anybody's log."""

import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fieldpost.cli.console import json_option, moment, note, show
from fieldpost.cli.options import log_options
from fieldpost.journal import configure, tell

if TYPE_CHECKING:
    from fieldpost.watch.witness.keys import WitnessKeys

F = TypeVar("F", bound=Callable[..., Any])
_log = logging.getLogger(__name__)


@click.group(name="witness")
def command() -> None:
    r"""Witness logs: cosign each checkpoint that extends all that was cosigned before.

    \b
    fieldpost witness init --data ./witness --name witness.example/w1
    fieldpost witness run --data ./witness --board https://board.example
    """


def _data_option(*, exists: bool) -> Callable[[F], F]:
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False, exists=exists),
        required=True,
        help="Folder of the witness's keys and of what it cosigned.",
    )


@command.command()
@_data_option(exists=False)
@click.option(
    "--name",
    required=True,
    help="The cosigner's name, for ever: a URL without scheme, as witness.example/w1.",
)
@click.option(
    "--post-quantum", is_flag=True, help="Make an ML-DSA-44 key as well; it cosigns besides."
)
@json_option
def init(*, data: Path, name: str, post_quantum: bool, as_json: bool) -> None:
    r"""Make the keys of a new witness and say how others name them.

    One key serves one name. The keys and the database beside them belong together: keys whose
    database is an old copy may cosign a second history, so back them up apart and never restore
    the database of a witness from a copy that is not the newest.

    \b
    fieldpost witness init --data /var/lib/witness --name witness.example/w1
    """
    from fieldpost.errors import Malformed, Misconfigured
    from fieldpost.watch.witness.keys import make_keys

    try:
        keys = make_keys(data, name, post_quantum=post_quantum)
    except Malformed as error:
        raise Misconfigured(f"--name: {error}") from error
    show(_named(keys), as_json=as_json, title=keys.name)
    note(f"next: fieldpost witness run --data {data} --board URL", as_json=as_json)


@command.command(name="show")
@_data_option(exists=True)
@click.option("--vkeys", is_flag=True, help="Print the vkeys alone, one a line: Ed25519 first.")
@json_option
def show_witness(*, data: Path, vkeys: bool, as_json: bool) -> None:
    r"""Show a witness's vkeys, by which boards and policies name it, and what it cosigned last.

    \b
    fieldpost witness show --data /var/lib/witness
    fieldpost witness show --data /var/lib/witness --vkeys | head -1
    """
    from fieldpost.tlog.note import format_vkey
    from fieldpost.watch.witness.database import FILE_NAME, WitnessDb
    from fieldpost.watch.witness.keys import load_keys

    keys = load_keys(data)
    facts = _named(keys)
    if vkeys and not as_json:
        click.echo("\n".join(map(format_vkey, keys.vkeys())))
        return
    if (data / FILE_NAME).exists():
        db = WitnessDb(data)
        heads = sorted(db.load_heads().items())
        db.close()
        rows = [
            {"origin": origin, "size": head.size, "root": head.root.hex(), "time": head.timestamp}
            for origin, head in heads
        ]
        lines = [f"{o}  size {head.size}  {moment(head.timestamp)}" for o, head in heads]
        facts |= {"cosigned": rows if as_json else lines}
    show(facts, as_json=as_json, title=keys.name)


@command.command()
@_data_option(exists=True)
@click.option(
    "--board",
    "boards",
    multiple=True,
    metavar="URL|ID|ID@URL",
    help="A board to witness: only what its operators' quorum cosigned is cosigned. Repeatable.",
)
@click.option("--log", "logs", multiple=True, metavar="VKEY", help="A log's key. Repeatable.")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="C2SP tlog-policy file: its logs are witnessed, its quorum is demanded. Repeatable.",
)
@click.option(
    "--log-list",
    "lists",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="List of logs in the format logs/v0 of the witness network. Repeatable.",
)
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    default=("127.0.0.1:8475",),
    show_default=True,
    help="Where to serve. Port 0 takes any free one, and the ready line says which. Repeatable.",
)
@click.option(
    "--metrics-listen", metavar="HOST:PORT", help="Where to serve /metrics, for yourself."
)
@log_options
@json_option
def run(
    *,
    data: Path,
    boards: tuple[str, ...],
    logs: tuple[str, ...],
    policies: tuple[Path, ...],
    lists: tuple[Path, ...],
    listen: tuple[str, ...],
    metrics_listen: str | None,
    log_format: str,
    log_level: str,
    as_json: bool,
) -> None:
    r"""Run a witness (C2SP tlog-witness) until SIGTERM or Ctrl-C.

    Every cosignature is on the disk before it is given out. Logs submit to /add-checkpoint;
    monitors read the newest cosigned checkpoint at /<hex SHA-256 of the origin>/checkpoint.

    \b
    fieldpost witness run --data /var/lib/witness --board https://board.example --listen :8475
    fieldpost witness run --data /var/lib/witness --policy /etc/witness/logs.policy
    """
    from fieldpost.errors import Misconfigured
    from fieldpost.metrics.server import MetricsServer
    from fieldpost.node.config import parse_listen
    from fieldpost.node.server import Server
    from fieldpost.watch.witness.app import open_witness
    from fieldpost.watch.witness.sources import parse_board_source, read_logs

    configure(form=log_format, level=log_level)
    addresses = [parse_listen(text) for text in listen]
    sources = tuple(map(parse_board_source, boards))
    known = read_logs(logs, policies, lists)
    if not known and not sources:
        raise Misconfigured(
            "nothing to witness: name a --board, a --log, a --policy or a --log-list"
        )
    with ExitStack() as stack:
        witness = stack.enter_context(
            open_witness(data, logs=known, boards=sources, clock=lambda: int(time.time()))
        )
        scrape: str | None = None
        if metrics_listen is not None:
            private = MetricsServer(
                parse_listen(metrics_listen), witness.metrics, witness.service.check_ready
            )
            scrape = stack.enter_context(private).url
        keys = witness.service.keys

        def say_ready() -> None:
            urls, origins = server.urls, witness.service.origins
            tell(_log, "witness-ready", urls=urls, name=keys.name, origins=origins, metrics=scrape)
            if as_json:
                ready = {"event": "ready", "url": server.url, "urls": urls, "origins": origins}
                click.echo(json.dumps(ready | _named(keys) | {"metrics": scrape}))
            else:
                click.echo(f"ready {' '.join(urls)} witness {keys.name}, {origins} logs and boards")

        server = Server(witness.app, listen=addresses, limits=witness.limits, on_ready=say_ready)
        server.run()
    tell(_log, "witness-stopped")
    if not as_json:
        click.echo("stopped; everything that was cosigned is on the disk", err=True)


def _named(keys: "WitnessKeys") -> dict[str, object]:
    from fieldpost.tlog.note import format_vkey

    return {"name": keys.name, "vkeys": [format_vkey(key) for key in keys.vkeys()]}
