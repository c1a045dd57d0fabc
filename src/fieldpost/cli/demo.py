# SPDX-License-Identifier: Apache-2.0
"""`fieldpost demo`: the whole line with real firmware in real processes, and attacks on it."""

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import click

from fieldpost.cli.console import json_option
from fieldpost.errors import Misconfigured, Untrusted


@click.command(name="demo")
@click.option(
    "--firmware",
    nargs=2,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="OLD NEW",
    help="Two images of yours.  [default: a USB instrument's, fetched by pip]",
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where everything is kept.  [default: fieldpost-demo in the temporary folder]",
)
@click.option(
    "--engine",
    type=click.Choice(["embedded", "cometbft"]),
    default="embedded",
    show_default=True,
    help="Who runs the first board: one operator, or four by CometBFT, one of which dies halfway.",
)
@click.option("--keep", is_flag=True, help="Leave the node running afterwards.")
@json_option
def command(
    *,
    firmware: tuple[Path, Path] | None,
    folder: Path | None,
    engine: str,
    keep: bool,
    as_json: bool,
) -> None:
    """Show the whole line, in about two minutes, on this machine alone.

    A node, a maker, a lot of 1,000 devices of which 20 are live processes; a staged rollout of real
    firmware, halted and resumed; a release withdrawn, a device revoked, another checked by its
    customer; five key ceremonies and a device that slept through them; an update from a file; eight
    attackers; and the way to another board. All of it talks on loopback alone; only the firmware is
    fetched once, unless you bring your own.
    """
    try:
        from rich.console import Console

        from fieldpost.demo.firmware import fetch_images, own_images
        from fieldpost.demo.run import run
        from fieldpost.demo.screen import Screen
    except ImportError as error:
        raise Misconfigured(
            f"the demonstration needs the node's extras ({error.name} is missing): "
            "pip install 'fieldpost[node]'"
        ) from error
    is_replicated = engine == "cometbft"
    if is_replicated:
        # Said before anything is made, and by its own name.
        from fieldpost.engines.cometbft.program import check_program, find_program

        check_program(find_program("cometbft"))
    screen = Screen()
    root = folder or Path(tempfile.gettempdir()) / "fieldpost-demo"
    _end_politely()
    screen.heading("Firmware")
    with screen.step("two successive images of real firmware"):
        images = own_images(*firmware) if firmware else fetch_images(_cache())
    for image in images:
        screen.fact(f"{image.name} {image.version}: {image.path.stat().st_size:,} bytes")
    summary = run(root.resolve(), images, screen, keep=keep, is_replicated=is_replicated)
    if as_json:
        click.echo(json.dumps(summary.value(), indent=2))
    else:
        summary.print(Console(highlight=False))
    if not summary.held:
        raise Untrusted("attack-succeeded", f"see {root / 'attacks.json'}")


def _cache() -> Path:
    """Where fetched firmware is kept, as other programs keep such things."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fieldpost" / "firmware"


def _end_politely() -> None:
    """A closed terminal or a SIGTERM ends the demonstration's processes as Ctrl-C does."""

    def end(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)
