# SPDX-License-Identifier: Apache-2.0
"""Four operators on this machine for benchmarks: real processes over a base log of many makers.

crowd = ClusterCrowd(folder, makers=1_000)      a base log, made by the ledger itself
with cluster(crowd) as nodes: …                 nodes[0].url, nodes[0].kill(), …
with paused(nodes): …                           they stand still, and take no processor

Nodes run with compiled modules, as an installed package has them, whatever this process does.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Any, Protocol, TypeVar

from benchmarks.makers import MakerCrowd
from benchmarks.processes import children, pause, tree_cpu_s, tree_rss_mb
from fieldpost.engines.cometbft.base_log import place_base
from fieldpost.engines.cometbft.home import comet_home, make_keys, write_genesis
from fieldpost.engines.cometbft.program import find_program
from fieldpost.engines.cometbft.replica import open_replica
from fieldpost.engines.cometbft.seen import SeenPosts
from fieldpost.engines.cometbft.wiping import wipe_replica
from fieldpost.errors import FieldpostError
from fieldpost.testing.paper_cluster import PaperCluster

NODES = 4
TIMEOUT_COMMIT_MS = 200
START_S = 120.0
_DAY_S = 86_400


T = TypeVar("T")


class Hosts(Protocol):
    """Where operators run: this machine's loopback, or hosts of their own on it."""

    def within(self, host: int, call: Callable[[], T]) -> T:
        """What `call` returns there."""
        ...

    def start(self, host: int, command: Sequence[str], **arguments: Any) -> "subprocess.Popen[Any]":
        """A process there."""
        ...


