# SPDX-License-Identifier: Apache-2.0
"""Operators of one board as real processes: a node with its CometBFT each, on hosts of their own.

    with running_cluster(folder, nodes=4, seed=7) as cluster:
        cluster.kill(2)

Everything a fault needs is done to processes, disks and packets from outside. The last host of the
network is nobody's: makers, devices and onlookers ask from there, whatever is cut.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft.founding import found_board
from fieldpost.engines.cometbft.genesis import Genesis
from fieldpost.engines.cometbft.home import comet_home, make_keys, write_genesis
from fieldpost.engines.cometbft.wiping import wipe_replica
from fieldpost.engines.operator_keys import make_keys as make_operator_keys
from fieldpost.errors import FieldpostError
from fieldpost.ledger.genesis import make_genesis
from fieldpost.records.board import BoardRecord
from tests.cometbft import need_cometbft
from tests.crash.namespaces import Network, address

READY_S: Final = 180.0
ORIGIN: Final = "board.test/1"
EPOCH_S: Final = 20
_HTTP, _P2P, _RPC = 8470, 26656, 26657
_AGE_S: Final = 86_400
_SETTINGS: Final = """\
data = {data}
engine = "cometbft"
listen = ["{host}:{http}"]
limits.client_requests_per_s = 100000.0
limits.client_burst = 1000000
[cometbft]
p2p_listen = "{host}:{p2p}"
rpc_listen = "127.0.0.1:{rpc}"
peers = {peers}
timeout_commit_ms = 200
"""


@dataclass
class Node:
    """One operator. `words`: what its program is started with before the command."""

    number: int
    data: Path
    process: "subprocess.Popen[str] | None" = None
    words: tuple[str, ...] = ("fieldpost.cli",)
    paused: set[int] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://{address(self.number)}:{_HTTP}"

    @property
    def said(self) -> Path:
        """Its stderr, over all its lives."""
        return self.data.with_suffix(".log")


class Cluster:
    """`nodes` operators below `folder`, none of them running yet."""

    def __init__(self, folder: Path, network: Network, nodes: int) -> None:
        self.network = network
        self.outside = nodes
        self.nodes = [Node(number, folder / f"n{number}") for number in range(nodes)]
        self.record, self.genesis = _found(self.nodes)

    # --- processes ---

    def start(self, *numbers: int) -> None:
        """Start these and wait until they serve; CometBFT comes up in its own time."""
        for number in numbers:
            self.spawn(number)
        for number in numbers:
            process = self.nodes[number].process
            assert process is not None
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"n{number} did not start: {self.nodes[number].said.read_text()[-2000:]}"

    def spawn(self, number: int) -> None:
        """Start one, and wait for nothing."""
        node = self.nodes[number]
        settings = ("--config", str(node.data / "node.toml"))
        with node.said.open("a") as said:
            node.process = self.network.start(
                number,
                [sys.executable, "-m", *node.words, *("node", "run"), "--json", *settings],
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": str(number)},
            )

    def kill(self, *numbers: int) -> None:
        """SIGKILL of nodes; their CometBFTs go with them, killed as well."""
        processes = [self.nodes[number].process for number in numbers]
        for process in processes:
            if process is not None:
                process.kill()
        for number in numbers:
            self._gone(self.nodes[number])

    def end(self, number: int) -> None:
        """A calm end."""
        process = self.nodes[number].process
        assert process is not None
        process.terminate()
        assert process.wait(READY_S) == 0, self.nodes[number].said.read_text()[-2000:]
        self._gone(self.nodes[number])

    def _gone(self, node: Node) -> None:
        if node.process is not None:
            node.process.wait(READY_S)
            if node.process.stdout is not None:
                node.process.stdout.close()
        node.process = None

    def comet_pid(self, number: int) -> int | None:
        """The process id of a node's CometBFT, if there is one."""
        process = self.nodes[number].process
        if process is None:
            return None
        # Threads and processes that end meanwhile have no CometBFT.
        for file in Path(f"/proc/{process.pid}/task").glob("*/children"):
            with suppress(OSError):
                for pid in file.read_text().split():
                    with suppress(OSError):
                        if b"cometbft" in Path(f"/proc/{pid}/cmdline").read_bytes():
                            return int(pid)
        return None

    def kill_comet(self, number: int) -> None:
        """SIGKILL of a CometBFT alone."""
        if (pid := self.comet_pid(number)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def pause(self, number: int, *, comet: bool = False) -> None:
        """SIGSTOP of a node, or of its CometBFT."""
        process = self.nodes[number].process
        pid = self.comet_pid(number) if comet else process.pid if process is not None else None
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            self.nodes[number].paused.add(pid)

    def resume(self, number: int) -> None:
        """SIGCONT of what is paused."""
        for pid in self.nodes[number].paused:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.nodes[number].paused.clear()

    def close(self) -> None:
        """Kill all."""
        for node in self.nodes:
            self.resume(node.number)
        self.kill(*range(len(self.nodes)))

    # --- disks ---

    def copy(self, number: int, backup: Path) -> None:
        """A copy of a data folder, as a careless backup makes it while nothing runs."""
        shutil.copytree(self.nodes[number].data, backup, ignore=_no_sockets)

    def put_back(self, number: int, backup: Path) -> None:
        """Replace a data folder by its copy."""
        shutil.rmtree(self.nodes[number].data)
        shutil.copytree(backup, self.nodes[number].data)

    def wipe(self, number: int) -> None:
        """Take away what peers have."""
        assert wipe_replica(self.nodes[number].data)

    # --- questions ---

    def fetch(
        self, number: int, path: str, accept: str = "text/plain", *, seconds: float = 10.0
    ) -> bytes:
        """What a node answers. Raises Unavailable, NotFound, …

        `seconds` is how long a node may keep silent: short, where it may be one that hangs.
        """

        def ask() -> bytes:
            with HttpClient(self.nodes[number].url, timeout_s=seconds) as http:
                return http.fetch(path, accept=accept)

        return self.network.within(self.outside, ask)

    def trouble(self, number: int) -> str | None:
        """Why a node is not ready, None if it is."""
        try:
            self.fetch(number, "/readyz")
        except FieldpostError as error:
            return str(error)
        return None

    def size(self, number: int) -> int:
        """What a node publishes; 0 if it does not answer."""
        try:
            return int(self.fetch(number, "/log/checkpoint").split(b"\n")[1])
        except FieldpostError:
            return 0

    def proposer(self) -> int | None:
        """Whose turn it is to propose a block, as somebody's CometBFT sees it."""
        for node in self.nodes:
            with suppress(OSError, ValueError, KeyError):
                state = self.ask_comet(node.number, "/dump_consensus_state")
                who = state["round_state"]["validators"]["proposer"]["address"]  # type: ignore[index]
                return self.addresses().index(who)
        return None

    def addresses(self) -> list[str]:
        """CometBFT's names of the validators."""
        keys = [comet_home(node.data) / "config" / "priv_validator_key.json" for node in self.nodes]
        return [json.loads(key.read_bytes())["address"] for key in keys]

    def ask_comet(self, number: int, path: str, *, seconds: float = 5.0) -> dict[str, object]:
        """What a node's CometBFT answers on its own loopback. Raises OSError, ValueError."""

        def ask() -> dict[str, object]:
            connection = HTTPConnection("127.0.0.1", _RPC, timeout=seconds)
            try:
                connection.request("GET", path)
                found: dict[str, object] = json.loads(connection.getresponse().read())["result"]
                return found
            finally:
                connection.close()

        return self.network.within(number, ask)

    def wait_ready(self, numbers: Sequence[int] | None = None) -> None:
        """Until these (or all) are ready, and publish one size."""
        wanted = range(len(self.nodes)) if numbers is None else numbers
        wait_until(
            lambda: all(self.trouble(number) is None for number in wanted),
            lambda: {number: self.trouble(number) for number in wanted},
        )


def wait_until(
    happened: Callable[[], object], why: Callable[[], object] = lambda: "", seconds: float = READY_S
) -> None:
    """Ask again and again. Raises AssertionError, with what `why` says, when time is over."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, f"it did not happen: {why()}"
        time.sleep(0.1)


@contextmanager
def running_cluster(folder: Path, *, nodes: int, seed: int) -> Iterator[Cluster]:
    """A cluster that runs and is ready; killed at the end."""
    need_cometbft()
    with Network(nodes + 1, seed=seed) as network:
        cluster = Cluster(folder, network, nodes)
        try:
            cluster.start(*range(nodes))
            cluster.wait_ready()
            yield cluster
        finally:
            cluster.close()


def _found(nodes: Sequence[Node]) -> tuple[BoardRecord, Genesis]:
    """Keys, genesis and settings of all; what their operators agreed on."""
    operators, governors, ids = [], [], []
    for node in nodes:
        node.data.mkdir(parents=True, exist_ok=True)
        governance, keys = make_operator_keys(keys_directory(node.data), post_quantum=False)
        validator, node_id = make_keys(comet_home(node.data))
        name = f"op{node.number}"
        operator = keys.operator(name, (node.url,), ORIGIN, governance.public_key)
        operators.append(replace(operator, validator_key=validator))
        governors.append(governance)
        ids.append(f"{node_id}@{address(node.number)}:{_P2P}")
    record = BoardRecord(
        origin=ORIGIN, epoch=0, previous=None, operators=tuple(operators), epoch_s=EPOCH_S
    )
    # A board of some age: CometBFT sleeps until the time of its genesis has come.
    genesis = found_board(make_genesis(record, governors), time=int(time.time()) - _AGE_S)
    for node in nodes:
        write_genesis(comet_home(node.data), genesis.encode())
        others = [peer for number, peer in enumerate(ids) if number != node.number]
        settings = _SETTINGS.format(
            data=json.dumps(str(node.data)),
            host=address(node.number),
            http=_HTTP,
            p2p=_P2P,
            rpc=_RPC,
            peers=json.dumps(others),
        )
        (node.data / "node.toml").write_text(settings)
    return record, genesis


def _no_sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder, name).is_socket()]
