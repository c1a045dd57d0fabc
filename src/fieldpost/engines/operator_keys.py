# SPDX-License-Identifier: Apache-2.0
"""The keys of a board's operator, as files that a node reads while it starts unattended.

    DATA/keys/log.pem             signs checkpoints
    DATA/keys/cosigner.pem        cosigns them; cosigner-mldsa44.pem too, where there is one
    DATA/keys/governance.pem      signs what operators post; the node itself does not need it
    DATA/keys/NAME.next.pem       the successor of a key, from before the board has it
    DATA/keys/retired/            former keys, and successors that were given up

All are mode 0600 and not encrypted; each may name a key in a token instead. Which of a key and its
successor is in use is said by the board record alone: the batch that carries a `board.set` is
published by the keys that it names. So both files lie there before the post is sent, and a node
that is cut off at any moment goes on right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, make_dirs
from fieldpost.engines.cosigner import LocalCosigner
from fieldpost.errors import Misconfigured
from fieldpost.keys import Algorithm, PublicKey, Signer
from fieldpost.records.board import BoardRecord, Operator
from fieldpost.signers.keyfile import load_key_file, save_key_file
from fieldpost.signers.software import SoftwareSigner
from fieldpost.tlog.cosignature import cosigner_key
from fieldpost.tlog.note import ED25519, VerifierKey

LOG: Final = "log"
COSIGNER: Final = "cosigner"
POST_QUANTUM: Final = "cosigner-mldsa44"
GOVERNANCE: Final = "governance"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorKeys:
    """What a node signs with. `post_quantum` is the ML-DSA-44 cosigner, if there is one."""

    log: Signer
    cosigner: Signer
    post_quantum: Signer | None = None

    def cosigners(self) -> tuple[Signer, ...]:
        """The keys that cosign, Ed25519 first."""
        return (self.cosigner, *([self.post_quantum] if self.post_quantum else []))

    def operator(
        self, name: str, urls: Sequence[str], origin: str, governance: PublicKey
    ) -> Operator:
        """The operator's entry in the board record. The log key's name is the origin."""
        return Operator(
            name=name,
            urls=tuple(urls),
            governance_key=governance,
            log_key=VerifierKey(origin, ED25519, self.log.public_key.raw),
            cosigner_keys=tuple(cosigner_key(name, s.public_key) for s in self.cosigners()),
        )

    def local_cosigner(self, operator: Operator) -> LocalCosigner:
        """The cosigner of a board that needs nobody else."""
        return LocalCosigner(operator.cosigner_keys[0].name, self.cosigners())


def next_path(directory: Path, name: str) -> Path:
    """Where the successor of a key lies until the board has it."""
    return directory / f"{name}.next.pem"


def check_keys(directory: Path) -> None:
    """Raises Misconfigured for a key that every node needs and that is missing or unreadable."""
    for name in (LOG, COSIGNER):
        if not _held(directory, name):
            load_signer(directory / f"{name}.pem")


def log_keys(directory: Path) -> tuple[PublicKey, ...]:
    """Every key here that signs checkpoints, did, or may do so soon. Raises Misconfigured."""
    return tuple(_held(directory, LOG))


def find_keys(directory: Path, record: BoardRecord) -> tuple[OperatorKeys, Operator]:
    """The keys here that `record` names, and the operator whose they are.

    Raises Misconfigured for what is readable by others, or of no operator.
    """
    held = {name: _held(directory, name) for name in (LOG, COSIGNER, POST_QUANTUM)}
    for operator in record.operators:
        log = held[LOG].get(operator.log_key.public_key)
        named = [key.public_key for key in operator.cosigner_keys]
        both = held[COSIGNER] | held[POST_QUANTUM]
        cosigners = [both[key] for key in named if key in both]
        if log is not None and len(cosigners) == len(named):
            return OperatorKeys(log=log, cosigner=cosigners[0], post_quantum=_second(cosigners)), (
                operator
            )
    raise Misconfigured(
        f"the keys in {directory} are of no operator of {record.origin} at epoch {record.epoch}: "
        "put back the board's own keys, after a rotation those that it names now"
    )


def own_name(directory: Path, record: BoardRecord) -> str | None:
    """Which operator of the record has its keys here; None for a node that only follows."""
    try:
        return find_keys(directory, record)[1].name
    except Misconfigured:
        return None


def make_keys(
    directory: Path, *, post_quantum: bool, disk: Disk = OS
) -> tuple[Signer, OperatorKeys]:
    """The governance key and the others of a new operator; what is there already is kept."""
    make_dirs(directory, mode=0o700, disk=disk)
    wanted = dict.fromkeys((GOVERNANCE, LOG, COSIGNER), Algorithm.ED25519)
    if post_quantum:
        wanted[POST_QUANTUM] = Algorithm.ML_DSA_44
    for name, algorithm in wanted.items():
        _check_algorithm(directory, name, make_key(directory / f"{name}.pem", algorithm, disk=disk))
    extra = directory / f"{POST_QUANTUM}.pem"
    return load_signer(directory / f"{GOVERNANCE}.pem"), OperatorKeys(
        log=load_signer(directory / f"{LOG}.pem"),
        cosigner=load_signer(directory / f"{COSIGNER}.pem"),
        post_quantum=load_signer(extra) if extra.exists() else None,
    )


def make_key(path: Path, algorithm: Algorithm, *, disk: Disk = OS) -> Signer:
    """The key in a file, made if there is none."""
    if not path.exists():
        save_key_file(path, SoftwareSigner.generate(algorithm), None, disk=disk)
    return load_signer(path)


def load_signer(path: Path, pin_prompt: Callable[[str], str] | None = None) -> Signer:
    """An unencrypted key, or one in a token. Raises Misconfigured."""

    def refuse() -> bytes:
        raise Misconfigured(f"{path} is encrypted, and a node starts alone: store it unencrypted")

    return load_key_file(path, refuse, pin_prompt=pin_prompt)


def _held(directory: Path, name: str) -> dict[PublicKey, Signer]:
    # Retired ones too: others may still post a rotation that was given up here.
    retired = (directory / "retired").glob(f"{name}.*.pem")
    paths = (directory / f"{name}.pem", next_path(directory, name), *retired)
    signers = [load_signer(path) for path in paths if path.exists()]
    for signer in signers:
        _check_algorithm(directory, name, signer)
    return {signer.public_key: signer for signer in signers}


def _check_algorithm(directory: Path, name: str, signer: Signer) -> None:
    if name in (LOG, COSIGNER) and signer.public_key.algorithm is not Algorithm.ED25519:
        raise Misconfigured(
            f"{directory}/{name}.pem must be an Ed25519 key: C2SP checkpoints know no P-256"
        )


def _second(cosigners: Sequence[Signer]) -> Signer | None:
    return cosigners[1] if len(cosigners) > 1 else None
