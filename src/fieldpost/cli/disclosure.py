# SPDX-License-Identifier: Apache-2.0
"""What a maker is told before its first post: what becomes public, for ever.

docs/guides/what-becomes-public.md says it field by field; these lines must not promise more.
"""

import sys
from typing import Final

import click

from fieldpost.cli.console import printable
from fieldpost.errors import Misconfigured

GUIDE: Final = "docs/guides/what-becomes-public.md"
_WORDS: Final = """\
Before your first post: what you post is public at once, and for ever. Nobody,
you included, can take it back.
  now    your name, {name}; your public keys, contact and policy; the time
  later  classes, support ends; versions, digests and sizes of releases; images,
         unless encrypted; who may get them, and when; how many devices a lot has;
         which of them, by number, are revoked; advisories, and reasons you give
  never  device ids, serial numbers, and what devices report
Word by word: {guide}"""


def say_what_becomes_public(name: str, board: str, *, is_accepted: bool, as_json: bool) -> None:
    """Say it to the maker called `name`, and ask, unless the caller says that it is accepted.

    A script with --json that accepts it hears nothing. Raises click.Abort where a person says no,
    Misconfigured where there is nobody to ask.
    """
    if not (as_json and is_accepted):
        click.echo(_WORDS.format(name=printable(name), guide=GUIDE), err=True)
    if is_accepted:
        return
    if not sys.stdin.isatty():
        raise Misconfigured(
            f"what becomes public when you register stands in {GUIDE}; there is nobody to ask "
            "here, so say --yes if you accept it"
        )
    click.confirm(f"Post this on {printable(board)}?", abort=True, err=True)
