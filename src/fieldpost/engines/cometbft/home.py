# SPDX-License-Identifier: Apache-2.0
"""CometBFT's folder of one operator: its keys, its settings, and what all begin with.

    DATA/cometbft/config/priv_validator_key.json   votes for blocks
    DATA/cometbft/config/node_key.json             says to peers who this is
    DATA/cometbft/config/genesis.json              the same at every operator
    DATA/cometbft/config/config.toml               written at every start
    DATA/cometbft/data/priv_validator_state.json   what the validator key signed last
    DATA/cometbft/data/…                           blocks; may be fetched from peers again

What the key signed last is all that keeps it from signing two blocks of one height, so that file
is made together with the key and never again: where it is missing, nothing is started.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fieldpost.durable import OS, Disk, create_file, make_dirs, write_file
from fieldpost.engines.cometbft.genesis import validator_address
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.keys import Algorithm, Signer
from fieldpost.signers.software import SoftwareSigner

_PUBLIC: Final = "tendermint/PubKeyEd25519"
_PRIVATE: Final = "tendermint/PrivKeyEd25519"
# What a key that never signed has signed last.
_NOTHING_SIGNED: Final = {"height": "0", "round": 0, "step": 0}
# A bundle of posts (64 KiB, or one post of the largest size) and its framing.
_MOST_TX_BYTES: Final = 65_536 + 1_024
_LOG_LEVEL: Final = "main:info,state:info,blocksync:info,statesync:info,*:error"
# What goes into a list that commas separate, and nothing that could end it.
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")
Settings = dict[str, dict[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSync:
    """Begin with a snapshot: who answers light clients, and the block that is believed."""

    servers: tuple[str, ...]
    height: int
    hash: str

    def table(self) -> dict[str, object]:
        """Its table in config.toml."""
        return {
            "enable": True,
            "rpc_servers": ",".join(self.servers),
            "trust_height": self.height,
            "trust_hash": self.hash,
            "trust_period": "168h0m0s",
            "discovery_time": "5s",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeSettings:
    """What differs between operators. Addresses are HOST:PORT, `peers` id@HOST:PORT.

    `application` is "unix:///path/of/socket", or the name of one of CometBFT's own applications.
    """

    name: str
    application: str
    p2p_listen: str
    rpc_listen: str
    p2p_address: str | None = None
    peers: tuple[str, ...] = ()
    timeout_commit_ms: int = 1_000
    empty_blocks_s: int = 30
    state_sync: StateSync | None = None

    def encode(self) -> bytes:
        """config.toml: what CometBFT would do otherwise by default is not in it."""
        # Addresses of private networks, and several nodes behind one, are wrong on the internet
        # and right everywhere else.
        private = any(map(_is_private, (self.p2p_listen, self.p2p_address or "", *self.peers)))
        peers = ",".join(self.peers)
        tables: Settings = {
            "": {
                "moniker": self.name,
                "proxy_app": self.application,
                "log_level": _LOG_LEVEL,
            },
            "rpc": {"laddr": f"tcp://{self.rpc_listen}"},
            "p2p": {
                "laddr": f"tcp://{self.p2p_listen}",
                "external_address": self.p2p_address or "",
                "persistent_peers": peers,
                # One that was away for an hour is wanted back within seconds.
                "persistent_peers_max_dial_period": "3s",
                "unconditional_peer_ids": ",".join(peer.partition("@")[0] for peer in self.peers),
                # Operators know one another; nobody else is looked for.
                "pex": False,
                "addr_book_strict": not private,
                "allow_duplicate_ip": private,
            },
            "mempool": {
                "max_tx_bytes": _MOST_TX_BYTES,
                "max_txs_bytes": 256 * 1024 * 1024,
                "cache_size": 50_000,
                # A post that a block made stale is refused in the next block that has it; asking
                # about everything that waits after every block costs more.
                "recheck": False,
            },
            "consensus": {
                # A dead proposer costs this once for each of its turns; longer rounds get longer.
                "timeout_propose": "1s",
                "timeout_prevote": "500ms",
                "timeout_precommit": "500ms",
                "timeout_commit": f"{self.timeout_commit_ms}ms",
                "create_empty_blocks": False,
                "create_empty_blocks_interval": f"{self.empty_blocks_s}s",
            },
            "tx_index": {"indexer": "null"},
            "statesync": self.state_sync.table() if self.state_sync else {"enable": False},
        }
        return "".join(map(_table, tables.items())).encode()


def comet_home(data: Path) -> Path:
    """Where CometBFT's folder lies in the data directory of a node."""
    return data / "cometbft"


def has_blocks(home: Path) -> bool:
    """Whether CometBFT was ever started in this folder."""
    return (home / "data" / "blockstore.db").exists()


def key_path(home: Path) -> Path:
    """Where the validator key lies."""
    return home / "config" / "priv_validator_key.json"


def signed_path(home: Path) -> Path:
    """Where it stands what the validator key signed last."""
    return home / "data" / "priv_validator_state.json"


