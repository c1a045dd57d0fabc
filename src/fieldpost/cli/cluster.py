# SPDX-License-Identifier: Apache-2.0
"""`fieldpost cluster`: a board of several operators on one machine, to try and to break."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from fieldpost.cli.console import json_option, note, show, table
from fieldpost.errors import Unavailable

F = TypeVar("F", bound=Callable[..., Any])
_DOWN_S: Final = 90.0
_POLL_S: Final = 0.1


def _dir_option(command: F) -> F:
    return click.option(
        "--dir",
        "folder",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("fieldpost-cluster"),
        show_default=True,
        help="Folder of the cluster.",
    )(command)


@click.group(name="cluster")
def command() -> None:
    r"""Run a board of several operators on this machine alone: a trial board, for tests.

    For a real one every operator runs `fieldpost operator` on a machine of its own
    (docs/operations/cluster.md).

    \b
    fieldpost cluster up --nodes 4
    fieldpost cluster status
    fieldpost cluster kill 2
    """


@command.command()
@click.option("--nodes", type=click.IntRange(1, 16), help="Operators.  [default: 4]")
@click.option("--epoch-s", type=click.IntRange(1, 86_400), default=60, show_default=True,
              help="Seconds between two cosignatures of a new board.")  # fmt: skip
@click.option("--timeout-commit-ms", type=click.IntRange(1, 60_000), default=200, show_default=True,
              help="Milliseconds that a block of a new board waits for late votes.")  # fmt: skip
@_dir_option
@json_option
def up(
    *, nodes: int | None, epoch_s: int, timeout_commit_ms: int, folder: Path, as_json: bool
) -> None:
    r"""Start all operators, say when they serve, and keep them until Ctrl-C or `cluster stop`.

    The first start makes a trial board with keys, settings and free ports of its own; later ones go
    on with it. Four operators survive the loss of one.

    \b
    fieldpost cluster up --nodes 4 --dir ./cluster
    """
    from fieldpost.cli.cluster_plan import found, make_plan, read_plan
    from fieldpost.cli.cluster_supervisor import Supervisor
    from fieldpost.engines.cometbft.program import check_program, find_program
    from fieldpost.errors import Misconfigured

    check_program(find_program("cometbft"))
    folder = folder.absolute()
    if (folder / "cluster.json").exists():
        plan = read_plan(folder)
        if nodes not in (None, len(plan.members)):
            raise Misconfigured(
                f"the cluster in {folder} has {len(plan.members)} operators: leave --nodes away, "
                "or use another --dir"
            )
    else:
        plan = make_plan(
            folder,
            nodes=nodes or 4,
            now=int(time.time()),
            epoch_s=epoch_s,
            timeout_commit_ms=timeout_commit_ms,
        )
    supervisor = Supervisor(plan)
    board = found(plan)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: supervisor.stop())
    note(f"{len(plan.members)} operators start in {folder}; ready in some seconds", as_json=as_json)

    def say_ready() -> None:
        urls = [member.url for member in plan.members]
        if as_json:
            ready = {"event": "ready", "urls": urls, "board": board, "dir": str(folder)}
            click.echo(json.dumps(ready))
        else:
            click.echo(f"ready {' '.join(urls)} board {board} (trial)")

    supervisor.run(say_ready)
    note("all operators are stopped; `fieldpost cluster up` goes on with them", as_json=as_json)


@command.command()
@_dir_option
@json_option
def status(*, folder: Path, as_json: bool) -> None:
    r"""Show every operator: its processes, its published size, and what is wrong with it.

    \b
    fieldpost cluster status --dir ./cluster
    """
    from fieldpost.cli.cluster_plan import read_plan
    from fieldpost.cli.cluster_status import status_of

    rows = [status_of(member) for member in read_plan(folder.absolute()).members]
    table(rows, as_json=as_json, empty="")


@command.command()
@_dir_option
@json_option
def stop(*, folder: Path, as_json: bool) -> None:
    r"""Stop the cluster that runs in a folder: all operators, then what keeps them.

    \b
    fieldpost cluster stop --dir ./cluster
    """
    from fieldpost.cli.cluster_plan import read_plan
    from fieldpost.cli.cluster_status import alive, supervisor_pid

    plan = read_plan(folder.absolute())
    pid = supervisor_pid(plan)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        _wait(lambda: not alive(pid), "the cluster did not stop")
    show({"dir": str(plan.folder), "was_up": pid is not None}, as_json=as_json, title="Stopped")


@command.command()
@click.argument("name")
@_dir_option
@json_option
def kill(*, name: str, folder: Path, as_json: bool) -> None:
    r"""Kill both processes of operator NAME (or its number) at once, as a power cut does.

    It stays down until `cluster restart`.

    \b
    fieldpost cluster kill 2 --dir ./cluster
    """
    from fieldpost.cli.cluster_plan import STOPPED
    from fieldpost.cli.cluster_status import alive, need_supervisor, processes_of

    member = need_supervisor(folder.absolute()).member(name)
    member.want(STOPPED)
    pids = processes_of(member)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    _wait(lambda: not any(alive(pid) for pid in pids), f"{member.name} did not die")
    show({"name": member.name, "killed": pids}, as_json=as_json, title="Killed")


@command.command()
@click.argument("name")
@_dir_option
@json_option
def restart(*, name: str, folder: Path, as_json: bool) -> None:
    r"""Start operator NAME (or its number) again, and wait until it serves.

    One that runs is stopped before.

    \b
    fieldpost cluster restart 2 --dir ./cluster
    """
    from fieldpost.cli.cluster_plan import RUNNING
    from fieldpost.cli.cluster_status import need_supervisor
    from fieldpost.cli.cluster_supervisor import READY_S, is_serving

    member = need_supervisor(folder.absolute()).member(name)
    _stop_one(member)
    member.want(RUNNING)
    _wait(
        lambda: is_serving(member),
        f"{member.name} does not serve yet; see {member.log}",
        most_s=READY_S,
    )
    show({"name": member.name, "url": member.url}, as_json=as_json, title="Serves again")


@command.command()
@click.argument("name")
@_dir_option
@json_option
def wipe(*, name: str, folder: Path, as_json: bool) -> None:
    r"""Stop operator NAME (or its number) and remove its log, state and blocks.

    After `cluster restart` it fetches them from the others. Its keys stay, and what they signed
    last stays with them: priv_validator_state.json alone keeps the validator key from voting twice
    for one height, which would halt the chain or split it, and largest-signed keeps its log key
    from signing a second history. A wiped node that forgot those would be a dishonest one.

    \b
    fieldpost cluster wipe 2 --dir ./cluster
    """
    from fieldpost.cli.cluster_plan import read_plan
    from fieldpost.engines.cometbft.wiping import wipe_replica

    member = read_plan(folder.absolute()).member(name)
    _stop_one(member)
    gone = wipe_replica(member.data)
    facts = {"name": member.name, "removed": [str(path) for path in gone]}
    show(facts, as_json=as_json, title="Wiped")
    note(f"next: fieldpost cluster restart {name} --dir {folder}", as_json=as_json)


def _stop_one(member: Any) -> None:
    from fieldpost.cli.cluster_plan import STOPPED
    from fieldpost.cli.cluster_status import alive

    member.want(STOPPED)
    pid = member.pid
    if pid is not None:
        _wait(lambda: not alive(pid), f"{member.name} did not stop")


def _wait(happened: Callable[[], bool], trouble: str, *, most_s: float = _DOWN_S) -> None:
    until = time.monotonic() + most_s
    while not happened():
        if time.monotonic() > until:
            raise Unavailable(f"{trouble} (waited {most_s:.0f} s)")
        time.sleep(_POLL_S)
