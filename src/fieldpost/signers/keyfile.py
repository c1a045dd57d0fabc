# SPDX-License-Identifier: Apache-2.0
"""Key files: a private key as PKCS#8 PEM, or one line, the `pkcs11:` URI of a key in a token.

Mode 0600, encrypted unless a program must start alone. Whatever takes a key file takes either; what
a token needs (`fieldpost.signers.tokens`) is imported only for a file that names one.

Makers' keys are encrypted. A node's own keys are not, because it starts unattended; what guards
them is the file mode, so a file that others may read is refused rather than used. An existing
file is never overwritten: that would destroy a key.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, create_file
from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.keys import Signer
from fieldpost.signers.pkcs8 import format_private_key, is_encrypted, parse_private_key
from fieldpost.signers.software import SoftwareSigner

_REFERENCE: Final = b"pkcs11:"


def save_key_file(
    path: Path, signer: SoftwareSigner, passphrase: bytes | None, *, disk: Disk = OS
) -> None:
    """Write the key to a new file with mode 0600, durably; None leaves it unencrypted.

    Raises Conflict if the file exists, Unavailable, Misconfigured for an empty passphrase.
    """
    if passphrase == b"":
        raise Misconfigured("the passphrase is empty: choose one, or ask for an unencrypted file")
    create_file(path, format_private_key(signer.to_pkcs8(), passphrase), mode=0o600, disk=disk)


def save_key_reference(path: Path, uri: str, *, disk: Disk = OS) -> None:
    """Write a new key file that names a key in a token. Raises Conflict, Unavailable."""
    create_file(path, uri.encode() + b"\n", mode=0o600, disk=disk)


def load_key_file(
    path: Path,
    passphrase_source: Callable[[], bytes],
    *,
    pin_prompt: Callable[[str], str] | None = None,
) -> Signer:
    """The signer of a key file. `passphrase_source` is asked only if the file is encrypted.

    `pin_prompt` asks a person for a token's PIN, where no file holds it. Raises Misconfigured,
    saying what to do, for a file that is missing, readable by others or no key, and for a wrong
    passphrase or PIN; Unavailable for a token that is away; and what `passphrase_source` raises.
    """
    content = _read_private(path)
    if content.startswith(_REFERENCE):
        from fieldpost.signers.tokens import open_token_key

        try:
            return open_token_key(content.decode().strip(), pin_prompt)
        except (UnicodeDecodeError, Misconfigured) as error:
            raise Misconfigured(f"{path}: {error}") from error
    passphrase = passphrase_source() if is_encrypted(content) else None
    try:
        return SoftwareSigner.from_pkcs8(parse_private_key(content, passphrase))
    except Untrusted:
        raise Misconfigured(f"the passphrase does not open {path}") from None
    except Malformed as error:
        raise Misconfigured(
            f"{path} is no key file ({error}): put it back from your copy of the keys"
        ) from error


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # The mode of the opened file, not of a name that may be swapped meanwhile.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pem = file.read()
    except FileNotFoundError:
        raise Misconfigured(
            f"there is no key file {path}: name another, or put it back from your copy of the keys"
        ) from None
    except OSError as error:
        raise Misconfigured(f"cannot read the key file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise Misconfigured(f"others may read the key file {path}: run  chmod 600 {path}")
    return pem
