# SPDX-License-Identifier: Apache-2.0
"""The board record: payload of `genesis` and `board.set`, and what devices know of operators.

    {1: origin, 2: epoch, 3: previous link, 4: [operator…], 5: [witness…], 6: witnesses needed,
     7: admission, 8: limits, 9: rule version, 10: epoch_s, 11: successor origin}

    operator = {1: name, 2: [url…], 3: governance COSE_Key, 4: log vkey, 5: [cosigner vkey…],
                6: validator key}
    witness  = {1: vkey, 2: url}
    limits   = {1: posts, 2: bytes, 3: registrations, 4: endorsed registrations, 5: reserve posts,
                6: classes}         per maker role and UTC day, board per day, maker in all

Labels 3 (absent in genesis), 11, operator 6 and witness 2 are optional.
"""

from dataclasses import dataclass
from enum import IntEnum

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm, PublicKey, parse_cose_key
from fieldpost.records import limits
from fieldpost.records.fields import Fields, Reading, check_distinct, text_of
from fieldpost.records.identifiers import check_origin
from fieldpost.records.vkeys import COSIGNER_TYPES, read_cosigner, read_vkey, vkey_value
from fieldpost.tlog import note
from fieldpost.tlog.note import VerifierKey


class Admission(IntEnum):
    """Who may register a maker."""

    OPEN = 0
    ENDORSED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One member of the board: its addresses and every key it signs with."""

    name: str
    urls: tuple[str, ...]
    governance_key: PublicKey
    log_key: VerifierKey
    cosigner_keys: tuple[VerifierKey, ...]
    validator_key: bytes | None = None

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        value: dict[int, object] = {
            1: self.name,
            2: list(self.urls),
            3: self.governance_key.cose_key(),
            4: vkey_value(self.log_key),
            5: [vkey_value(key) for key in self.cosigner_keys],
        }
        if self.validator_key is not None:
            value[6] = self.validator_key
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A cosigner that checks consistency only."""

    key: VerifierKey
    url: str | None = None

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        value: dict[int, object] = {1: vkey_value(self.key)}
        if self.url is not None:
            value[2] = self.url
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one maker, or all newcomers together, may write; judged by rule."""

    posts_per_day: int = 10_000
    bytes_per_day: int = 16_000_000
    registrations_per_day: int = 1_000
    endorsed_registrations_per_day: int = 1_000
    reserve_posts_per_day: int = 100
    classes_per_maker: int = limits.MAX_CLASSES

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        return {
            1: self.posts_per_day,
            2: self.bytes_per_day,
            3: self.registrations_per_day,
            4: self.endorsed_registrations_per_day,
            5: self.reserve_posts_per_day,
            6: self.classes_per_maker,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRecord:
    """Everything the board says of itself. `previous` is the SHA-256 of the link before."""

    origin: str
    epoch: int
    previous: bytes | None
    operators: tuple[Operator, ...]
    witnesses: tuple[Witness, ...] = ()
    witnesses_needed: int = 0
    admission: Admission = Admission.OPEN
    limits: Limits = Limits()
    rule_version: int = 1
    epoch_s: int = 60
    successor_origin: str | None = None

    @property
    def quorum(self) -> int:
        """⌊2n/3⌋ + 1 of the operators."""
        return 2 * len(self.operators) // 3 + 1

    @property
    def is_replicated(self) -> bool:
        """Whether operators vote on blocks, which order its posts: some has a validator key."""
        return any(operator.validator_key is not None for operator in self.operators)

    @property
    def governance(self) -> dict[bytes, PublicKey]:
        """The operators' governance keys by thumbprint."""
        return {op.governance_key.thumbprint(): op.governance_key for op in self.operators}

    @property
    def is_solo(self) -> bool:
        """One operator and no witness needed: nobody but the operator vouches for one history."""
        return len(self.operators) == 1 and self.witnesses_needed == 0

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the link, and the value in the map."""
        value: dict[int, object] = {
            1: self.origin,
            2: self.epoch,
            4: [operator.value() for operator in self.operators],
            5: [witness.value() for witness in self.witnesses],
            6: self.witnesses_needed,
            7: int(self.admission),
            8: self.limits.value(),
            9: self.rule_version,
            10: self.epoch_s,
        }
        if self.previous is not None:
            value[3] = self.previous
        if self.successor_origin is not None:
            value[11] = self.successor_origin
        return cbor.encode(value)


def decode_board_record(data: bytes, reading: Reading = Reading.LEDGER) -> BoardRecord:
    """Read a board record. Raises Malformed, or Untrusted("unsupported") for devices."""
    fields = Fields(cbor.decode(data), "board record")
    record = BoardRecord(
        origin=check_origin(fields.text(1, most=limits.MAX_ORIGIN)),
        epoch=fields.uint(2),
        previous=fields.octets(3, length=32) if fields.has(3) else None,
        operators=fields.each(
            4, lambda v: _read_operator(v, reading), least=1, most=limits.MAX_OPERATORS
        ),
        witnesses=fields.each(5, lambda v: _read_witness(v, reading), most=limits.MAX_WITNESSES),
        witnesses_needed=fields.uint(6, most=limits.MAX_WITNESSES),
        admission=Admission(fields.uint(7, most=1)),
        limits=_read_limits(fields.value(8), reading),
        rule_version=fields.uint(9, least=1, most=2**16),
        epoch_s=fields.uint(10, least=1, most=86_400),
        successor_origin=(
            check_origin(fields.text(11, most=limits.MAX_ORIGIN)) if fields.has(11) else None
        ),
    )
    fields.close(reading)
    _check(record)
    return record


def _check(record: BoardRecord) -> None:
    if (record.epoch == 0) != (record.previous is None):
        raise Malformed("board record: epoch 0 and no previous link go together")
    if record.witnesses_needed > len(record.witnesses):
        raise Malformed("board record: more witnesses needed than named")
    keys = [key for operator in record.operators for key in operator.cosigner_keys]
    keys += [witness.key for witness in record.witnesses]
    check_distinct(tuple(key.key_id for key in keys), "cosigners' key ids")
    check_distinct(tuple(key.public for key in keys), "cosigners' keys")
    check_distinct(tuple(operator.name for operator in record.operators), "operators' names")
    governance = tuple(operator.governance_key for operator in record.operators)
    check_distinct(governance, "operators' governance keys")
    check_distinct(tuple(op.log_key.public for op in record.operators), "operators' log keys")
    check_distinct(tuple(op.log_key.key_id for op in record.operators), "log keys' ids")
    if any(operator.log_key.name != record.origin for operator in record.operators):
        raise Malformed("operator: the name of a log key is the origin")


def _read_operator(value: cbor.Value, reading: Reading) -> Operator:
    fields = Fields(value, "operator")
    operator = Operator(
        name=fields.text(1, most=limits.MAX_NAME),
        urls=fields.each(2, text_of(limits.MAX_URL, "a URL"), most=limits.MAX_URLS),
        governance_key=parse_cose_key(fields.value(3)),
        log_key=read_vkey(fields.value(4)),
        cosigner_keys=fields.each(5, read_vkey, least=1, most=limits.MAX_COSIGNER_KEYS),
        validator_key=fields.octets(6, length=32) if fields.has(6) else None,
    )
    fields.close(reading)
    if operator.governance_key.algorithm is not Algorithm.ED25519:
        raise Malformed("operator: the governance key must be Ed25519")
    if operator.log_key.type != note.ED25519:
        raise Malformed("operator: the log key must be Ed25519")
    types = [key.type for key in operator.cosigner_keys]
    if types not in ([note.COSIGNATURE_ED25519], list(COSIGNER_TYPES)):
        raise Malformed("operator: one Ed25519 cosigner key, then at most one of ML-DSA-44")
    return operator


def _read_witness(value: cbor.Value, reading: Reading) -> Witness:
    fields = Fields(value, "witness")
    witness = Witness(
        key=read_cosigner(fields.value(1)),
        url=fields.text(2, most=limits.MAX_URL) if fields.has(2) else None,
    )
    fields.close(reading)
    return witness


def _read_limits(value: cbor.Value, reading: Reading) -> Limits:
    fields = Fields(value, "limits")
    read = Limits(
        posts_per_day=fields.uint(1),
        bytes_per_day=fields.uint(2),
        registrations_per_day=fields.uint(3),
        endorsed_registrations_per_day=fields.uint(4),
        reserve_posts_per_day=fields.uint(5),
        classes_per_maker=fields.uint(6, most=limits.MAX_CLASSES),
    )
    fields.close(reading)
    return read