class Loopback:
    """All on one host."""

    def within(self, host: int, call: Callable[[], T]) -> T:  # noqa: ARG002 - the port's
        """See Hosts."""
        return call()

    def start(self, host: int, command: Sequence[str], **arguments: Any) -> "subprocess.Popen[Any]":  # noqa: ARG002 - the port's
        """See Hosts."""
        return subprocess.Popen(command, **arguments)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class ClusterCrowd(MakerCrowd):
    """The makers of a board of four operators, whose base log the ledger wrote in this process."""

    def __init__(
        self, folder: Path, *, makers: int, addresses: Sequence[str] = ("127.0.0.1",) * NODES
    ) -> None:
        self.folder = folder
        self.addresses = addresses
        self.http = free_ports(NODES)
        self.p2p = free_ports(NODES)
        self.rpc = free_ports(NODES)
        self.data_of = [folder / f"op{n}" for n in range(NODES)]
        keys = {data.name: make_keys(_home(data)) for data in self.data_of}
        self.ids = [node for _, node in keys.values()]
        urls = {f"op{n}": self.url(n) for n in range(NODES)}
        board = PaperCluster(
            folder,
            operators=NODES,
            time=int(time.time()) - (makers // 1_000 + 2) * _DAY_S,
            adapt=lambda entry: replace(
                entry, urls=(urls[entry.name],), validator_key=keys[entry.name][0]
            ),
        )
        base = folder / "base"
        replica = open_replica(base, place_base(base, board.genesis))
        self._batches = 0

        def write(posts: list[bytes]) -> None:
            board.time += 1
            memory = SeenPosts().memory(posts, replica.state.map)
            decided = replica.decide(posts, time=board.time, memory=memory)
            if len(decided.batch.entries) != len(posts) + 1:
                raise AssertionError("a post of the base log was refused")
            replica.commit(decided, 0, keep=0, memory=memory)
            board.state = replica.state
            self._batches += 1
            if self._batches % 3 == 0:
                board.time += _DAY_S  # a thousand may register each day

        self._prepare(board, makers, write)
        self._base, self.base_size = base, replica.state.size
        genesis = replace(
            board.genesis,
            size=replica.state.size,
            root=replica.root,
            genesis_post=None,
            time=int(time.time()),
        )
        replica.close()
        for n, data in enumerate(self.data_of):
            self.place_base(n)
            write_genesis(_home(data), genesis.encode())
            self._write_settings(n)

    def url(self, n: int) -> str:
        """Where an operator serves."""
        return f"http://{self.addresses[n]}:{self.http[n]}"

    def place_base(self, n: int) -> None:
        """Give an operator the base log and its state, and nothing beyond."""
        shutil.copytree(self._base, self.data_of[n], dirs_exist_ok=True)

    def _write_settings(self, n: int) -> None:
        peers = [f"{self.ids[m]}@{self.addresses[m]}:{self.p2p[m]}" for m in range(NODES) if m != n]
        (self.folder / f"op{n}.toml").write_text(
            f"data = {json.dumps(str(self.data_of[n]))}\n"
            f'listen = ["{self.addresses[n]}:{self.http[n]}"]\n'
            'engine = "cometbft"\n'
            "limits.client_requests_per_s = 100000.0\nlimits.client_burst = 1000000\n"
            "[cometbft]\n"
            f'p2p_listen = "{self.addresses[n]}:{self.p2p[n]}"\n'
            f'rpc_listen = "127.0.0.1:{self.rpc[n]}"\n'
            f"peers = {json.dumps(peers)}\n"
            f"timeout_commit_ms = {TIMEOUT_COMMIT_MS}\n"
        )


def _home(data: Path) -> Path:
    data.mkdir(parents=True, exist_ok=True)
    return comet_home(data)


class RunningNode:
    """One operator's processes."""

    def __init__(self, crowd: ClusterCrowd, number: int, hosts: Hosts) -> None:
        self._crowd = crowd
        self._number = number
        self._hosts = hosts
        self.data = crowd.data_of[number]
        self.url = crowd.url(number)
        self.spawn()

    def spawn(self) -> None:
        """Start it, and wait for nothing."""
        settings = self._crowd.folder / f"op{self._number}.toml"
        command = [sys.executable, "-m", "fieldpost.cli", "node", "run", "--json"]
        compiling = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
        # Its journal goes where nobody reads; benchmarks look at answers.
        self._process = self._hosts.start(
            self._number,
            [*command, "--config", str(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=compiling,
        )

    def here(self, call: Callable[[], T]) -> T:
        """What `call` returns on this operator's host: no link lies between them."""
        return self._hosts.within(self._number, call)

    def wait_started(self) -> None:
        """Wait for its ready line."""
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"{self.data} did not start")

    def kill(self) -> None:
        """Kill -9, and wait until CometBFT followed."""
        below = children(self._process.pid)
        self._process.kill()
        self._process.wait()
        self._close()
        wait_until(lambda: not any(map(_is_alive, below)))

    def wipe(self) -> None:
        """Leave it its keys, and the base log with its state."""
        wipe_replica(self.data)
        self._crowd.place_base(self._number)

    @property
    def base_size(self) -> int:
        """The entries of the base log."""
        return self._crowd.base_size

    def stop(self) -> None:
        """An orderly end."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._close()

    @property
    def pid(self) -> int:
        """Of the node; its CometBFT and verifiers are its children."""
        return self._process.pid

    def _close(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()

    def cpu_s(self) -> tuple[float, float]:
        """Seconds of processors used so far: by the node with its verifiers, by CometBFT."""
        comet = sum(map(tree_cpu_s, self._comets()))
        return tree_cpu_s(self.pid) - comet, comet

    def rss_mb(self) -> tuple[float, float]:
        """Memory now, in 10^6 bytes: of the node with its verifiers, of CometBFT."""
        comet = sum(map(tree_rss_mb, self._comets()))
        return tree_rss_mb(self.pid) - comet, comet

    def _comets(self) -> list[int]:
        return [
            pid
            for pid in children(self.pid)
            if b"cometbft\0start" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def takes_posts(self) -> bool:
        """Whether it is ready: its CometBFT has caught up with the others, too."""
        try:
            self.here(lambda: get(self.url, "/readyz"))
        except (OSError, LookupError, ValueError, http.client.HTTPException):
            return False
        return True

    def size(self) -> int:
        """The published size; 0 while there is none."""
        try:
            return int(self.here(lambda: get(self.url, "/log/checkpoint")).split(b"\n")[1])
        except (OSError, LookupError, ValueError, http.client.HTTPException):
            return 0


@contextmanager
def cluster(crowd: ClusterCrowd, hosts: Hosts | None = None) -> Iterator[list[RunningNode]]:
    """All operators, once each has published the base log and takes posts."""
    nodes: list[RunningNode] = []
    where: Hosts = Loopback() if hosts is None else hosts
    try:
        nodes += [RunningNode(crowd, n, where) for n in range(NODES)]
        for node in nodes:
            node.wait_started()
        wait_until(lambda: all(node.size() and node.takes_posts() for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            node.stop()


@contextmanager
def paused(pids: Sequence[int]) -> Iterator[None]:
    """Processes and all below them stand still meanwhile."""
    try:
        for pid in pids:
            pause(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            pause(pid, signal.SIGCONT)


def get(url: str, path: str) -> bytes:
    """One GET on a connection of its own. Raises OSError, LookupError for what is not 200."""
    host = url.partition("://")[2]
    connection = http.client.HTTPConnection(host, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise LookupError(f"{answer.status} for {path}")
    return body


def wait_until(condition: Callable[[], bool], seconds: float = START_S) -> None:
    """Look every 20 ms. RuntimeError when it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s")
        time.sleep(0.02)


def has_cometbft() -> bool:
    """Whether CometBFT is installed; says loudly if not."""
    try:
        find_program("cometbft")
    except FieldpostError as error:
        print(f"SKIPPED: {error}", file=sys.stderr)
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
