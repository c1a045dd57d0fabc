# SPDX-License-Identifier: Apache-2.0
"""The recovery sheet: what somebody needs who finds the keys in twenty years, on paper.

    HOME/recovery.txt    written by `maker init` and `maker rotate-keys`; holds no secret

`fieldpost maker recovery --with-secrets` prints the private root keys as well, as they lie in their
files: encrypted, if they are.
"""

from pathlib import Path
from typing import Final

import click

from fieldpost import durable
from fieldpost.cli.console import json_option, show
from fieldpost.cli.maker_home import MakerHome, Settings
from fieldpost.cli.options import home_options, open_home
from fieldpost.cli.words import short
from fieldpost.keys import PublicKey
from fieldpost.records.maker import Role

_SHEET: Final = """\
FIELDPOST RECOVERY SHEET
========================
Print this and keep it apart from the keys. It holds no secret{unless}.

maker      {name}
maker id   {maker}
board      {board}

The {count} root keys, of which any {threshold} act together:

{roots}

Everyday keys (release, rollout, enrol, care) can be replaced by the root keys alone.

ONE ROOT KEY LOST OR STOLEN
  While any {threshold} others are left: fieldpost maker rotate-keys --role root
ALL BUT {less} ROOT KEYS LOST
  Nobody can change who you are any more. Releases go on with the everyday keys that you have.
  Say so to your users, and provision new devices under a new maker.
AN EVERYDAY KEY STOLEN
  fieldpost maker rotate-keys --role NAME at once; then look at what it posted:
  fieldpost release list CLASS, fieldpost release withdraw CLASS SEQUENCE
A KEY FILE FOUND
  Compare: fieldpost maker recovery prints the thumbprints of the files in HOME/keys.
THE BOARD IS GONE
  Your devices leave it by themselves after the grace that your policy names, and believe links
  at your own link URLs, signed by the root keys. See docs/guides, "leave this board".
"""


def format_sheet(
    settings: Settings, roots: list[tuple[str, PublicKey | None]], *, secrets: str = ""
) -> str:
    """The sheet's text. `roots`: file and public key, None for one that is not here."""
    kept = f"      kept by: {'_' * 40}"
    lines = [
        f"  [ ] {file:<16} {short(key) if key else 'not on this machine'}\n{kept}"
        for file, key in roots
    ]
    text = _SHEET.format(
        name=settings.name,
        maker=settings.maker,
        board=settings.board or "not registered yet",
        count=len(roots),
        threshold=settings.root_threshold,
        less=settings.root_threshold - 1,
        roots="\n".join(lines),
        unless=", except for the last part" if secrets else "",
    )
    return text + (f"\nPRIVATE ROOT KEYS. Whoever has them is you.\n\n{secrets}" if secrets else "")


def write_recovery_sheet(maker: MakerHome) -> Path:
    """Write HOME/recovery.txt for the keys of now."""
    path = maker.path / "recovery.txt"
    durable.write_file(path, format_sheet(maker.settings(), _roots(maker)).encode())
    return path


def _roots(maker: MakerHome) -> list[tuple[str, PublicKey | None]]:
    files = maker.settings().keys.get(Role.ROOT.name.lower(), ())
    return [
        (
            file,
            maker.key(file).public_key if (maker.path / "keys" / file).exists() else None,
        )
        for file in files
    ]


@click.command(name="recovery")
@click.option("--with-secrets", is_flag=True, help="Print the private root keys, too.")
@home_options
@json_option
def recovery(
    *, with_secrets: bool, home: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    r"""Print the recovery sheet: maker id, root keys, and what to do when one is lost.

    \b
    fieldpost maker recovery > recovery.txt
    """
    maker = open_home(home, passphrase_file)
    settings = maker.settings()
    roots = _roots(maker)
    if as_json:
        show(
            {
                "maker": settings.maker,
                "board": settings.board,
                "root_threshold": settings.root_threshold,
                "roots": {
                    file: None if key is None else key.thumbprint().hex() for file, key in roots
                },
            },
            as_json=True,
        )
        return
    files = [maker.path / "keys" / file for file, key in roots if key is not None]
    secrets = "\n".join(f"{path.name}\n{path.read_text()}" for path in files)
    click.echo(format_sheet(settings, roots, secrets=secrets if with_secrets else ""))


commands = (recovery,)
