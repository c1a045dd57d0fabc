# SPDX-License-Identifier: Apache-2.0
"""Three questions of light clients are passed on, and nothing else reaches CometBFT's RPC."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fieldpost.engines.cometbft.light import LightData, Question, decode_question
from fieldpost.errors import Malformed, Misbehaviour, Misconfigured, Unavailable
from fieldpost.node.trusted_block import TrustedBlock, agree_on_block


def question(method: str, params: Any, number: Any = 7) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def test_what_a_light_client_asks_is_understood() -> None:
    asked = question("validators", {"height": "5", "page": "1", "per_page": 100})
    found = decode_question(asked)
    assert found == Question(7, "validators", (("height", 5), ("page", 1), ("per_page", 100)))
    assert decode_question(found.encode()) == found
    assert decode_question(question("commit", {})).numbers == ()


@pytest.mark.parametrize(
    "asked",
    [
        question("broadcast_tx_sync", {"tx": "AA=="}),
        question("unsafe_flush_mempool", {}),
        question("dial_peers", {"peers": []}),
        question("commit", {"height": "5", "tx": "AA=="}),
        question("commit", {"height": -1}),
        question("commit", {"height": "5; DROP"}),
        question("commit", {"height": 1.5}),
        question("commit", {"height": "9" * 30}),
        question("commit", {"height": True}),
        question("commit", [5]),
        question("commit", {}, "seven"),
        json.dumps([{"method": "commit", "id": 1}]).encode(),
        b"[" * 900,
        b"",
        question("commit", {"height": "0" * 2_000}),
    ],
)
def test_everything_else_is_refused_before_the_rpc_hears_of_it(asked: bytes) -> None:
    # Nobody listens there: whatever were passed on would be Unavailable.
    with pytest.raises(Malformed):
        LightData("127.0.0.1:1").answer(asked)
    with pytest.raises(Unavailable):
        LightData("127.0.0.1:1").answer(question("commit", {}))


def test_the_rpc_is_asked_on_this_machine_alone() -> None:
    with pytest.raises(Misconfigured):
        LightData("192.0.2.1:26657")


class Chain:
    """A node that answers `commit` at /v1/light; `hashes` by height."""

    def __init__(self, hashes: dict[int, str]) -> None:
        chain = self
        self.hashes = hashes

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = decode_question(self.rfile.read(int(self.headers["Content-Length"])))
                height = dict(asked.numbers).get("height", max(chain.hashes))
                commit = {"height": str(height), "block_id": {"hash": chain.hashes[height]}}
                result = {"signed_header": {"commit": commit}}
                body = json.dumps({"jsonrpc": "2.0", "id": asked.id, "result": result}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Nothing is told."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def chains() -> Iterator[list[Chain]]:
    honest = {height: f"{height:064X}" for height in range(1, 10)}
    made = [Chain(honest), Chain({h: honest[h] for h in range(1, 8)}), Chain(dict(honest))]
    yield made
    for chain in made:
        chain.server.shutdown()
        chain.server.server_close()


def test_the_block_that_is_believed_is_the_newest_that_all_have(chains: list[Chain]) -> None:
    assert agree_on_block([chain.url for chain in chains]) == TrustedBlock(7, f"{7:064X}")


def test_operators_who_name_different_blocks_are_believed_nothing(chains: list[Chain]) -> None:
    chains[2].hashes[7] = "AB" * 32
    with pytest.raises(Misbehaviour, match="different blocks of height 7"):
        agree_on_block([chain.url for chain in chains])
    # The control: who asks the liar alone believes it.
    assert agree_on_block([chains[2].url]).height == 9


def test_a_node_that_names_no_block_is_no_answer(chains: list[Chain]) -> None:
    chains[0].hashes[9] = "not hex"
    with pytest.raises(Unavailable, match="names no block"):
        agree_on_block([chain.url for chain in chains])
