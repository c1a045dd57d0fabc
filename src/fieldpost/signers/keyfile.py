# SPDX-License-Identifier: Apache-2.0
"""Private keys in files: PKCS#8 PEM, mode 0600, encrypted unless a program must start alone.

Makers' keys are encrypted. A node's own keys are not, because it starts unattended; what guards
them is the file mode, so a file that others may read is refused rather than used. An existing
file is never overwritten: that would destroy a key.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from fieldpost.durable import OS, Disk, create_file
from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.signers.pkcs8 import format_private_key, is_encrypted, parse_private_key
from fieldpost.signers.software import SoftwareSigner


def save_key_file(
    path: Path, signer: SoftwareSigner, passphrase: bytes | None, *, disk: Disk = OS
) -> None:
    """Write the key to a new file with mode 0600, durably; None leaves it unencrypted.

    Raises Conflict if the file exists, Unavailable, Misconfigured for an empty passphrase.
    """
    if passphrase == b"":
        raise Misconfigured("the passphrase is empty: choose one, or ask for an unencrypted file")
    create_file(path, format_private_key(signer.to_pkcs8(), passphrase), mode=0o600, disk=disk)


def load_key_file(path: Path, passphrase_source: Callable[[], bytes]) -> SoftwareSigner:
    """The signer of a key file. `passphrase_source` is asked only if the file is encrypted.

    Raises Misconfigured, saying what to do, for a file that is missing, readable by others or no
    key, and for a wrong passphrase; and what `passphrase_source` raises.
    """
    pem = _read_private(path)
    passphrase = passphrase_source() if is_encrypted(pem) else None
    try:
        return SoftwareSigner.from_pkcs8(parse_private_key(pem, passphrase))
    except Untrusted:
        raise Misconfigured(f"the passphrase does not open {path}") from None
    except Malformed as error:
        raise Misconfigured(f"{path} is no key file: {error}") from error


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # The mode of the opened file, not of a name that may be swapped meanwhile.
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            pem = file.read()
    except FileNotFoundError:
        raise Misconfigured(f"there is no key file {path}") from None
    except OSError as error:
        raise Misconfigured(f"cannot read the key file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise Misconfigured(f"others may read the key file {path}: run  chmod 600 {path}")
    return pem
