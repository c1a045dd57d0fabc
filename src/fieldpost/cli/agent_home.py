# SPDX-License-Identifier: Apache-2.0
"""Which device a command of `fieldpost agent` is about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def device_home_option(command: F) -> F:
    """Give a command the folder `root` of its device."""
    return click.option(
        "--home",
        "root",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="FIELDPOST_AGENT_HOME",
        required=True,
        help="Folder of this device: key, memory, slots, agent.toml.",
    )(command)
