# SPDX-License-Identifier: Apache-2.0
"""Changing the channel: one line of `agent.toml`, within what the provisioning record allows."""

import re
from typing import Final

from fieldpost.agent.config import parse_config
from fieldpost.agent.home import Home
from fieldpost.durable import write_file
from fieldpost.errors import Misconfigured

_LINE: Final = re.compile(r"^channel[ \t]*=.*$", re.MULTILINE)


def change_channel(home: Home, name: str) -> None:
    """Follow another channel from the next check-in on; everything else in the file stays.

    Raises Misconfigured where the channel is not allowed, Unavailable.
    """
    _, record = home.load_provisioning()
    if name not in record.channels:
        allowed = ", ".join(record.channels)
        raise Misconfigured(f"channel {name!r} is not allowed here: {allowed}")
    try:
        text = home.config.read_text() if home.config.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read {home.config}: {error}") from error
    line = f'channel = "{name}"'
    # A table's settings follow its header, so a line that is missing goes to the very top.
    top, _, _ = text.partition("\n[")
    found = _LINE.search(top)
    if found is None:
        changed = f"{line}\n{text}"
    else:
        changed = text[: found.start()] + line + text[found.end() :]
    if parse_config(changed, channels=record.channels).channel != name:
        raise Misconfigured(f"{home.config}: cannot find its channel; change it by hand")
    write_file(home.config, changed.encode(), disk=home.disk)
