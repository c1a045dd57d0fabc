# SPDX-License-Identifier: Apache-2.0
"""A witness's name and keys, and what it signs with them.

    DATA/keys/name                  the cosigner's name, for ever
    DATA/keys/witness.pem           Ed25519 (0x04)
    DATA/keys/witness-mldsa44.pem   ML-DSA-44 (0x06), where there is one
    DATA/keys/cosigned              there since the first cosignature: without the database that
                                    goes with it these keys must never sign again

Key files are mode 0600 and not encrypted, because a witness starts unattended; each may name a key
in a token instead.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, create_file, make_dirs, write_file
from fieldpost.errors import Conflict, Malformed, Misconfigured
from fieldpost.keys import Algorithm, Signer
from fieldpost.signers.keyfile import load_key_file, save_key_file
from fieldpost.signers.software import SoftwareSigner
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.cosignature import cosign, cosigner_key, format_cosignature
from fieldpost.tlog.note import NoteSignature, VerifierKey, check_key_name

ALGORITHMS: Final = {"witness": Algorithm.ED25519, "witness-mldsa44": Algorithm.ML_DSA_44}
_NAME: Final = "name"
_COSIGNED: Final = "cosigned"


@dataclass(frozen=True, slots=True)
class WitnessKeys:
    """What a witness cosigns with: Ed25519 first, then ML-DSA-44 if there is one."""

    name: str
    signers: tuple[Signer, ...]

    def vkeys(self) -> tuple[VerifierKey, ...]:
        """The keys as logs and policies name them."""
        return tuple(cosigner_key(self.name, signer.public_key) for signer in self.signers)

    def cosign(self, checkpoint: Checkpoint, timestamp: int) -> tuple[NoteSignature, ...]:
        """One line of each key. Extension lines are covered by Ed25519 alone, so by it alone."""
        signers = self.signers[:1] if checkpoint.extensions else self.signers
        return tuple(
            format_cosignature(
                cosign(checkpoint, name=self.name, signer=signer, timestamp=timestamp),
                name=self.name,
            )
            for signer in signers
        )


def keys_directory(data: Path) -> Path:
    """Where a witness's keys lie."""
    return data / "keys"


def make_keys(data: Path, name: str, *, post_quantum: bool, disk: Disk = OS) -> WitnessKeys:
    """Make the keys of a new witness. An interrupted call may be repeated.

    Raises Conflict if `data` has a witness of another name, Malformed for a name that no note can
    carry, Unavailable.
    """
    check_key_name(name)
    make_dirs(data, disk=disk)
    folder = keys_directory(data)
    make_dirs(folder, mode=0o700, disk=disk)
    if not (folder / _NAME).exists():
        create_file(folder / _NAME, name.encode() + b"\n", disk=disk)
    elif _read_name(folder) != name:
        raise Conflict(f"{data} holds the witness {_read_name(folder)}; choose another folder")
    for file, algorithm in ALGORITHMS.items():
        wanted = post_quantum or algorithm is Algorithm.ED25519
        if wanted and not (folder / f"{file}.pem").exists():
            signer = SoftwareSigner.generate(algorithm)
            save_key_file(folder / f"{file}.pem", signer, None, disk=disk)
    return load_keys(data)


def load_keys(data: Path) -> WitnessKeys:
    """The keys of the witness in `data`. Raises Misconfigured, saying what to do."""
    folder = keys_directory(data)
    files = {file: folder / f"{file}.pem" for file in ALGORITHMS}
    name = _read_name(folder)
    signers = []
    for file, path in files.items():
        if file != "witness" and not path.exists():
            continue
        signer = load_key_file(path, _refuse_passphrase)
        if signer.public_key.algorithm is not ALGORITHMS[file]:
            raise Misconfigured(f"{path} must be a key of {ALGORITHMS[file].name}")
        signers.append(signer)
    return WitnessKeys(name, tuple(signers))


def has_cosigned(data: Path) -> bool:
    """Whether these keys ever cosigned anything."""
    return (keys_directory(data) / _COSIGNED).exists()


def note_cosigned(data: Path, *, disk: Disk = OS) -> None:
    """Make durable that these keys are about to cosign. Raises Unavailable."""
    write_file(keys_directory(data) / _COSIGNED, b"", disk=disk)


def _read_name(folder: Path) -> str:
    try:
        name = (folder / _NAME).read_text(encoding="utf-8").strip()
        check_key_name(name)
    except FileNotFoundError:
        raise Misconfigured(
            f"{folder.parent} holds no witness: make its keys with `fieldpost witness init`"
        ) from None
    except (OSError, UnicodeDecodeError, Malformed) as error:
        raise Misconfigured(f"{folder / _NAME} is no cosigner's name: {error}") from error
    return name


def _refuse_passphrase() -> bytes:
    raise Misconfigured("a witness starts alone: store its keys unencrypted, readable by it alone")
