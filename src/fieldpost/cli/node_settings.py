# SPDX-License-Identifier: Apache-2.0
"""The options by which commands take a node's settings, and what they were given."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from fieldpost.journal import FORMATS, LEVELS

if TYPE_CHECKING:
    from fieldpost.node.config_sources import Sourced

# Parameter of the command: the setting's name. Everything else is for the file and environment.
_SETTINGS: Final = {
    "data": "data",
    "origin": "origin",
    "listen": "listen",
    "mirrors": "mirrors",
    "metrics_listen": "metrics_listen",
    "log_format": "log.format",
    "log_level": "log.level",
}
_OPTIONS: Final = (
    click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="FIELDPOST_NODE_CONFIG",
        help="TOML file of settings (docs/reference/config.md). FIELDPOST_NODE_… variables come "
        "before it, options before both.",
    ),
    click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the board's data. An empty or new one becomes a new board.",
    ),
    click.option(
        "--origin",
        help="Name of a new board, for ever: host and shard number, for example board.example/1. "
        "Without it a first start makes a trial board.",
    ),
    click.option(
        "--listen",
        multiple=True,
        metavar="HOST:PORT",
        help="Where to serve; may be given several times. Port 0 takes any free one, and the ready "
        "line says which.  [default: 127.0.0.1:8470]",
    ),
    click.option(
        "--mirror",
        "mirrors",
        multiple=True,
        metavar="FOLDER|URL",
        help="A copy of this board, asked at the start what this node signed last; what is missing "
        "here is fetched from it. May be given several times.",
    ),
    click.option(
        "--metrics-listen",
        metavar="HOST:PORT",
        help="Where to serve /metrics, for yourself alone.  [default: nowhere]",
    ),
    click.option("--log-format", type=click.Choice(FORMATS), help="Of the log, on stderr."),
    click.option("--log-level", type=click.Choice(LEVELS), help="The least that the log says."),
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a command line said of a node's settings."""

    file: Path | None
    options: Mapping[str, object]

    def load(self) -> "Sourced":
        """The settings, with the environment. Raises Misconfigurations."""
        from fieldpost.node.config_sources import load_config

        return load_config(file=self.file, environment=os.environ, options=self.options)


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options for a node's settings; the command receives `sources: Sources`."""

    @functools.wraps(command)
    def gathered(*, config_file: Path | None, **given: Any) -> None:
        options = {name: given.pop(parameter) for parameter, name in _SETTINGS.items()}
        said = {name: value for name, value in options.items() if value not in (None, ())}
        command(sources=Sources(config_file, said), **given)

    made: Callable[..., None] = gathered
    for option in reversed(_OPTIONS):
        made = option(made)
    return made
