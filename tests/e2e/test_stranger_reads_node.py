# SPDX-License-Identifier: Apache-2.0
"""A reader that nobody here wrote (tlog-scales) verifies what a real node wrote.

From the node's folder, as a web server would serve it, and over the node's own HTTP.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tlog_scales import backend, reader, signing

from fieldpost.client.log import Log
from fieldpost.client.publisher import submit_posts
from fieldpost.client.transport import HttpClient
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_vkey
from fieldpost.tlog.tree import CompactRange

pytestmark = pytest.mark.e2e

# Enough lots for a full tile and a partial one beside it.
LOTS = 150


@contextmanager
def running_node(data: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "fieldpost.cli", "node", "run", "--data", str(data)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as popen:
        assert popen.stdout is not None
        try:
            yield json.loads(popen.stdout.readline())["url"]
        finally:
            popen.terminate()
            popen.wait(timeout=60)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    data = tmp_path_factory.mktemp("node")
    with running_node(data) as url:
        with HttpClient(url, timeout_s=20) as http:
            origin, key = _board(http)

            def entries() -> list[bytes]:
                log = Log(http, origin=origin, keys=[parse_vkey(key)])
                log.advance()
                return list(log.read_all())

            world = MirroredBoard(entries)
            submit_posts(http, [world.maker.registration()])
            world.refresh()
            submit_posts(http, [world.maker.class_set()])
            for number in range(LOTS):
                world.refresh()
                submit_posts(http, [world.maker.lot_enrol(root=number.to_bytes(32, "big"))])
        yield data, url


def _board(http: HttpClient) -> tuple[str, str]:
    match http.send("GET", "/v1/board").json():
        case {"origin": str(origin), "operators": [{"log_key": str(key)}, *_]}:
            return origin, key
    raise AssertionError("the board view lacks its operator")


def _keys(url: str) -> list[str]:
    with HttpClient(url) as http:
        match http.send("GET", "/v1/board").json():
            case {"operators": [{"log_key": str(log), "cosigner_keys": list(cosigners)}]}:
                return [log, *(str(key) for key in cosigners)]
    raise AssertionError("the board view lacks its keys")


@pytest.fixture(params=["files", "http"])
def scales(request: pytest.FixtureRequest, board: tuple[Path, str]) -> Iterator[reader.TilesReader]:
    data, url = board
    if request.param == "files":
        yield reader.TilesReader(backend.make_backend(str(data / "log")))
        return
    source = backend.HttpBackend(f"{url}/log")
    yield reader.TilesReader(source)
    source.session.close()


def test_a_stranger_verifies_checkpoint_and_cosignature_of_a_node(
    scales: reader.TilesReader, board: tuple[Path, str]
) -> None:
    checkpoint = scales.get_checkpoint()
    keys = _keys(board[1])
    assert len(keys) >= 2, "a log signature and a cosignature"
    for key in keys:
        checkpoint.verify(signing.Vkey.from_string(key))
    assert checkpoint.size > 256
    assert scales.calculate_root_hash() == checkpoint.root_hash


def test_a_stranger_proves_every_entry_and_the_growth_of_a_node(
    scales: reader.TilesReader,
) -> None:
    checkpoint = scales.get_checkpoint()
    for index in (0, 1, 255, 256, checkpoint.size - 1):
        entry = scales.get_entry(index)
        proof = scales.get_inclusion_proof(index, checkpoint.size)
        proof.check(leaf_hash(entry), checkpoint.root_hash)
    first = CompactRange.empty().extend(leaf_hash(scales.get_entry(i)) for i in range(256))
    growth = scales.get_consistency_proof(256, checkpoint.size)
    growth.check(first.root(), checkpoint.root_hash)
