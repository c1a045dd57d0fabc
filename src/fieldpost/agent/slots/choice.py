# SPDX-License-Identifier: Apache-2.0
"""Which slots a device has: files, unless its owner configured commands."""

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from fieldpost.agent.slots.exec import Commands, ExecSlots
from fieldpost.agent.slots.files import FileSlots
from fieldpost.durable import OS, Disk


def make_slots(
    root: Path, commands: Commands | None, *, boot: Callable[[], NoReturn], disk: Disk = OS
) -> FileSlots | ExecSlots:
    """The slots below `root`; `commands` is what `agent.toml` says, None for files."""
    if commands is None:
        return FileSlots(root, boot=boot, disk=disk)
    return ExecSlots(root, commands, boot=boot, disk=disk)
