# SPDX-License-Identifier: Apache-2.0
"""`fieldpost node backup` and `restore`."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from fieldpost.cli.console import json_option, moment, note, progress, show
from fieldpost.cli.node_recovery import data_option
from fieldpost.errors import Malformed, Misconfigured

_DAMAGED = "these blobs are damaged and not in the copy; their makers can upload them again"


@contextmanager
def _bars(*, as_json: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each kind of thing that is copied."""
    with ExitStack() as stack:
        bars: dict[str, Callable[[int], None]] = {}
        shown: dict[str, int] = {}

        def watch(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = stack.enter_context(progress(what, total, as_json=as_json))
            bars[what](done - shown.get(what, 0))
            shown[what] = done

        yield watch


def _damage(damaged: list[str], *, as_json: bool) -> dict[str, object]:
    return {"damaged_blobs": damaged} if damaged or as_json else {}


@click.command()
@data_option
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the backup. An older backup of the same board is brought up to date.",
)
@click.option("--with-keys", is_flag=True, help="The keys too: whoever has them is the operator.")
@click.option(
    "--final",
    is_flag=True,
    help="To move the node: it must be stopped, and does not start here any more.",
)
@json_option
def backup(*, data: Path, folder: Path, with_keys: bool, final: bool, as_json: bool) -> None:
    r"""Back up a node while it runs: log, databases, blobs, and keys only if you say so.

    The log is verified on the way; damage in it stops the backup, and the file is named. What is
    in the folder already and the same is not written again. The folder serves as a mirror, too.

    \b
    fieldpost node backup --data /var/lib/fieldpost --to /mnt/backup
    fieldpost node backup --data /var/lib/fieldpost --to /mnt/usb --with-keys --final
    """
    from fieldpost.engines.backup import back_up

    with _bars(as_json=as_json) as watch:
        made, damaged = back_up(
            data, folder, now=int(time.time()), keys=with_keys, final=final, watch=watch
        )
    facts = {
        "board": made.board,
        "entries": made.size,
        "time": moment(made.time),
        "keys": "in the backup: keep it as safe as the node"
        if with_keys
        else "not in the backup: keep them apart, without them the board cannot go on",
    }
    show(facts | _damage(damaged, as_json=as_json), as_json=as_json, title=f"Backup in {folder}")
    if final:
        note("this folder's node does not start any more; restore the backup", as_json=as_json)
    if damaged:
        raise Malformed(f"{_DAMAGED}: {'; '.join(damaged)}")


@click.command()
@click.option(
    "--from",
    "source",
    metavar="FOLDER|URL",
    help="Folder of a backup; or a mirror of the board, its folder or URL.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the node's data; without a board, but its keys may be there.",
)
@click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the node's keys, where the backup has none.",
)
@click.option(
    "--newest",
    is_flag=True,
    help="You know that the node signed nothing after this backup. Without --from, said later.",
)
@json_option
def restore(
    *, source: str | None, data: Path, keys: Path | None, newest: bool, as_json: bool
) -> None:
    r"""Restore a node from a backup, or from any mirror of its board, into an empty data folder.

    From a mirror everything is verified as a mirror does, and the keys must be those that the
    board names. Reports of devices are in backups alone.

    What the node signed after the backup, or after the mirror looked last, is not in it, and
    signing the same sizes again would be a second history. So the node then starts only with
    --mirror, and asks every mirror for what is missing; or after you said with --newest that
    nothing is.

    \b
    fieldpost node restore --from /mnt/backup --data /var/lib/fieldpost --keys /mnt/safe/keys
    fieldpost node restore --from https://mirror.example --data /var/lib/fieldpost --keys ./keys
    fieldpost node run --data /var/lib/fieldpost --mirror https://mirror.example
    """
    from fieldpost.engines.backup import MANIFEST
    from fieldpost.engines.restore import say_newest

    if source is None:
        if not newest:
            raise Misconfigured("restore from where? give --from FOLDER or URL")
        say_newest(data)
        show({"data": str(data), "newest": True}, as_json=as_json, title="It is the newest")
        return
    is_url = "://" in source
    if not is_url and not Path(source).is_dir():
        raise Misconfigured(f"{source} is no folder, and no URL with http:// or https://")
    if is_url or (not (Path(source) / MANIFEST).exists() and _has_log(Path(source))):
        facts, damaged = _from_mirror(source, data, keys, newest=newest, as_json=as_json)
    else:
        facts, damaged = _from_backup(Path(source), data, keys, newest=newest, as_json=as_json)
    show(facts | _damage(damaged, as_json=as_json), as_json=as_json, title=f"Restored into {data}")
    if damaged:
        raise Malformed(f"{_DAMAGED}: {'; '.join(damaged)}")


Restored = tuple[dict[str, object], list[str]]


def _has_log(folder: Path) -> bool:
    return (folder / "log" / "checkpoint").exists()


def _from_backup(
    folder: Path, data: Path, keys: Path | None, *, newest: bool, as_json: bool
) -> Restored:
    from fieldpost.engines.backup import read_backup
    from fieldpost.engines.restore import restore as restore_node

    with _bars(as_json=as_json) as watch:
        done = 0

        def copied(count: int) -> None:
            nonlocal done
            done += count
            watch("entries", done, total)

        total = read_backup(folder).size
        made, damaged = restore_node(folder, data, keys=keys, newest=newest, copied=copied)
    known = newest or made.final
    return {
        "board": made.board,
        "entries": made.size,
        "backup_of": moment(made.time),
        "next": f"fieldpost node run --data {data}" + ("" if known else " --mirror FOLDER|URL"),
    }, damaged


def _from_mirror(
    source: str, data: Path, keys: Path | None, *, newest: bool, as_json: bool
) -> Restored:
    from fieldpost.watch.mirror_restore import restore_from_mirror

    with _bars(as_json=as_json) as watch:
        made = restore_from_mirror(
            source,
            data,
            keys=keys,
            newest=newest,
            clock=lambda: int(time.time()),
            watch=lambda done, total: watch("entries", done, total),
        )
    facts: dict[str, object] = {
        "board": made.board,
        "entries": made.size,
        "cosigned_at": moment(made.time),
        "signed_before": f"size {made.signed}, {made.signed - made.size} entries more than this"
        if made.signed > made.size
        else None,
        "missing_blobs": made.missing_blobs,
        "next": f"fieldpost node run --data {data}" + ("" if newest else f" --mirror {source}"),
    }
    return facts, list(made.damaged)


commands = (backup, restore)
