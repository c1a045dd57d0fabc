# SPDX-License-Identifier: Apache-2.0
"""The successor of a validator key: made beside it, and put in its place when the others count it.

    config/priv_validator_key.json         votes now
    config/priv_validator_key.next.json    its successor, from before the board has it
    config/retired/                        former keys, and successors that were given up

CometBFT reads its key when it starts, so it is ended, the file is replaced by one rename, and it is
started again. What was voted for last stays as it is for both keys: heights in it only grow, so the
successor votes for no height at or below one that the former key voted for, whenever it is cut off.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from fieldpost.durable import OS, Disk, make_dirs, publish, write_file
from fieldpost.engines.cometbft.home import key_path, load_key, make_key_file, read_public_key
from fieldpost.keys import Signer


def successor_path(home: Path) -> Path:
    """Where the successor lies until it votes."""
    return home / "config" / "priv_validator_key.next.json"


def make_successor(home: Path, *, disk: Disk = OS) -> Signer:
    """The successor, made if there is none."""
    path = successor_path(home)
    if not path.exists():
        make_key_file(path, disk=disk)
    return load_key(path)


def read_successor(home: Path) -> bytes | None:
    """The public key of the successor, 32 bytes, if there is one. Raises Misconfigured."""
    path = successor_path(home)
    return read_public_key(path) if path.exists() else None


def give_up_successor(home: Path, epoch: int, *, disk: Disk = OS) -> None:
    """Put the successor aside; it is kept, since others may still post what it signed.

    `epoch`: that of the board's record now.
    """
    make_dirs(_retired(home), mode=0o700, disk=disk)
    aside = _retired(home) / f"priv_validator_key.abandoned-{epoch}.json"
    publish(successor_path(home), aside, disk=disk)


def find_heir(home: Path, voting: Collection[bytes]) -> Path | None:
    """The file of a successor that votes from the next block on, if there is one.

    `voting`: the validators' public keys of that block. Raises Misconfigured.
    """
    own = read_public_key(key_path(home))
    for path in _successors(home):
        public = read_public_key(path)
        if public in voting and public != own:
            return path
    return None


def has_successor(home: Path) -> bool:
    """Whether there is any that could ever take over."""
    return next(_successors(home), None) is not None


def retire_key(home: Path, height: int, *, disk: Disk = OS) -> None:
    """Keep a copy of the key that voted until `height`. May be repeated."""
    make_dirs(_retired(home), mode=0o700, disk=disk)
    copy = _retired(home) / f"priv_validator_key.until-{height}.json"
    write_file(copy, key_path(home).read_bytes(), mode=0o600, disk=disk)


def take_over(home: Path, heir: Path, *, disk: Disk = OS) -> None:
    """From the next start on `heir` votes. CometBFT must not run."""
    publish(heir, key_path(home), disk=disk)


def _retired(home: Path) -> Path:
    return home / "config" / "retired"


def _successors(home: Path) -> Iterator[Path]:
    if successor_path(home).exists():
        yield successor_path(home)
    yield from sorted(_retired(home).glob("priv_validator_key.abandoned-*.json"))
