# SPDX-License-Identifier: Apache-2.0
"""A witness that nobody here wrote (litewitness of filippo.io/torchwood) cosigns a board's heads.

It is asked by a node as any witness is, ignores the header that only ours read, and its lines
publish. Needs litewitness and OpenSSH's agent; skipped, with the way to have them, elsewhere.
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fieldpost.engines.board_files import create_board, keys_directory
from fieldpost.keys import Algorithm
from fieldpost.records.board import Witness
from fieldpost.records.identifiers import origin_of
from fieldpost.signers.keyfile import load_key_file
from fieldpost.signers.software import SoftwareSigner
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.cosignature import cosigner_key
from fieldpost.tlog.note import ED25519, VerifierKey, format_vkey
from tests.ports import free_port
from tests.unit.node.running_node import running

pytestmark = pytest.mark.e2e
NAME = "stock.test/witness"
WAIT_S = 60
GO_BIN = Path.home() / "go" / "bin"
PROGRAM = shutil.which("litewitness") or shutil.which("litewitness", path=str(GO_BIN))


def until(condition: Callable[[], bool]) -> None:
    event = threading.Event()
    for _ in range(20 * WAIT_S):
        if condition():
            return
        event.wait(0.05)
    raise AssertionError("it never came to be")


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def start(stack: ExitStack, *words: str, **more: str) -> None:
    process = subprocess.Popen(
        words, env={**os.environ, **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait)
    stack.callback(process.terminate)


class Stock:
    """A litewitness that knows one log, with its key in an agent of its own."""

    def __init__(self, folder: Path, stack: ExitStack, program: str) -> None:
        folder.mkdir()
        private = Ed25519PrivateKey.generate()
        file = folder / "key"
        file.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        file.chmod(0o600)
        public = SoftwareSigner(private).public_key
        assert public.algorithm is Algorithm.ED25519
        self.key = cosigner_key(NAME, public)
        self.db = folder / "db"
        agent = folder / "agent"
        start(stack, "ssh-agent", "-D", "-a", str(agent))
        until(agent.exists)
        environment = {**os.environ, "SSH_AUTH_SOCK": str(agent)}
        subprocess.run(["ssh-add", "-q", str(file)], env=environment, check=True, timeout=WAIT_S)
        listed = subprocess.run(
            ["ssh-add", "-l"], env=environment, check=True, capture_output=True, timeout=WAIT_S
        )
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        start(
            stack,
            *(program, "-name", NAME, "-db", str(self.db), "-ssh-agent", str(agent)),
            *("-listen", f"127.0.0.1:{port}", "-key", listed.stdout.split()[1].decode()),
        )
        until(lambda: accepts(port))

    def know(self, origin: str, *log_keys: VerifierKey) -> None:
        """What `witnessctl add-log` and `add-key` write."""
        empty = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        with sqlite3.connect(self.db, timeout=WAIT_S) as db:
            db.execute("INSERT INTO log VALUES (?, 0, ?)", (origin, empty))
            rows = [(origin, format_vkey(key)) for key in log_keys]
            db.executemany("INSERT INTO key VALUES (?, ?)", rows)
        db.close()


@pytest.mark.skipif(
    PROGRAM is None or shutil.which("ssh-agent") is None,
    reason="needs litewitness (make witness-deps) and openssh-client",
)
def test_a_board_publishes_what_somebody_elses_witness_cosigned(
    tmp_path: Path, stack: ExitStack
) -> None:
    assert PROGRAM is not None
    stock = Stock(tmp_path / "w", stack, PROGRAM)
    data = tmp_path / "board"
    board = create_board(
        data,
        now=1_800_000_000,
        origin="board.test/1",
        witnesses=[Witness(key=stock.key, url=stock.url)],
        witnesses_needed=1,
    )
    log = load_key_file(keys_directory(data) / "log.pem", lambda: b"").public_key
    stock.know(origin_of(board), VerifierKey(origin_of(board), ED25519, log.raw))
    node = stack.enter_context(running(data))
    note = b""

    def is_published() -> bool:
        nonlocal note
        answer = node.http.send("GET", "/log/checkpoint", admit=(503,))
        note = answer.body
        return answer.status == 200

    until(is_published)
    assert open_checkpoint(note, [stock.key])[0].size == 2
    world = node.world()
    node.post(world, world.maker.registration())
    node.post(world, world.maker.class_set())
    checkpoint, verified = open_checkpoint(node.http.fetch("/log/checkpoint"), [stock.key])
    assert (checkpoint.size, len(verified)) == (6, 1)