def make_keys(home: Path, *, disk: Disk = OS) -> tuple[bytes, str]:
    """The public validator key (32 bytes) and the node id; made if there are none.

    Raises Misconfigured for a key without what it signed last.
    """
    for directory in (home, home / "config", home / "data"):
        make_dirs(directory, mode=0o700, disk=disk)
    if not key_path(home).exists():
        # First what it signed, so that a key never stands without; a file without a key is of no
        # key, and may only be there from a start that was cut off between the two.
        if not signed_path(home).exists():
            _write_json(signed_path(home), _NOTHING_SIGNED, disk)
        elif json.loads(signed_path(home).read_bytes()) != _NOTHING_SIGNED:
            raise Misconfigured(
                f"{signed_path(home)} says that a key signed blocks, and {key_path(home)} is not "
                "there: put the key back, or move that file away and become a new operator"
            )
        make_key_file(key_path(home), disk=disk)
    node_key = home / "config" / "node_key.json"
    if not node_key.exists():
        secret, _ = _new_key()
        value = b64encode(secret).decode()
        _write_json(node_key, {"priv_key": {"type": _PRIVATE, "value": value}}, disk)
    return read_validator_key(home), read_node_id(home)


def make_key_file(path: Path, *, disk: Disk = OS) -> None:
    """A new validator key, as CometBFT reads it."""
    secret, public = _new_key()
    _write_json(
        path,
        {
            "address": validator_address(public).hex().upper(),
            "pub_key": {"type": _PUBLIC, "value": b64encode(public).decode()},
            "priv_key": {"type": _PRIVATE, "value": b64encode(secret).decode()},
        },
        disk,
    )


def read_validator_key(home: Path) -> bytes:
    """The public validator key, 32 bytes. Raises Misconfigured, also where its state is missing."""
    public = read_public_key(key_path(home))
    if not signed_path(home).is_file():
        raise Misconfigured(
            f"{signed_path(home)} is missing, which alone keeps this key from voting twice for one "
            "height: see `fieldpost operator vote-above`, and docs/operations/cluster.md"
        )
    return public


def read_public_key(path: Path) -> bytes:
    """The public key of a validator's key file, 32 bytes. Raises Misconfigured."""
    return _read_key(path, "pub_key", 32)


def load_key(path: Path) -> Signer:
    """A validator's key file, to sign with as the board's rules ask. Raises Misconfigured."""
    secret = _read_key(path, "priv_key", 64)
    return SoftwareSigner.from_private_bytes(Algorithm.ED25519, secret[:32])


def read_node_id(home: Path) -> str:
    """How peers call this CometBFT: 40 hex digits. Raises Misconfigured."""
    secret = _read_key(home / "config" / "node_key.json", "priv_key", 64)
    return validator_address(secret[32:]).hex()


def write_config(home: Path, settings: HomeSettings, *, disk: Disk = OS) -> None:
    """Put config.toml in place, whatever stood there."""
    write_file(home / "config" / "config.toml", settings.encode(), mode=0o600, disk=disk)


def read_genesis(home: Path) -> bytes | None:
    """genesis.json, if it was put in place."""
    path = home / "config" / "genesis.json"
    return path.read_bytes() if path.exists() else None


def write_genesis(home: Path, genesis: bytes, *, disk: Disk = OS) -> None:
    """Put genesis.json in place. Raises Misconfigured where another one is."""
    there = read_genesis(home)
    if there is None:
        create_file(home / "config" / "genesis.json", genesis, disk=disk)
    elif there != genesis:
        raise Misconfigured(
            f"{home}/config/genesis.json is of another board, or of another agreement on this one: "
            "use another data directory, or take the file that is here"
        )


def parse_peer(text: str) -> tuple[str, str]:
    """Read id@HOST:PORT: (node id, address). Raises Malformed."""
    node, _, address = text.partition("@")
    if not (len(node) == 40 and set(node) <= set("0123456789abcdef") and is_address(address)):
        raise Malformed(
            f"{text!r} is no peer: write its node id (40 hex digits), @, and HOST:PORT, as its "
            "operator's public file says"
        )
    return node, address


def is_address(text: str) -> bool:
    """Whether this is HOST:PORT or [IPv6]:PORT, as one CometBFT tells it to another."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and 0 < int(found[1]) < 65_536


def _is_private(address: str) -> bool:
    host = address.rpartition("@")[2].rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        found = ip_address(host)
    except ValueError:
        return host == "localhost"
    return not found.is_global and not found.is_unspecified


def _new_key() -> tuple[bytes, bytes]:
    """A secret key as Go writes it (seed and public key, 64 bytes), and the public one."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return private.private_bytes_raw() + public, public


def _read_key(path: Path, member: str, length: int) -> bytes:
    try:
        document: Any = json.loads(path.read_bytes())
        key = b64decode(document[member]["value"], validate=True)
        if len(key) == length:
            return key
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}; put back your copy") from error
    except (ValueError, TypeError, LookupError):
        pass  # without the cause: an error must not carry a secret into a log
    raise Misconfigured(f"{path} holds no Ed25519 key as CometBFT writes it: put back your copy")


def _write_json(path: Path, document: Any, disk: Disk) -> None:
    data = json.dumps(document, indent=2).encode() + b"\n"
    write_file(path, data, mode=0o600, disk=disk)


def _table(item: tuple[str, dict[str, object]]) -> str:
    name, settings = item
    # Strings of JSON are strings of TOML, and so are its numbers, `true` and `false`.
    lines: Sequence[str] = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
    return "".join([f"\n[{name}]\n" if name else "", *lines])
