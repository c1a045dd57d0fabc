# SPDX-License-Identifier: Apache-2.0
"""The socket that CometBFT talks to: in order, written out at Flush, and over after a failure."""

import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any, BinaryIO, cast

import pytest

from fieldpost.engines.cometbft.abci import AbciServer
from fieldpost.engines.cometbft.frames import MAX_MESSAGE_BYTES, read_frame, write_frame
from fieldpost.engines.cometbft.messages import CheckTxResponse, Request, Response
from fieldpost.errors import Malformed, Misconfigured

WAIT_S = 60
Connect = Callable[[], BinaryIO]


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 70_000])
def test_every_length_is_read_as_it_was_written(length: int) -> None:
    stream = io.BytesIO()
    write_frame(stream, b"x" * length)
    write_frame(stream, b"next")
    stream.seek(0)
    assert read_frame(stream) == b"x" * length
    assert read_frame(stream) == b"next"
    assert read_frame(stream) is None


@pytest.mark.parametrize(
    "octets", [b"\x80", b"\x05abc", b"\x80\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff\x0f"]
)
def test_a_frame_that_is_cut_off_or_too_long_is_refused(octets: bytes) -> None:
    with pytest.raises(Malformed):
        read_frame(io.BytesIO(octets))


def test_a_length_over_the_limit_is_refused_before_it_is_read() -> None:
    stream = io.BytesIO()
    left = MAX_MESSAGE_BYTES + 1
    while left > 0x7F:
        stream.write(bytes([left & 0x7F | 0x80]))
        left >>= 7
    stream.write(bytes([left]))
    stream.seek(0)
    with pytest.raises(Malformed, match="at most"):
        read_frame(stream)


class Application:
    """Handlers that note what they are asked; `fatal` is what the server gave up for."""

    def __init__(self, path: Path) -> None:
        self.asked: list[bytes] = []
        self.fatal: Queue[str] = Queue()
        self.server = AbciServer(path, {"check_tx": self.check_tx}, fatal=self.fatal.put)

    def check_tx(self, request: Any) -> Any:
        self.asked.append(request.tx)
        if request.tx == b"bug":
            raise RuntimeError("a bug")
        return CheckTxResponse(code=len(request.tx))


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    made = Application(tmp_path / "abci.sock")
    yield made
    made.server.close()


@pytest.fixture
def connect(application: Application, tmp_path: Path) -> Iterator[Connect]:
    made: list[socket.socket] = []
    streams: list[BinaryIO] = []

    def connect() -> BinaryIO:
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].settimeout(WAIT_S)
        made[-1].connect(str(tmp_path / "abci.sock"))
        streams.append(cast(BinaryIO, made[-1].makefile("rwb")))
        return streams[-1]

    yield connect
    for stream in streams:
        stream.close()
    for connection in made:
        connection.close()


def ask(stream: BinaryIO, **union: Any) -> None:
    write_frame(stream, Request(**union).SerializeToString())


def answer(stream: BinaryIO) -> Any:
    data = read_frame(stream)
    assert data is not None
    return Response.FromString(data)


def test_answers_come_in_order_at_flush(application: Application, connect: Connect) -> None:
    stream = connect()
    for tx in (b"a", b"bb", b"ccc"):
        ask(stream, check_tx={"tx": tx})
    ask(stream, echo={"message": "hello"})
    ask(stream, flush={})
    stream.flush()
    assert [answer(stream).check_tx.code for _ in range(3)] == [1, 2, 3]
    assert answer(stream).echo.message == "hello"
    assert answer(stream).WhichOneof("value") == "flush"
    assert application.asked == [b"a", b"bb", b"ccc"]


def test_requests_that_nobody_handles_get_an_empty_answer(
    application: Application, connect: Connect
) -> None:
    stream = connect()
    ask(stream, list_snapshots={})
    ask(stream, flush={})
    stream.flush()
    assert answer(stream).WhichOneof("value") == "list_snapshots"
    assert application.asked == []


def test_a_failure_is_answered_as_such_and_ends_the_work(
    application: Application, connect: Connect
) -> None:
    stream = connect()
    ask(stream, check_tx={"tx": b"bug"})
    stream.flush()
    assert answer(stream).exception.error == "a bug"
    assert application.fatal.get(timeout=WAIT_S) == "check_tx: a bug"
    assert read_frame(stream) is None


def test_several_connections_are_served_at_once(application: Application, connect: Connect) -> None:
    streams = [connect() for _ in range(4)]
    for n, stream in enumerate(streams):
        ask(stream, check_tx={"tx": b"x" * (n + 1)})
        ask(stream, flush={})
        stream.flush()
    assert [answer(stream).check_tx.code for stream in streams] == [1, 2, 3, 4]
    assert len(application.asked) == 4


def test_what_is_no_request_ends_the_connection_alone(
    application: Application, connect: Connect
) -> None:
    stream = connect()
    write_frame(stream, b"\xff\xff")
    stream.flush()
    assert read_frame(stream) is None
    again = connect()
    ask(again, check_tx={"tx": b"a"})
    ask(again, flush={})
    again.flush()
    assert answer(again).check_tx.code == 1
    assert application.fatal.empty()


def test_a_socket_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "abci.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    made = Application(path)
    assert path.stat().st_mode & 0o777 == 0o600
    made.server.close()
    assert not path.exists()


def test_a_path_that_no_socket_can_have_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="shorter"):
        Application(tmp_path / ("x" * 100))
