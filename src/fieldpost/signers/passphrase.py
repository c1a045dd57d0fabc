# SPDX-License-Identifier: Apache-2.0
"""Where the passphrase of a key file comes from: a file, the environment, or a person.

In this order: the file that the command names (`--passphrase-file`), the file that
FIELDPOST_PASSPHRASE_FILE names, FIELDPOST_PASSPHRASE itself, a prompt. Never a command's
argument: every user of a machine can list those.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fieldpost.errors import Misconfigured

VARIABLE: Final = "FIELDPOST_PASSPHRASE"
FILE_VARIABLE: Final = "FIELDPOST_PASSPHRASE_FILE"


def passphrase_source(
    *,
    environment: Mapping[str, str],
    file: Path | None = None,
    prompt: Callable[[], str] | None = None,
) -> Callable[[], bytes]:
    """A function that finds the passphrase when, and only when, it is called.

    It gives the UTF-8 of the first source that is there. A file's last line break does not count.
    It raises Misconfigured where a source is empty or unreadable, or none is there; `prompt` is
    None where nobody can be asked.
    """

    def read() -> bytes:
        named = environment.get(FILE_VARIABLE)
        if file is not None or named:
            return _from_file(file if file is not None else Path(named or ""))
        if VARIABLE in environment:
            return _checked(environment[VARIABLE].encode(), VARIABLE)
        if prompt is not None:
            return _checked(prompt().encode(), "the answer")
        raise Misconfigured(
            "a passphrase is needed and nobody can be asked: give --passphrase-file, or set "
            f"{FILE_VARIABLE} or {VARIABLE}"
        )

    return read


def _from_file(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"cannot read the passphrase file {path}: {error.strerror}") from error
    return _checked(data.removesuffix(b"\n").removesuffix(b"\r"), str(path))


def _checked(passphrase: bytes, where: str) -> bytes:
    if not passphrase:
        raise Misconfigured(f"the passphrase is empty ({where})")
    return passphrase
