# SPDX-License-Identifier: Apache-2.0
"""`agent.toml`: what the owner of a device may choose. None of it is about trust.

channel = "stable"                 one that the provisioning record allows
health_check = ["/usr/bin/check"]  exit 0 = healthy; none = always healthy
health_timeout_s = 60
trial_check_in_s = 600             how long a new image may try to verify a check-in
urls = ["http://gateway.local"]    instead of the board's own addresses
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.errors import Misconfigured

DEFAULT: Final = """\
# What this device's owner may choose. What it trusts stands in the provisioning record alone.

# The channel to follow; the provisioning record says which are allowed.
channel = "{channel}"

# Run after a new image was booted on trial, with FIELDPOST_SLOT (a or b) and FIELDPOST_IMAGE (its
# path) set. Exit status 0 means healthy; anything else, or taking too long, puts the image before
# back. For example: health_check = ["/usr/bin/systemctl", "is-system-running", "--wait"]
health_check = []
health_timeout_s = 60

# How long a new image may take to verify one check-in before the image before is put back.
trial_check_in_s = 600

# Where to reach the board, instead of the addresses that its records name (a gateway, a mirror).
# Nothing that comes from there is believed for coming from there.
# urls = ["http://gateway.local:8080"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The file, read. Times in seconds."""

    channel: str
    health_check: tuple[str, ...] = ()
    health_timeout_s: int = 60
    trial_check_in_s: int = 600
    urls: tuple[str, ...] = ()


def parse_config(text: str, *, channels: tuple[str, ...]) -> Config:
    """Read the file's text. Raises Misconfigured, naming the setting."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"agent.toml: {error}") from error
    known = {"channel", "health_check", "health_timeout_s", "trial_check_in_s", "urls"}
    unknown = sorted(table.keys() - known)
    if unknown:
        raise Misconfigured(
            f"agent.toml: there is no setting {unknown[0]!r}; known: {sorted(known)}"
        )
    channel = table.get("channel", channels[0])
    if channel not in channels:
        allowed = ", ".join(channels)
        raise Misconfigured(f"agent.toml: channel {channel!r} is not allowed here: {allowed}")
    return Config(
        channel=channel,
        health_check=_words(table, "health_check"),
        health_timeout_s=_seconds(table, "health_timeout_s", 60),
        trial_check_in_s=_seconds(table, "trial_check_in_s", 600),
        urls=_words(table, "urls"),
    )


def load_config(path: Path, *, channels: tuple[str, ...]) -> Config:
    """Read the file; without one, everything is as in DEFAULT. Raises Misconfigured."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read {path}: {error}") from error
    return parse_config(text, channels=channels)


def _words(table: dict[str, object], name: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise Misconfigured(f'agent.toml: {name} must be a list of words, as ["one", "two"]')
    return tuple(value)


def _seconds(table: dict[str, object], name: str, default: int) -> int:
    value = table.get(name, default)
    if type(value) is not int or not 1 <= value <= 86_400:
        raise Misconfigured(f"agent.toml: {name} must be whole seconds, 1 to 86400")
    return value
