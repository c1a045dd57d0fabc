# SPDX-License-Identifier: Apache-2.0
"""Options that several nouns share, and how a passphrase is found: never on the command line."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fieldpost.cli.maker_home import MakerHome, default_home
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.journal import FORMATS, LEVELS
from fieldpost.signers.passphrase import passphrase_source

F = TypeVar("F", bound=Callable[..., Any])


def home_options(command: F) -> F:
    """`--home` and `--passphrase-file`; the command receives `home: MakerHome`."""
    command = click.option(
        "--passphrase-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Read the passphrase of your keys from this file "
        "(or FIELDPOST_PASSPHRASE_FILE, FIELDPOST_PASSPHRASE, else you are asked).",
    )(command)
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of your keys and posts.  [default: FIELDPOST_HOME or ~/.fieldpost]",
    )(command)


def open_home(home: Path | None, passphrase_file: Path | None) -> MakerHome:
    """The maker's files, with the passphrase found when it is first needed."""
    passphrase = find_passphrase(passphrase_file, new=False)
    return MakerHome(home or default_home(), passphrase, pin_prompt=find_pin_prompt())


def find_passphrase(file: Path | None, *, new: bool) -> Callable[[], bytes]:
    """Where the passphrase comes from; a `new` one is asked for twice. Never from argv."""

    def ask() -> str:
        words = "New passphrase for your keys" if new else "Passphrase of your keys"
        text: str = click.prompt(words, hide_input=True, confirmation_prompt=new, err=True)
        return text

    prompt = ask if sys.stdin.isatty() else None
    return passphrase_source(environment=os.environ, file=file, prompt=prompt)


def find_pin_prompt() -> Callable[[str], str] | None:
    """How a person is asked for the PIN of a token; None where nobody can be."""

    def ask(token: str) -> str:
        text: str = click.prompt(f"PIN of the token {token}", hide_input=True, err=True)
        return text

    return ask if sys.stdin.isatty() else None


def board_option(command: F) -> F:
    """`--board URL`, for commands that need no maker's home."""
    return click.option(
        "--board",
        "board_urls",
        multiple=True,
        envvar="FIELDPOST_BOARD",
        help="URL of a node of the board; name several, and one that answers is enough.",
    )(command)


class HexId(click.ParamType[bytes]):
    """An id in lower-case hex of a given number of bytes."""

    name = "hex"

    def __init__(self, length: int) -> None:
        self.length = length

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Bytes of the right length, or a usage error."""
        if isinstance(value, bytes):
            return value
        try:
            octets = bytes.fromhex(value)
        except ValueError:
            octets = b""
        if len(octets) != self.length:
            self.fail(f"{value!r} is not {2 * self.length} hex digits", param, ctx)
        return octets


def check_grace(days: float, *, never_leave: bool) -> None:
    """Raises Misconfigured unless a grace of 0 is what somebody really wants."""
    if never_leave != (days == 0):
        raise Misconfigured(
            "--grace-days 0 and --never-leave go together: if this board dies, devices with "
            "grace 0 never update again unless a person acts on each"
        )


def is_number(text: str) -> bool:
    """Whether `text` is decimal digits and nothing else, at most nine of them."""
    return text.isascii() and text.isdigit() and len(text) <= 9


def format_share(threshold: int) -> str:
    """A threshold in 0…2^32 as `parse_share` reads it: `25%`."""
    return f"{threshold / 2**32 * 100:g}%"


def parse_share(text: str) -> int:
    """A share of devices, `25%` or `100%`, as a threshold in 0…2^32. Raises Malformed.

    The sign is asked for because 0.25 could mean either.
    """
    number = text.removesuffix("%")
    whole, _, fraction = number.partition(".")
    digits = is_number(whole) and (is_number(fraction) or not fraction)
    if number == text or not digits or not 0 <= float(number) <= 100:
        raise Malformed(f"{text!r} is no share; write for example 25% or 0.5%")
    threshold = round(float(number) / 100 * 2**32)
    if threshold == 0 and float(number) > 0:
        raise Malformed(f"{text!r} is less than any device; write 0% to offer it to nobody")
    return threshold


def log_options(command: F) -> F:
    """`--log-format` and `--log-level`, for what runs for long and has no file of settings."""
    command = click.option(
        "--log-level",
        type=click.Choice(LEVELS),
        default="warning",
        show_default=True,
        help="The least that the log says.",
    )(command)
    return click.option(
        "--log-format",
        type=click.Choice(FORMATS),
        default="logfmt",
        show_default=True,
        help="Of the log, on stderr.",
    )(command)
