# SPDX-License-Identifier: Apache-2.0
"""One HTTP/1.1 connection on which the other side cannot take more time or bytes than allowed.

The standard library's timeout holds for each read alone, so a peer that sends a byte now and then
holds a client for ever, and trailers of a chunked answer are read without end. Here every read and
write takes its time from one deadline and its bytes from one allowance. Looking up a host name is
the exception: the system's resolver has its own limits.
"""

import http.client
import io
import socket
import ssl
import time
from typing import Final

HEADER_BYTES: Final = 65_536


class Allowance:
    """What one exchange may still take: seconds in all, seconds of silence, bytes received."""

    def __init__(self) -> None:
        self._deadline = 0.0
        self._silence_s = 0.0
        self._bytes = 0

    def start(self, *, total_s: float, silence_s: float) -> None:
        """Begin an exchange: so far only its header may come."""
        self._deadline = time.monotonic() + total_s
        self._silence_s = silence_s
        self._bytes = HEADER_BYTES

    def expect_body(self, most_bytes: int) -> None:
        """Let a body come. Chunked coding may cost several bytes for each of the body's."""
        self._bytes = 8 * most_bytes + HEADER_BYTES

    def seconds(self) -> float:
        """How long the next read or write may wait. Raises TimeoutError when time is up."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        return min(left, self._silence_s)

    def take(self, count: int) -> None:
        """Count received bytes. Raises OSError when they are too many."""
        self._bytes -= count
        if self._bytes < 0:
            raise OSError("the answer is larger than allowed")


class _Reader(io.RawIOBase):
    """The receiving side of a socket, under an allowance."""

    def __init__(self, sock: socket.socket, allowance: Allowance) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        self._sock.settimeout(self._allowance.seconds())
        count = self._raw.readinto(buffer)
        self._allowance.take(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Socket:
    """As much of a socket as `http.client` uses once it is connected."""

    def __init__(self, sock: socket.socket, allowance: Allowance) -> None:
        self._sock = sock
        self._allowance = allowance

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._allowance))

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._allowance.seconds())
        self._sock.sendall(data)

    def close(self) -> None:
        self._sock.close()


def connect(
    *, host: str, port: int, tls: ssl.SSLContext | None, allowance: Allowance, most_s: float
) -> http.client.HTTPConnection:
    """A connection, made within `most_s` seconds. Raises OSError (ssl.SSLError included)."""
    seconds = min(allowance.seconds(), most_s)
    connection = (
        http.client.HTTPConnection(host, port, timeout=seconds)
        if tls is None
        else http.client.HTTPSConnection(host, port, timeout=seconds, context=tls)
    )
    connection.connect()
    connection.sock = _Socket(connection.sock, allowance)
    # A lost connection is made anew by us, under a fresh allowance, and never silently.
    connection.auto_open = 0
    return connection
