# SPDX-License-Identifier: Apache-2.0
"""An operator's public file: what it tells the other operators before a board has it.

    {"fieldpost": "operator/1", "origin", "name", "urls": […], "governance_key", "log_key",
     "cosigner_keys": […], "validator_key", "peer"}

JSON that people can read. Keys of the log and of cosigners are vkeys, the governance key a
COSE_Key and the validator key 32 bytes, both in hex; `peer` is id@HOST:PORT of its CometBFT.
Nothing in it is secret, and nothing proves it: operators compare fingerprints by another way.
"""

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from fieldpost import cbor
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft import home
from fieldpost.engines.operator_keys import make_keys
from fieldpost.errors import Malformed
from fieldpost.keys import decode_key
from fieldpost.records.board import BoardRecord, Operator, decode_board_record
from fieldpost.records.identifiers import check_origin
from fieldpost.tlog.note import format_vkey, parse_vkey

MOST_BYTES: Final = 64 * 1024
_KIND: Final = "operator/1"


@dataclass(frozen=True, slots=True)
class OperatorFile:
    """The entry in the board record, the board's origin, and where the CometBFT is."""

    operator: Operator
    origin: str
    peer: str

    def __post_init__(self) -> None:
        home.parse_peer(self.peer)
        check_origin(self.origin)
        if self.operator.validator_key is None:
            raise Malformed(f"operator {self.operator.name} has no validator key")
        # The rules of a record hold for an entry that nobody has signed yet.
        decode_board_record(self.as_record().encode())

    def as_record(self) -> BoardRecord:
        """The record of a board of this operator alone."""
        return founding_record([self])

    @property
    def fingerprint(self) -> str:
        """What people compare: half of the file's SHA-256."""
        digits = sha256(self.encode()).hexdigest()[:32]
        return " ".join(digits[at : at + 8] for at in range(0, 32, 8))

    def encode(self) -> bytes:
        """The file."""
        operator = self.operator
        document = {
            "fieldpost": _KIND,
            "origin": self.origin,
            "name": operator.name,
            "urls": list(operator.urls),
            "governance_key": cbor.encode(operator.governance_key.cose_key()).hex(),
            "log_key": format_vkey(operator.log_key),
            "cosigner_keys": [format_vkey(key) for key in operator.cosigner_keys],
            "validator_key": (operator.validator_key or b"").hex(),
            "peer": self.peer,
        }
        return json.dumps(document, indent=2).encode() + b"\n"


def founding_record(files: list[OperatorFile], **terms: Any) -> BoardRecord:
    """The first record of a board of these operators, in the order of their names.

    `terms`: further fields of BoardRecord. Raises Malformed for files of several boards.
    """
    origins = {file.origin for file in files}
    if len(origins) != 1:
        raise Malformed(f"the public files are of {len(origins)} boards: {', '.join(origins)}")
    operators = tuple(sorted((file.operator for file in files), key=lambda each: each.name))
    return BoardRecord(origin=origins.pop(), epoch=0, previous=None, operators=operators, **terms)


def make_operator(
    data: Path,
    *,
    name: str,
    origin: str,
    urls: tuple[str, ...],
    p2p_address: str,
    post_quantum: bool = False,
) -> OperatorFile:
    """Every key of an operator below `data`, made where it is missing, and its public file."""
    check_origin(origin)
    governance, keys = make_keys(keys_directory(data), post_quantum=post_quantum)
    validator, node = home.make_keys(home.comet_home(data))
    operator = keys.operator(name, urls, origin, governance.public_key)
    return OperatorFile(replace(operator, validator_key=validator), origin, f"{node}@{p2p_address}")


def read_operator_file(path: Path) -> OperatorFile:
    """The public file at `path`. Raises Malformed."""
    if path.stat().st_size > MOST_BYTES:
        raise Malformed(f"{path} is too large for a public file")
    try:
        return decode_operator_file(path.read_bytes())
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from error


def decode_operator_file(data: bytes) -> OperatorFile:
    """Read the file. Raises Malformed for any that `OperatorFile.encode` would not have written."""
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
        file = _read(json.loads(data))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Malformed(f"this is no operator's public file: {error}") from error
    if file.encode() != data:
        raise Malformed("this public file was changed by hand, or made by another program")
    return file


def _read(document: Any) -> OperatorFile:
    if document["fieldpost"] != _KIND:
        raise ValueError(f"it says {document['fieldpost']!r} instead of {_KIND!r}")
    name, origin, peer = document["name"], document["origin"], document["peer"]
    texts = [name, origin, peer, *document["urls"]]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("name, origin, peer and urls are texts")
    operator = Operator(
        name=name,
        urls=tuple(document["urls"]),
        governance_key=decode_key(bytes.fromhex(document["governance_key"])),
        log_key=parse_vkey(document["log_key"]),
        cosigner_keys=tuple(parse_vkey(text) for text in document["cosigner_keys"]),
        validator_key=bytes.fromhex(document["validator_key"]),
    )
    return OperatorFile(operator, origin, peer)
