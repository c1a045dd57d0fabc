# SPDX-License-Identifier: Apache-2.0
"""Where new keys of a maker are made: in files of this machine, or on a token."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from fieldpost.cli.maker_home import ROLES
from fieldpost.cli.options import find_passphrase, find_pin_prompt
from fieldpost.errors import Misconfigured
from fieldpost.keys import Algorithm, Signer
from fieldpost.records.maker import Role
from fieldpost.signers.keyfile import load_key_file, save_key_file, save_key_reference
from fieldpost.signers.software import SoftwareSigner
from fieldpost.signers.tokens import KeyMaker

F = TypeVar("F", bound=Callable[..., Any])


def token_options(command: F) -> F:
    """`--token` and `--on-token`; the command receives `token` and `on_token`."""
    command = click.option(
        "--on-token",
        multiple=True,
        type=click.Choice(list(ROLES)),
        help="Role whose keys go to the token. Repeatable.  [default: all that are made]",
    )(command)
    return click.option(
        "--token",
        metavar="URI",
        help="Make the keys on a token: pkcs11:token=LABEL?module-path=FILE&pin-source=file:FILE. "
        "They never leave it; the key files here only name them.",
    )(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKeys:
    """How keys are made: `passphrase` None leaves files unencrypted, `token` None has no token."""

    algorithm: Algorithm
    passphrase: bytes | None
    token: KeyMaker | None = None
    on_token: frozenset[Role] = frozenset()

    def make(self, role: Role, path: Path, name: str) -> Signer:
        """Make a key and write its file; `name` says on the token whose it is.

        Raises Conflict if the file exists, Misconfigured, Unavailable.
        """
        if self.token is None or role not in self.on_token:
            signer = SoftwareSigner.generate(self.algorithm)
            save_key_file(path, signer, self.passphrase)
            return signer
        save_key_reference(path, self.token.make(self.algorithm, f"{name} {path.stem}"))
        return load_key_file(path, _never, pin_prompt=self.token.prompt)


def plan_keys(
    *,
    algorithm: Algorithm,
    token: str | None,
    on_token: tuple[str, ...],
    roles: set[Role],
    no_passphrase: bool,
    passphrase_file: Path | None,
) -> NewKeys:
    """Read the options; a passphrase is asked for only if a key will lie in a file.

    Raises Misconfigured.
    """
    if on_token and token is None:
        raise Misconfigured("--on-token says which keys go to the token that --token names")
    chosen = frozenset({ROLES[name] for name in on_token} or roles) if token else frozenset()
    needs_files = bool(roles - chosen)
    return NewKeys(
        algorithm=algorithm,
        passphrase=(
            find_passphrase(passphrase_file, new=True)()
            if needs_files and not no_passphrase
            else None
        ),
        token=None if token is None else KeyMaker.on(token, find_pin_prompt()),
        on_token=chosen,
    )


def _never() -> bytes:
    raise AssertionError("a file that names a token's key has no passphrase")
