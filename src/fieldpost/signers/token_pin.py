# SPDX-License-Identifier: Apache-2.0
"""Where the PIN of a token comes from: a file or a person, never an argument.

In this order: the file that the key's URI names (`pin-source`), the file that FIELDPOST_PIN_FILE
names, a prompt. A file that others may read is refused, as a key file would be.
"""

import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fieldpost.errors import Misconfigured
from fieldpost.signers.pkcs11_uri import TokenUri

FILE_VARIABLE: Final = "FIELDPOST_PIN_FILE"
MOST_BYTES: Final = 256

Prompt = Callable[[str], str]


def find_pin(uri: TokenUri, environment: Mapping[str, str], prompt: Prompt | None) -> str:
    """The PIN of a token. `prompt` is asked with the token's name; None where nobody can be asked.

    Raises Misconfigured.
    """
    named = uri.pin_source or environment.get(FILE_VARIABLE)
    if named:
        return _from_file(Path(named.removeprefix("file:").replace("//", "/", 1)))
    if prompt is not None:
        return _checked(prompt(uri.token_words), "the answer")
    raise Misconfigured(
        f"the token {uri.token_words} needs a PIN and nobody can be asked: write it to a file that "
        f"only you may read, and name that in the URI, ?pin-source=file:/path, or {FILE_VARIABLE}"
    )


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"cannot read the PIN file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise Misconfigured(f"others may read the PIN file {path}: run  chmod 600 {path}")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Misconfigured(f"the PIN file {path} is no text") from None
    return _checked(text.removesuffix("\n").removesuffix("\r"), str(path))


def _checked(pin: str, where: str) -> str:
    if not pin or len(pin.encode()) > MOST_BYTES:
        raise Misconfigured(f"a PIN has 1 to {MOST_BYTES} bytes ({where})")
    return pin
