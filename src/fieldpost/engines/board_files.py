# SPDX-License-Identifier: Apache-2.0
"""A board's first start: the keys of its operator, and the genesis entry in an empty log.

    DATA/keys/governance.pem  log.pem  cosigner.pem  [cosigner-mldsa44.pem]     mode 0600

The keys are not encrypted, because a node starts unattended; each file may name a key in a token
instead. Without a given origin the board is
`localhost.<8 hex>/1`, a trial board: good for trying things out, and said so in every output.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs
from fieldpost.engines.cosigner import LocalCosigner
from fieldpost.errors import Conflict, Misconfigured
from fieldpost.keys import Algorithm, Signer
from fieldpost.ledger.genesis import apply_genesis, make_genesis
from fieldpost.posts.envelope import decode_post
from fieldpost.records.board import BoardRecord, Operator, Witness
from fieldpost.records.identifiers import board_id, check_origin
from fieldpost.records.limits import MAX_NAME
from fieldpost.signers.keyfile import load_key_file, save_key_file, save_key_reference
from fieldpost.signers.software import SoftwareSigner
from fieldpost.store.log_files import LogFiles
from fieldpost.store.log_recovery import open_log
from fieldpost.tlog.cosignature import cosigner_key
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import ED25519, VerifierKey

_TRIAL: Final = re.compile(r"localhost\.[0-9a-f]{8}/1")


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorKeys:
    """The signers of one operator. `post_quantum` is the ML-DSA-44 cosigner, if there is one."""

    governance: Signer
    log: Signer
    cosigner: Signer
    post_quantum: Signer | None = None

    def cosigners(self) -> tuple[Signer, ...]:
        """The keys that cosign, Ed25519 first."""
        return (self.cosigner, *([self.post_quantum] if self.post_quantum else []))

    def operator(self, name: str, urls: Sequence[str], origin: str) -> Operator:
        """The operator's entry in the board record. The log key's name is the origin."""
        return Operator(
            name=name,
            urls=tuple(urls),
            governance_key=self.governance.public_key,
            log_key=VerifierKey(origin, ED25519, self.log.public_key.raw),
            cosigner_keys=tuple(cosigner_key(name, s.public_key) for s in self.cosigners()),
        )

    def local_cosigner(self, operator: Operator) -> LocalCosigner:
        """The cosigner of a board that needs nobody else."""
        return LocalCosigner(operator.cosigner_keys[0].name, self.cosigners())

    def check_operator(self, record: BoardRecord) -> Operator:
        """The entry of these keys in the board record. Raises Misconfigured if there is none."""
        for operator in record.operators:
            mine = self.operator(operator.name, operator.urls, record.origin)
            cosigners = [key.public for key in operator.cosigner_keys]
            if operator.log_key == mine.log_key and cosigners == [
                key.public for key in mine.cosigner_keys
            ]:
                return operator
        raise Misconfigured(
            f"the keys are of no operator of {record.origin}: put back the board's own keys"
        )


def is_trial(origin: str) -> bool:
    """Whether this is the origin of a board that somebody only tries out."""
    return _TRIAL.fullmatch(origin) is not None


def keys_directory(data: Path) -> Path:
    """Where a node's keys lie."""
    return data / "keys"


def log_directory(data: Path) -> Path:
    """Where a node's log lies."""
    return data / "log"


def is_board(data: Path) -> bool:
    """Whether a board was begun in this data directory."""
    first = log_directory(data) / "tile" / "entries" / "000"
    partial = first.with_name("000.p")
    # A first start that was cut off before the genesis batch was in place is no board yet.
    return first.is_file() or (
        partial.is_dir() and any(path.name.isdecimal() for path in partial.iterdir())
    )


