# SPDX-License-Identifier: Apache-2.0
"""CometBFT's genesis.json of a board: the same bytes from the same board, whoever makes it. Pure.

`app_state` is {"board", "size", "root", "genesis_post"}: the log that the replicas begin with.
`genesis_post` (base64) is there for a new board alone, whose log begins with the batch of that post
at `genesis_time`; a board that moved here brings `size` entries along.
"""

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from fieldpost.errors import Malformed
from fieldpost.records.limits import MAX_ENTRY_BYTES, MAX_OPERATORS
from fieldpost.tlog.hashing import HASH_BYTES, Hash

MAX_BYTES: Final = 1024 * 1024
BLOCK_BYTES: Final = 2 * 1024 * 1024
_MOST_EVIDENCE_BLOCKS: Final = 100_000
_MOST_EVIDENCE_S: Final = 48 * 3_600
_MOST_EVIDENCE_BYTES: Final = 1024 * 1024
_KEY_TYPE: Final = "tendermint/PubKeyEd25519"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def chain_id(board: str) -> str:
    """The name of a board's chain; CometBFT takes 50 characters at most."""
    return f"fp-{sha256(board.encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class Validator:
    """An operator among CometBFT's validators: its name, and 32 bytes of Ed25519 key."""

    name: str
    key: bytes

    def __post_init__(self) -> None:
        if len(self.key) != 32:
            raise Malformed(f"a validator key of {len(self.key)} bytes instead of 32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """What every operator must begin with alike. `time`: Unix seconds."""

    board: str
    time: int
    size: int
    root: Hash
    genesis_post: bytes | None
    validators: tuple[Validator, ...]

    def encode(self) -> bytes:
        """The file, as CometBFT reads it."""
        state: dict[str, object] = {
            "board": self.board,
            "size": self.size,
            "root": self.root.hex(),
        }
        if self.genesis_post is not None:
            state["genesis_post"] = b64encode(self.genesis_post).decode()
        document = {
            "genesis_time": datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "chain_id": chain_id(self.board),
            "initial_height": "1",
            "consensus_params": {
                "block": {"max_bytes": str(BLOCK_BYTES), "max_gas": "-1"},
                "evidence": {
                    "max_age_num_blocks": str(_MOST_EVIDENCE_BLOCKS),
                    "max_age_duration": str(_MOST_EVIDENCE_S * 10**9),
                    "max_bytes": str(_MOST_EVIDENCE_BYTES),
                },
                "validator": {"pub_key_types": ["ed25519"]},
                "version": {"app": "0"},
                "abci": {"vote_extensions_enable_height": "0"},
            },
            "validators": [
                {
                    "address": validator_address(validator.key).hex().upper(),
                    "pub_key": {"type": _KEY_TYPE, "value": b64encode(validator.key).decode()},
                    "power": "1",
                    "name": validator.name,
                }
                for validator in self.validators
            ],
            "app_hash": self.root.hex().upper(),
            "app_state": state,
        }
        return json.dumps(document, indent=2).encode() + b"\n"


def validator_address(key: bytes) -> bytes:
    """How CometBFT calls an Ed25519 key, a node's or a validator's: 20 bytes."""
    return sha256(key).digest()[:20]


def decode_genesis(data: bytes) -> Genesis:
    """Read the file. Raises Malformed for any that `Genesis.encode` would not have written."""
    try:
        genesis = _read(data)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise Malformed(f"this is no genesis.json of a board: {error}") from error
    if genesis.encode() != data:
        raise Malformed("this genesis.json was changed by hand, or made by another program")
    return genesis


def _read(data: bytes) -> Genesis:
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    document: Any = json.loads(data)
    state = document["app_state"]
    time = document["genesis_time"]
    if not _TIME.fullmatch(time):
        raise ValueError(f"genesis_time must be whole seconds in UTC, and is {time!r}")
    validators = [
        Validator(str(each["name"]), b64decode(each["pub_key"]["value"], validate=True))
        for each in document["validators"]
    ]
    if not 1 <= len(validators) <= MAX_OPERATORS:
        raise ValueError(f"{len(validators)} validators")
    post = state.get("genesis_post")
    root = bytes.fromhex(state["root"])
    if len(root) != HASH_BYTES or type(state["size"]) is not int or state["size"] < 2:
        raise ValueError("app_state must say with which log the board begins")
    if post is not None and (state["size"] != 2 or len(post) > 2 * MAX_ENTRY_BYTES):
        raise ValueError("a new board begins with its genesis post and a state leaf")
    return Genesis(
        board=str(state["board"]),
        time=int(datetime.fromisoformat(time).timestamp()),
        size=state["size"],
        root=root,
        genesis_post=None if post is None else b64decode(post, validate=True),
        validators=tuple(validators),
    )
