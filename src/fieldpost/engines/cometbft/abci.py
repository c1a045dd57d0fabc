# SPDX-License-Identifier: Apache-2.0
"""The application's side of ABCI 2.0: a Unix socket, one thread for each of CometBFT's connections.

CometBFT opens four (consensus, mempool, query, snapshots), sends requests and takes the answers in
order. Answers are written out when it says Flush. An exception of a handler is told, answered as
such, and ends the application: what happened to its state is not known, and another start finds
out (`fatal` is called; it must not return to normal work).
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from fieldpost.engines.cometbft.frames import read_frame, write_frame
from fieldpost.engines.cometbft.messages import Request, Response
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.journal import tell

# What a request's handler is given and gives: the message inside the union.
Handler = Callable[[Any], Any]

_BUFFER_BYTES: Final = 256 * 1024
_MOST_CONNECTIONS: Final = 16
# sun_path on Linux; some systems have four bytes less.
_MOST_PATH_BYTES: Final = 103

_log = logging.getLogger(__name__)


class AbciServer:
    """Listens at `path` and answers with `handlers`, by the request's name in the union.

    Requests without a handler are answered by an empty message, as Echo and Flush are by the
    server itself. `fatal` is called, on the connection's thread, when a handler raises.
    """

    def __init__(
        self, path: Path, handlers: Mapping[str, Handler], *, fatal: Callable[[str], None]
    ) -> None:
        self._path = path
        self._handlers = dict(handlers)
        self._fatal = fatal
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        if len(os.fsencode(path)) > _MOST_PATH_BYTES:
            raise Misconfigured(
                f"the path of the socket {path} has more than {_MOST_PATH_BYTES} bytes: "
                "choose a shorter data directory"
            )
        with suppress(FileNotFoundError):
            path.unlink()  # of a process that ended without cleaning up; its lock is ours now
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(os.fspath(path))
            path.chmod(0o600)
            self._socket.listen(_MOST_CONNECTIONS)
        except OSError as error:
            self._socket.close()
            raise Misconfigured(f"cannot listen at {path}: {error.strerror}") from error
        self._thread = threading.Thread(target=self._accept, name="fieldpost-abci", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests; running ones end with their connection. May be called again."""
        with self._lock:
            self._closed = True
            connections = list(self._connections)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        with suppress(FileNotFoundError):
            self._path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # closed
            with self._lock:
                if self._closed or len(self._connections) >= _MOST_CONNECTIONS:
                    connection.close()
                    continue
                self._connections.add(connection)
            threading.Thread(
                target=self._serve, args=(connection,), name="fieldpost-abci", daemon=True
            ).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = cast(BinaryIO, connection.makefile("rwb", buffering=_BUFFER_BYTES))
        try:
            # The socket is closed once both are.
            with connection, stream:
                self._answer_all(stream)
        except (OSError, Malformed) as error:
            if not self._closed:
                tell(_log, "abci-connection-lost", error=error)
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _answer_all(self, stream: BinaryIO) -> None:
        while (data := read_frame(stream)) is not None:
            try:
                request = Request.FromString(data)
            except Exception as error:  # protobuf's DecodeError has no public home in its stubs
                raise Malformed(f"no ABCI request: {error}") from error
            kind = request.WhichOneof("value")
            if kind is None:
                raise Malformed("an ABCI request of a kind that this application does not know")
            response = Response()
            try:
                self._fill(response, kind, getattr(request, kind))
            except Exception as bug:  # noqa: BLE001 - told, answered, and the end of this process
                tell(_log, "abci-request-failed", kind=kind, error=bug, trace=bug)
                response = Response()
                response.exception.error = str(bug)
                write_frame(stream, response.SerializeToString())
                stream.flush()
                self._fatal(f"{kind}: {bug}")
                return
            write_frame(stream, response.SerializeToString())
            if kind == "flush":
                stream.flush()

    def _fill(self, response: Any, kind: str, message: Any) -> None:
        handler = self._handlers.get(kind)
        if kind == "echo":
            response.echo.message = message.message
        elif handler is None:
            getattr(response, kind).SetInParent()
        else:
            getattr(response, kind).CopyFrom(handler(message))
            getattr(response, kind).SetInParent()