def create_board(
    data: Path,
    *,
    now: int,
    origin: str | None = None,
    operator: str | None = None,
    urls: Sequence[str] = (),
    post_quantum: bool = False,
    epoch_s: int = 60,
    witnesses: Sequence[Witness] = (),
    witnesses_needed: int = 0,
    disk: Disk = OS,
) -> str:
    """Make the keys and the genesis of a board with one operator; returns the board id.

    `now`: Unix seconds. `operator` is called after the origin's host unless named. Keys that an
    interrupted first start left are used. Raises Conflict if a board is here, Malformed for a bad
    origin, Unavailable.
    """
    origin = check_origin(origin or f"localhost.{secrets.token_hex(4)}/1")
    make_dirs(data, disk=disk)
    log = open_log(log_directory(data), disk=disk)
    if log.size:
        raise Conflict(f"{data} holds a board already", read_board_id(log))
    keys = _make_keys(keys_directory(data), post_quantum=post_quantum, disk=disk)
    name = operator or origin.partition("/")[0].partition(":")[0][:MAX_NAME]
    record = BoardRecord(
        origin=origin,
        epoch=0,
        previous=None,
        operators=(keys.operator(name, urls, origin),),
        epoch_s=epoch_s,
        witnesses=tuple(witnesses),
        witnesses_needed=witnesses_needed,
    )
    batch = apply_genesis(make_genesis(record, [keys.governance]), time=now)
    log.append(batch.entries)
    return batch.state.board


def read_board_id(log: LogFiles) -> str:
    """The board id, from the genesis entry of a log that has one. Raises NotFound, Malformed."""
    entry = log.read_entry(0)
    return board_id(decode_post(entry).statement.audience, leaf_hash(entry))


def load_keys(directory: Path) -> OperatorKeys:
    """The operator's keys. Raises Misconfigured for what is missing or readable by others."""
    extra = directory / "cosigner-mldsa44.pem"
    return OperatorKeys(
        governance=_load(directory / "governance.pem"),
        log=_load_ed25519(directory / "log.pem"),
        cosigner=_load_ed25519(directory / "cosigner.pem"),
        post_quantum=_load(extra) if extra.exists() else None,
    )


def _load_ed25519(path: Path) -> Signer:
    signer = _load(path)
    if signer.public_key.algorithm is not Algorithm.ED25519:
        raise Misconfigured(f"{path} must be an Ed25519 key: C2SP checkpoints know no P-256")
    return signer


def name_keys_in_token(
    data: Path, make_key: Callable[[str], str], *, disk: Disk = OS
) -> list[Path]:
    """Before the first start: have governance, log and cosigner keys made elsewhere.

    `make_key` makes an Ed25519 key under a label and returns its `pkcs11:` URI, which the key file
    then holds. Raises Conflict if keys are here, and what `make_key` raises.
    """
    directory = keys_directory(data)
    if is_board(data) or any(directory.glob("*.pem")):
        raise Conflict(
            f"{directory} holds keys already; a board's keys are changed by its operator"
        )
    make_dirs(data, disk=disk)
    make_dirs(directory, mode=0o700, disk=disk)
    made: list[Path] = []
    for name in ("governance", "log", "cosigner"):
        made.append(directory / f"{name}.pem")
        save_key_reference(made[-1], make_key(name), disk=disk)
    return made


def _make_keys(directory: Path, *, post_quantum: bool, disk: Disk) -> OperatorKeys:
    make_dirs(directory, mode=0o700, disk=disk)
    wanted = dict.fromkeys(("governance", "log", "cosigner"), Algorithm.ED25519)
    if post_quantum:
        wanted["cosigner-mldsa44"] = Algorithm.ML_DSA_44
    for name, algorithm in wanted.items():
        path = directory / f"{name}.pem"
        if not path.exists():
            save_key_file(path, SoftwareSigner.generate(algorithm), None, disk=disk)
    return load_keys(directory)


def _load(path: Path) -> Signer:
    def refuse() -> bytes:
        raise Misconfigured(f"{path} is encrypted, and a node starts alone: store it unencrypted")

    return load_key_file(path, refuse)
