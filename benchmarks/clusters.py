# SPDX-License-Identifier: Apache-2.0
"""Four operators on this machine for benchmarks, and CometBFT's own key-value store beside them.

crowd = ClusterCrowd(folder, makers=1_000)      a base log, made by the ledger itself
with cluster(crowd) as nodes: …                 nodes[0].url, nodes[0].kill(), …
with kvstores(folder, 4) as stores: …           CometBFT alone, same settings, no ledger
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from socket import socket
from typing import Any

from benchmarks.makers import MakerCrowd
from benchmarks.processes import tree_cpu_s, tree_rss_mb
from fieldpost.engines.cometbft.genesis import Genesis, Validator
from fieldpost.engines.cometbft.home import (
    HomeSettings,
    comet_home,
    make_keys,
    write_config,
    write_genesis,
)
from fieldpost.engines.cometbft.program import find_program
from fieldpost.errors import FieldpostError
from fieldpost.testing.paper_cluster import PaperCluster

NODES = 4
TIMEOUT_COMMIT_MS = 200
START_S = 120.0
_DAY_S = 86_400


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class ClusterCrowd(MakerCrowd):
    """The makers of a board of four operators, whose base log the ledger wrote in this process."""

    def __init__(self, folder: Path, *, makers: int, p2p_ports: Sequence[int] = ()) -> None:
        self.folder = folder
        self.http = free_ports(NODES)
        self.p2p = list(p2p_ports) or free_ports(NODES)
        self.rpc = free_ports(NODES)
        self.data_of = [folder / f"op{n}" for n in range(NODES)]
        keys = {data.name: make_keys(_home(data)) for data in self.data_of}
        self.ids = [node for _, node in keys.values()]
        urls = {f"op{n}": f"http://127.0.0.1:{port}" for n, port in enumerate(self.http)}
        board = PaperCluster(
            folder,
            operators=NODES,
            time=int(time.time()) - (makers // 1_000 + 2) * _DAY_S,
            adapt=lambda entry: replace(
                entry, urls=(urls[entry.name],), validator_key=keys[entry.name][0]
            ),
        )
        first = board.operators[0]
        first.start()

        def write(posts: list[bytes]) -> None:
            before = first.replica.state.size
            board.block(*posts)
            if first.replica.state.size != before + len(posts) + 1:
                raise AssertionError("a post of the base log was refused")
            if first.replica.height % 3 == 0:
                board.time += _DAY_S  # a thousand may register each day

        self._prepare(board, makers, write)
        size, root = first.replica.state.size, first.replica.root
        first.crash()
        genesis = replace(
            board.genesis, size=size, root=root, genesis_post=None, time=int(time.time())
        )
        for n, data in enumerate(self.data_of):
            if n:
                shutil.rmtree(data / "log", ignore_errors=True)
                shutil.copytree(self.data_of[0] / "log", data / "log")
            for path in [*data.glob("state.db*"), data / "keys" / "largest-signed"]:
                path.unlink(missing_ok=True)
            (data / "log" / "checkpoint").unlink(missing_ok=True)
            write_genesis(_home(data), genesis.encode())
            self._write_settings(n)

    def _write_settings(self, n: int) -> None:
        peers = [f"{self.ids[m]}@127.0.0.1:{self.p2p[m]}" for m in range(NODES) if m != n]
        (self.folder / f"op{n}.toml").write_text(
            f"data = {json.dumps(str(self.data_of[n]))}\n"
            f'listen = ["127.0.0.1:{self.http[n]}"]\n'
            'engine = "cometbft"\n[cometbft]\n'
            f'p2p_listen = "127.0.0.1:{self.p2p[n]}"\n'
            f'rpc_listen = "127.0.0.1:{self.rpc[n]}"\n'
            f"peers = {json.dumps(peers)}\n"
            f"timeout_commit_ms = {TIMEOUT_COMMIT_MS}\n"
        )


def _home(data: Path) -> Path:
    data.mkdir(parents=True, exist_ok=True)
    return comet_home(data)


class RunningNode:
    """One operator's processes."""

    def __init__(self, crowd: ClusterCrowd, number: int) -> None:
        self._crowd = crowd
        self._number = number
        self.data = crowd.data_of[number]
        self.url = f"http://127.0.0.1:{crowd.http[number]}"
        self.start()

    def start(self) -> None:
        """Start it, and wait for its ready line."""
        settings = self._crowd.folder / f"op{self._number}.toml"
        command = [sys.executable, "-m", "fieldpost.cli", "node", "run", "--json"]
        # Its journal goes where nobody reads; benchmarks look at answers.
        self._process = subprocess.Popen(
            [*command, "--config", str(settings)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            raise RuntimeError(f"{self.data} did not start")

    def kill(self) -> None:
        """Kill -9, and wait until CometBFT followed."""
        children = _children(self._process.pid)
        self._process.kill()
        self._process.wait()
        self._close()
        wait_until(lambda: not any(map(_is_alive, children)))

    def stop(self) -> None:
        """An orderly end."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()

    def cpu_s(self) -> float:
        """Seconds of processors that node and CometBFT used so far."""
        return tree_cpu_s(self._process.pid)

    def rss_mb(self) -> float:
        """Memory of node and CometBFT now, in 10^6 bytes."""
        return tree_rss_mb(self._process.pid)

    def takes_posts(self) -> bool:
        """Whether its CometBFT has caught up with the others."""
        try:
            answer = json.loads(get(f"http://127.0.0.1:{self._crowd.rpc[self._number]}", "/status"))
        except (OSError, LookupError, ValueError, http.client.HTTPException):
            return False
        return not answer["result"]["sync_info"]["catching_up"]

    def size(self) -> int:
        """The published size; 0 while there is none."""
        try:
            return int(get(self.url, "/log/checkpoint").split(b"\n")[1])
        except (OSError, LookupError, ValueError, http.client.HTTPException):
            return 0


@contextmanager
def cluster(crowd: ClusterCrowd) -> Iterator[list[RunningNode]]:
    """All operators, once each has published the base log and takes posts."""
    nodes: list[RunningNode] = []
    try:
        nodes += [RunningNode(crowd, n) for n in range(NODES)]
        wait_until(lambda: all(node.size() and node.takes_posts() for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            node.stop()


class KvStore:
    """One CometBFT with its built-in key-value store."""

    def __init__(self, home: Path, rpc: int) -> None:
        self._log = (home / "out.log").open("wb")
        self._process = subprocess.Popen(
            [find_program("cometbft"), "start", "--home", str(home)],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.rpc = rpc

    def ask(self, *requests: tuple[str, dict[str, str]]) -> list[dict[str, Any]]:
        """A JSON-RPC batch."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rpc, timeout=60)
        body = [
            {"jsonrpc": "2.0", "id": n, "method": method, "params": params}
            for n, (method, params) in enumerate(requests)
        ]
        connection.request("POST", "/", json.dumps(body), {"Content-Type": "application/json"})
        found: Any = json.loads(connection.getresponse().read())
        connection.close()
        # A batch of one is answered without its brackets.
        return found if isinstance(found, list) else [found]

    def height(self) -> int:
        """Its newest block; 0 while it does not answer."""
        try:
            (answer,) = self.ask(("status", {}))
        except OSError:
            return 0
        return int(answer["result"]["sync_info"]["latest_block_height"])

    def count(self, low: int) -> int:
        """The transactions of all blocks above `low`."""
        total, high = 0, self.height()
        while high > low:
            first = max(low + 1, high - 19)
            span = {"minHeight": str(first), "maxHeight": str(high)}
            (answer,) = self.ask(("blockchain", span))
            metas = answer["result"]["block_metas"]
            total += sum(int(meta["num_txs"]) for meta in metas)
            high = first - 1
        return total

    def stop(self) -> None:
        """An orderly end."""
        self._process.terminate()
        self._process.wait()
        self._log.close()


@contextmanager
def kvstores(folder: Path, count: int) -> Iterator[list[KvStore]]:
    """As many validators of one chain, with the settings that a node writes for its own."""
    p2p, rpc = free_ports(count), free_ports(count)
    homes = [folder / f"kv{n}" for n in range(count)]
    keys = [make_keys(home) for home in homes]
    ids = [node for _, node in keys]
    document = json.loads(
        _kv_genesis([Validator(f"kv{n}", key) for n, (key, _) in enumerate(keys)])
    )
    stores: list[KvStore] = []
    try:
        for n, home in enumerate(homes):
            write_config(
                home,
                HomeSettings(
                    name=f"kv{n}",
                    application="kvstore",
                    p2p_listen=f"127.0.0.1:{p2p[n]}",
                    rpc_listen=f"127.0.0.1:{rpc[n]}",
                    peers=tuple(f"{ids[m]}@127.0.0.1:{p2p[m]}" for m in range(count) if m != n),
                    timeout_commit_ms=TIMEOUT_COMMIT_MS,
                ),
            )
            (home / "config" / "genesis.json").write_text(json.dumps(document))
        stores += [KvStore(home, rpc[n]) for n, home in enumerate(homes)]
        wait_until(lambda: all(store.height() >= 2 for store in stores))
        yield stores
    finally:
        for store in stores:
            store.stop()


def _kv_genesis(validators: Sequence[Validator]) -> bytes:
    genesis = Genesis(
        board="kv.test/1#" + "0" * 32,
        time=int(time.time()),
        size=2,
        root=bytes(32),
        genesis_post=None,
        validators=tuple(validators),
    )
    document = json.loads(genesis.encode())
    document["app_hash"] = ""
    document["app_state"] = {}
    return json.dumps(document).encode()


def send_kv(stores: Sequence[KvStore], txs: Sequence[bytes]) -> float:
    """Seconds until all transactions are in blocks; each store is given its share, by ten."""
    low = stores[0].height()
    began = time.perf_counter()

    def share(n: int) -> None:
        mine = txs[n :: len(stores)]
        for at in range(0, len(mine), 10):
            asked: list[tuple[str, dict[str, str]]] = [
                ("broadcast_tx_sync", {"tx": b64encode(tx).decode()}) for tx in mine[at : at + 10]
            ]
            while True:
                answers = stores[n].ask(*asked)
                asked = [a for a, b in zip(asked, answers, strict=True) if "error" in b]
                if not asked:
                    break
                time.sleep(0.02)

    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(share, range(len(stores))))
    wait_until(lambda: stores[0].count(low) >= len(txs))
    return time.perf_counter() - began


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


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
