# SPDX-License-Identifier: Apache-2.0
"""CometBFT's own key-value store, four of it, with the settings that a node writes for its own.

with kvstores(folder, 4) as stores: send_kv(stores, txs)      no ledger, no signature
"""

import http.client
import json
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.clusters import TIMEOUT_COMMIT_MS, free_ports, wait_until
from fieldpost.engines.cometbft.genesis import Genesis, Validator
from fieldpost.engines.cometbft.home import HomeSettings, make_keys, write_config
from fieldpost.engines.cometbft.program import find_program


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

    @property
    def pid(self) -> int:
        """Of its one process."""
        return self._process.pid

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
