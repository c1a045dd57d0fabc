# SPDX-License-Identifier: Apache-2.0
"""A cluster on one machine: which operators it has, where they listen, and how they are founded.

    DIR/cluster.json           the plan; written first, and never changed
    DIR/NAME/data              one operator's data folder, keys included
    DIR/NAME/operator.toml     its settings
    DIR/NAME/operator.log      what it says
    DIR/NAME/wanted            "running" or "stopped": what its supervisor makes true
    DIR/NAME/pid               its process, while the supervisor has one

Founding follows from the plan alone and may be repeated; what an interrupted one left is used.
"""

import json
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from fieldpost import durable
from fieldpost.cli.ceremony import Request, Signed
from fieldpost.cli.founding import complete, founding_request, starter_settings
from fieldpost.cli.operator_file import OperatorFile, founding_record, make_operator
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft.genesis import decode_genesis
from fieldpost.engines.cometbft.home import comet_home, read_genesis
from fieldpost.engines.operator_keys import GOVERNANCE, load_signer
from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.records.limits import MAX_OPERATORS

MOST_NODES: Final = MAX_OPERATORS
RUNNING: Final = "running"
STOPPED: Final = "stopped"
_HOST: Final = "127.0.0.1"
# Below those that systems give to whoever connects somewhere: an operator that is down for a while
# finds its own free again.
_PORTS: Final = range(10_000, 20_000)
_MOST_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One operator of a plan: its folder, and its ports on loopback."""

    folder: Path
    http: int
    p2p: int
    rpc: int

    @property
    def name(self) -> str:
        """The operator's name."""
        return self.folder.name

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    @property
    def settings(self) -> Path:
        """Its settings."""
        return self.folder / "operator.toml"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "operator.log"

    @property
    def url(self) -> str:
        """Its node."""
        return f"http://{_HOST}:{self.http}"

    @property
    def pid(self) -> int | None:
        """Its process, as its supervisor wrote it down."""
        try:
            return int((self.folder / "pid").read_text())
        except (OSError, ValueError):
            return None

    @property
    def wanted(self) -> str:
        """What its supervisor makes true."""
        try:
            return (self.folder / "wanted").read_text().strip()
        except OSError:
            return RUNNING

    def want(self, state: str) -> None:
        """Say what its supervisor is to make true."""
        durable.write_file(self.folder / "wanted", f"{state}\n".encode())


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What cluster.json says. `time`: when the board begins, Unix seconds."""

    folder: Path
    origin: str
    time: int
    epoch_s: int
    timeout_commit_ms: int
    members: tuple[Member, ...]

    def member(self, name: str) -> Member:
        """An operator by its name or its number, counted from 1. Raises NotFound."""
        for number, member in enumerate(self.members, start=1):
            if name in (member.name, str(number)):
                return member
        names = ", ".join(member.name for member in self.members)
        raise NotFound(f"there is no operator {name}; there are {names}, or 1…{len(self.members)}")

    def encode(self) -> bytes:
        """The file."""
        document = {
            "origin": self.origin,
            "time": self.time,
            "epoch_s": self.epoch_s,
            "timeout_commit_ms": self.timeout_commit_ms,
            "operators": [
                {"name": m.name, "http": m.http, "p2p": m.p2p, "rpc": m.rpc} for m in self.members
            ],
        }
        return json.dumps(document, indent=2).encode() + b"\n"


def read_plan(folder: Path) -> Plan:
    """The plan of the cluster in `folder`. Raises NotFound, Misconfigured."""
    path = folder / "cluster.json"
    if not path.exists():
        raise NotFound(f"there is no cluster in {folder}: make one with `fieldpost cluster up`")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        return _plan(folder, json.loads(path.read_bytes()))
    except (ValueError, TypeError, LookupError) as error:
        raise Misconfigured(
            f"{path} is no plan of a cluster ({error}): use another --dir"
        ) from error


def make_plan(folder: Path, *, nodes: int, now: int, epoch_s: int, timeout_commit_ms: int) -> Plan:
    """A plan for a new trial board, written to `folder`, with ports that are free now.

    Raises Unavailable.
    """
    durable.make_dirs(folder)
    ports = iter(_free_ports(3 * nodes))
    plan = Plan(
        folder=folder,
        origin=f"localhost.{secrets.token_hex(4)}/1",
        time=now,
        epoch_s=epoch_s,
        timeout_commit_ms=timeout_commit_ms,
        members=tuple(
            Member(folder / f"operator-{number}", next(ports), next(ports), next(ports))
            for number in range(1, nodes + 1)
        ),
    )
    durable.create_file(folder / "cluster.json", plan.encode())
    return plan


def found(plan: Plan) -> str:
    """Make keys, genesis and settings of every operator, where they are missing; the board id."""
    genesis = [read_genesis(comet_home(member.data)) for member in plan.members]
    if all(genesis) and all(member.settings.exists() for member in plan.members):
        # Keys may have been replaced since, of which the same genesis would not follow any more.
        return decode_genesis(genesis[0] or b"").board
    files = [_operator(plan, member) for member in plan.members]
    record = founding_record(files, epoch_s=plan.epoch_s)
    request = founding_request(record)
    signatures = [_signed(request, member) for member in plan.members]
    board = ""
    for member, own in zip(plan.members, files, strict=True):
        board = str(complete(member.data, request, signatures, time=plan.time)["board"])
        starter_settings(
            member.settings,
            member.data,
            own,
            files,
            listen=f"{_HOST}:{member.http}",
            more={
                "p2p_listen": f"{_HOST}:{member.p2p}",
                "rpc_listen": f"{_HOST}:{member.rpc}",
                "timeout_commit_ms": plan.timeout_commit_ms,
            },
        )
    return board


def _operator(plan: Plan, member: Member) -> OperatorFile:
    return make_operator(
        member.data,
        name=member.name,
        origin=plan.origin,
        urls=(member.url,),
        p2p_address=f"{_HOST}:{member.p2p}",
    )


def _signed(request: Request, member: Member) -> Signed:
    return request.sign(load_signer(keys_directory(member.data) / f"{GOVERNANCE}.pem"))


def _plan(folder: Path, document: Any) -> Plan:
    members = tuple(
        Member(
            folder / _file_name(each["name"]),
            _port(each["http"]),
            _port(each["p2p"]),
            _port(each["rpc"]),
        )
        for each in document["operators"]
    )
    if not 1 <= len(members) <= MOST_NODES:
        raise ValueError(f"{len(members)} operators")
    return Plan(
        folder=folder,
        origin=str(document["origin"]),
        time=int(document["time"]),
        epoch_s=int(document["epoch_s"]),
        timeout_commit_ms=int(document["timeout_commit_ms"]),
        members=members,
    )


def _file_name(value: object) -> str:
    if not isinstance(value, str) or not value or Path(value).name != value:
        raise ValueError(f"{value!r} is no operator's name")
    return value


def _port(value: object) -> int:
    if type(value) is not int or not 0 < value < 65_536:
        raise ValueError(f"{value!r} is no port")
    return value


def _free_ports(count: int) -> Sequence[int]:
    """So many, all different. Raises Unavailable."""
    drawn = secrets.SystemRandom().sample(_PORTS, len(_PORTS))
    found = tuple(islice(filter(_is_free, drawn), count))
    if len(found) < count:
        raise Unavailable(
            f"fewer than {count} ports of {_HOST} from {_PORTS.start} to {_PORTS.stop - 1} are "
            "free: end what listens there"
        )
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True
