# SPDX-License-Identifier: Apache-2.0
"""`agent.toml`: what the owner of a device may choose. None of it is about trust.

channel = "stable"                 one that the provisioning record allows
health_check = ["/usr/bin/check"]  exit 0 = healthy; none = always healthy
health_timeout_s = 60
trial_check_in_s = 600             how long a new image may try to verify a check-in
urls = ["http://gateway.local"]    instead of the board's own addresses
bytes_per_s = 100000               at most, when images are downloaded
postpone_s = 3600                  for how long to put offers off, as far as they allow
power = ["/usr/bin/power"]         says battery and power, instead of this machine's own files
consent = ["/usr/bin/consent"]     exit 0 = an update may begin now
[slot]                             how images are installed; without it, as files
"""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from fieldpost.agent.slots.base import name_of, parse_name
from fieldpost.agent.slots.exec import Commands
from fieldpost.errors import Misconfigured
from fieldpost.records.limits import MAX_DURATION_S

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

# At most so many bytes a second when images are downloaded.
# bytes_per_s = 100000

# Put every offer off for so long, as far as it allows; `fieldpost agent postpone` changes it for
# the offer at hand.
# postpone_s = 3600

# Where an offer needs battery or external power: a program that prints
# {{"battery_percent": 80, "external": false}} (null: no battery), or prints nothing and exits with
# 0 if there is power enough. Without it the machine's own files are read.
# power = ["/usr/bin/power"]
# power_timeout_s = 10

# Asked before an update begins, with FIELDPOST_SEQUENCE, FIELDPOST_URGENCY (0 to 3) and
# FIELDPOST_DOWNTIME_S set. Exit status 0 means yes. Anything else is reported as declined, and
# asked again at the next check-in.
# consent = ["/usr/bin/consent"]
# consent_timeout_s = 60

# Hand verified images to commands instead of keeping them as files: an installer, a boot loader, a
# flasher. They run without a shell, with FIELDPOST_IMAGE (path of the verified image),
# FIELDPOST_SEQUENCE, FIELDPOST_VERSION, FIELDPOST_DIGEST, FIELDPOST_SIZE and FIELDPOST_SLOT set,
# and may run again after a power cut. state prints one line that names what booted.
# [slot]
# kind = "exec"
# install = ["/usr/lib/update/install"]        write $FIELDPOST_IMAGE to the slot that does not run
# activate = ["/usr/lib/update/activate"]      boot that slot once
# confirm = ["/usr/lib/update/confirm"]        keep what runs
# revert = ["/usr/lib/update/revert"]          boot what ran before
# state = ["/usr/lib/update/state"]
# reboot = ["/usr/sbin/reboot"]                without it the agent itself is executed anew
# install_timeout_s = 1800
# timeout_s = 60
# For releases of several images: all that the commands install, by name. They are told of them by
# FIELDPOST_COMPONENTS (how many), FIELDPOST_COMPONENT_0 (a name), FIELDPOST_IMAGE_0 and so on.
# components = ["application", "radio"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The file, read. Times in seconds; a `bytes_per_s` of 0 is no limit."""

    channel: str
    health_check: tuple[str, ...] = ()
    health_timeout_s: int = 60
    trial_check_in_s: int = 600
    urls: tuple[str, ...] = ()
    commands: Commands | None = None
    bytes_per_s: int = 0
    postpone_s: int = 0
    power: tuple[str, ...] = ()
    power_timeout_s: int = 10
    consent: tuple[str, ...] = ()
    consent_timeout_s: int = 60


def parse_config(text: str, *, channels: tuple[str, ...]) -> Config:
    """Read the file's text. Raises Misconfigured, naming the setting."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"agent.toml: {error}") from error
    _check_known(table, {field.name for field in fields(Config)} - {"commands"} | {"slot"})
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
        commands=_commands(table.get("slot")),
        bytes_per_s=_count(table, "bytes_per_s", most=10**12),
        postpone_s=_count(table, "postpone_s", most=MAX_DURATION_S),
        power=_words(table, "power"),
        power_timeout_s=_seconds(table, "power_timeout_s", 10),
        consent=_words(table, "consent"),
        consent_timeout_s=_seconds(table, "consent_timeout_s", 60),
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


def _check_known(table: dict[str, object], known: set[str]) -> None:
    unknown = sorted(table.keys() - known)
    if unknown:
        raise Misconfigured(
            f"agent.toml: there is no setting {unknown[0]!r}; known: {sorted(known)}"
        )


def _commands(table: object) -> Commands | None:
    if table is None:
        return None
    kind = table.get("kind") if isinstance(table, dict) else None
    if not isinstance(table, dict) or kind not in ("files", "exec"):
        raise Misconfigured('agent.toml: [slot] has kind = "files" or kind = "exec"')
    rest: dict[str, object] = {name: value for name, value in table.items() if name != "kind"}
    if kind == "files":
        _check_known(rest, set())
        return None
    needed = ("install", "activate", "confirm", "revert", "state")
    _check_known(rest, {*needed, "reboot", "install_timeout_s", "timeout_s", "components"})
    missing = [name for name in needed if not _words(rest, name)]
    if missing:
        raise Misconfigured(f"agent.toml: [slot] needs a command {missing[0]}")
    return Commands(
        **{name: _words(rest, name) for name in (*needed, "reboot")},
        install_timeout_s=_seconds(rest, "install_timeout_s", 1_800),
        timeout_s=_seconds(rest, "timeout_s", 60),
        components=tuple(name_of(parse_name(name)) for name in _words(rest, "components")),
    )


def _words(table: dict[str, object], name: str) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise Misconfigured(f'agent.toml: {name} must be a list of words, as ["one", "two"]')
    return tuple(value)


def _count(table: dict[str, object], name: str, *, most: int) -> int:
    value = table.get(name, 0)
    if type(value) is not int or not 0 <= value <= most:
        raise Misconfigured(f"agent.toml: {name} must be a whole number, 0 to {most}")
    return value


def _seconds(table: dict[str, object], name: str, default: int) -> int:
    value = table.get(name, default)
    if type(value) is not int or not 1 <= value <= 86_400:
        raise Misconfigured(f"agent.toml: {name} must be whole seconds, 1 to 86400")
    return value
