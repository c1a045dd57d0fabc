# SPDX-License-Identifier: Apache-2.0
"""Hostile mirrors: endless and slow answers, lies, and one honest node beside them.

A whole agent asks over real sockets; time limits are short, so nothing waits for long.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.agent.download import Stored, blob_urls, download
from fieldpost.agent.states import State
from fieldpost.checkin.evidence import decode_evidence, verify_evidence
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Unavailable
from fieldpost.records.device_class import Encoding
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.relay import Relay
from tests.attacks.paper_agent import AgentOnPaper

NEW = b"the image of release 2" * 50
Script = Callable[[socket.socket, threading.Event], None]


@pytest.fixture
def node() -> Iterator[PaperNode]:
    with PaperNode(PaperBoard()) as running:
        yield running


@contextmanager
def raw_server(script: Script) -> Iterator[str]:
    """A server that says whatever `script` sends to each caller, until the test is over."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def answer(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            connection.recv(65_536)
            script(connection, over)

    def serve() -> None:
        with suppress(OSError):
            while not over.is_set():
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=60)


def endless(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n")
    while not over.is_set():
        connection.sendall(bytes(65_536))


def dripping(connection: socket.socket, over: threading.Event) -> None:
    """A byte now and then, each within the time that silence may last."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not over.wait(0.02):
        connection.sendall(b"x")


# --- endless data, slow retrieval ---


def test_endless_data_is_cut_off(tmp_path: Path) -> None:
    with raw_server(endless) as url, HttpClient(url, timeout_s=60) as client:
        with pytest.raises(Unavailable, match="allowed"):
            client.fetch("/v1/checkin/x/y", most_bytes=5_120)
        stored = Stored(digest=bytes(32), size=10_000, encoding=Encoding.IDENTITY)
        with pytest.raises(Unavailable):
            download(tmp_path, stored, [f"{url}/blob"], timeout_s=60)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000


def test_control_with_a_larger_limit_more_of_it_is_taken() -> None:
    with raw_server(endless) as url, HttpClient(url, timeout_s=60) as client:
        taken: list[int] = []
        with client.stream("/", most_bytes=3_000_000) as body, pytest.raises(Unavailable):
            taken.extend(map(len, body.chunks))
        assert sum(taken) > 1_000_000


def test_an_answer_that_drips_ends_at_its_deadline() -> None:
    """Each byte comes in time, the whole never would."""
    with (
        raw_server(dripping) as url,
        HttpClient(url, timeout_s=60, total_s=0.3) as client,
        pytest.raises(Unavailable, match="too long"),
    ):
        client.fetch("/v1/checkin/x/y")


def test_control_with_time_enough_the_drip_goes_on() -> None:
    with raw_server(dripping) as url, HttpClient(url, timeout_s=60) as client:
        taken = 0
        with client.stream("/", most_bytes=1_000) as body:
            for chunk in body.chunks:
                taken += len(chunk)
                if taken >= 20:
                    break
        assert taken >= 20


def test_an_endless_mirror_does_not_keep_the_agent_from_the_honest_node(
    tmp_path: Path, node: PaperNode
) -> None:
    node.publish(2, NEW)
    with raw_server(endless) as liar:
        agent = AgentOnPaper(tmp_path, node, urls=(liar, node.url))
        assert agent.live() == ""
    assert agent.runs() == (2, NEW)


# --- lies, and one honest node ---


def lie_of(kind: str, node: PaperNode) -> Callable[[str, bytes], bytes]:
    """What a hostile mirror makes of honest answers."""
    old = node.board.bundle()

    def lie(path: str, body: bytes) -> bytes:
        match kind:
            case "blob" if "/blobs/" in path:
                return body[:-1] + bytes([body[-1] ^ 1])
            case "manifest" if "/manifests/" in path:
                return body[:-1] + bytes([body[-1] ^ 1])
            case "check-in" if "/checkin/" in path:
                return body[:-1] + bytes([body[-1] ^ 1])
            case "old" if "/checkin/" in path:
                return old
            case "html":
                return b"<html>please log in</html>"
            case _:
                return body

    return lie


@pytest.mark.parametrize("kind", ["blob", "manifest", "check-in", "old", "html"])
def test_one_honest_node_beside_a_malicious_mirror_is_enough(
    tmp_path: Path, node: PaperNode, kind: str
) -> None:
    lie = lie_of(kind, node)
    node.publish(2, NEW)
    with Relay(node.url) as liar:
        liar.alter = lie
        agent = AgentOnPaper(tmp_path, node, urls=(liar.url, node.url))
        agent.live()
        agent.live()
    assert agent.runs() == (2, NEW)


@pytest.mark.parametrize("kind", ["blob", "manifest", "check-in", "html"])
def test_a_malicious_mirror_alone_keeps_the_device_where_it_is(
    tmp_path: Path, node: PaperNode, kind: str
) -> None:
    """What remains: it can withhold. It cannot change what runs."""
    lie = lie_of(kind, node)
    node.publish(2, NEW)
    with Relay(node.url) as liar:
        liar.alter = lie
        agent = AgentOnPaper(tmp_path, node, urls=(liar.url,))
        assert agent.live() != ""
    assert agent.runs() == (1, agent.old)


def test_control_without_digests_the_mirrors_image_runs(tmp_path: Path, node: PaperNode) -> None:
    lie = lie_of("blob", node)
    node.publish(2, NEW)
    with Relay(node.url) as liar, without(Defence.STORED_BYTES, Defence.IMAGE):
        liar.alter = lie
        agent = AgentOnPaper(tmp_path, node, urls=(liar.url,))
        agent.live()
        assert agent.runs() == (2, lie("/blobs/", NEW))


def test_a_silent_mirror_does_not_hide_the_honest_node(tmp_path: Path, node: PaperNode) -> None:
    node.publish(2, NEW)
    with PaperNode(node.board) as silent:
        silent.is_silent = True
        agent = AgentOnPaper(tmp_path, node, urls=(silent.url, node.url))
        agent.live()
    assert agent.runs() == (2, NEW)


def test_a_mirror_that_spoils_the_start_of_a_download_costs_bytes_alone(
    tmp_path: Path, node: PaperNode
) -> None:
    digest = sha256(NEW).digest()
    node.blobs[digest.hex()] = NEW
    stored = Stored(digest=digest, size=len(NEW), encoding=Encoding.IDENTITY)
    with Relay(node.url) as liar:
        liar.alter = lambda _, body: b"?" + body[1:]
        liar.cut = lambda _: 100
        urls = blob_urls(stored, sources=(), boards=(liar.url, node.url))
        assert download(tmp_path, stored, urls).read_bytes() == NEW


# --- two histories ---


def test_a_split_view_freezes_the_agent_and_keeps_the_evidence(
    tmp_path: Path, node: PaperNode
) -> None:
    """Equal size, another root, both signed: it runs on, installs nothing, and waits for people."""
    agent = AgentOnPaper(tmp_path, node)
    other = node.board.fork()
    node.board.seal([b"one history"])
    assert agent.live() == ""
    node.board = other
    node.publish(2, NEW)
    assert agent.live() == "split-view"
    node.publish(3, NEW)
    assert agent.live() != ""
    assert agent.runs() == (1, agent.old)
    assert agent.memory().state is State.FROZEN
    (file,) = agent.home.evidence.iterdir()
    proven = verify_evidence(decode_evidence(file.read_bytes()), links=node.board.board_chain)
    assert {signer.name for signer in proven.authors} == set(node.board.names)


def test_control_without_comparing_histories_the_other_one_is_installed(
    tmp_path: Path, node: PaperNode
) -> None:
    agent = AgentOnPaper(tmp_path, node)
    other = node.board.fork()
    node.board.seal([b"one history"])
    assert agent.live() == ""
    node.board = other
    node.publish(2, NEW)
    with without(Defence.SAME_HISTORY):
        assert agent.live() == ""
    assert agent.runs() == (2, NEW)


def test_a_mirror_without_keys_freezes_nobody(tmp_path: Path, node: PaperNode) -> None:
    agent = AgentOnPaper(tmp_path, node)
    assert agent.live() == ""
    forged = node.board.fork()
    forged.names = ("eve0",)
    node.board.seal([b"one history"])
    forged.seal([b"another"])
    genuine, node.board = node.board, forged
    assert agent.live() == "no-quorum"
    assert agent.memory().state is State.IDLE
    node.board = genuine
    assert agent.live() == ""
