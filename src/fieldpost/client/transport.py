# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 on the standard library, with a limit on every byte count and time.

    with HttpClient("http://board.example", timeout_s=10) as http:
        bundle = http.fetch("/v1/checkin/…", accept="application/vnd.fieldpost.checkin+cbor")

Nothing that comes over it is trusted for having come over it. Failures of network and server are
Unavailable (with `retry_after_s` where the other side said so); problem documents become the error
family that they name. Redirects are not followed, proxies of the environment are not used. The
connection is kept alive. One client belongs to one thread.
"""

import http.client
import ssl
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from fieldpost.client.answers import Response, check_head, error_of, parse_count
from fieldpost.client.wire import Allowance, connect
from fieldpost.errors import Malformed, Misconfigured, Unavailable

MIB: Final = 1024 * 1024
_ERROR_BYTES: Final = 65_536
_CHUNK_BYTES: Final = 262_144
# Who must act about a certificate, by OpenSSL's number of what is wrong with it.
_NOT_YET, _ENDED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
_ANOTHER: Final = "write the URL with a name that it is for, or its operator must get one for this"
_WHAT_TO_DO: Final = {
    _NOT_YET: "set this machine's clock if it is behind, else its operator must set theirs",
    _ENDED: "its operator must renew it, unless this machine's clock is ahead",
    _OTHER_NAME: _ANOTHER,
    _OTHER_ADDRESS: _ANOTHER,
}
_UNKNOWN_ISSUER: Final = "its operator must renew it, or SSL_CERT_FILE must name who issued it"
# How OpenSSL calls an answer that is not in TLS at all.
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
_STALE: Final = (
    http.client.RemoteDisconnected,
    http.client.CannotSendRequest,
    ConnectionResetError,
    BrokenPipeError,
    ConnectionAbortedError,
)


@dataclass(frozen=True, slots=True)
class Download:
    """A body on its way: where its first byte belongs, how large the whole is, and its chunks.

    `start` is 0 where the server ignored the wish to resume. `total` is None if unknown. The
    chunks raise Unavailable if the body ends early or grows beyond the limit.
    """

    start: int
    total: int | None
    chunks: Iterator[bytes]


def split_url(url: str) -> tuple[str, str]:
    """Split an http(s) URL into the base that `HttpClient` takes and the path. Raises Malformed."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.username
    except ValueError as error:
        raise Malformed(f"{url!r} is no URL: {error}") from error
    if not good or any(not "!" <= letter <= "~" for letter in url):
        raise Malformed(f"{url!r} is no http or https URL")
    path = parts.path or "/"
    return f"{parts.scheme}://{parts.netloc}", path + (f"?{parts.query}" if parts.query else "")


class HttpClient:
    """Requests to one base URL. Times in seconds.

    `timeout_s` is how long the other side may be silent, `total_s` how long one exchange may take
    (streams have their own), `connect_s` how long a connection (a machine that is gone answers
    nothing at all), `most_bytes` the largest body unless a call says otherwise.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 10.0,
        total_s: float = 60.0,
        connect_s: float = 10.0,
        most_bytes: int = MIB,
        user_agent: str = "fieldpost",
    ) -> None:
        try:
            base, self._prefix = split_url(base_url.rstrip("/"))
        except Malformed as error:
            raise Misconfigured(f"{error}; write for example http://board.example:8080") from error
        if "?" in self._prefix or "#" in base_url:
            raise Misconfigured(f"{base_url!r} has a query or fragment; a board's URL has none")
        self._prefix = self._prefix.rstrip("/")
        parts = urlsplit(base)
        try:
            self._port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError as error:
            raise Misconfigured(f"{base_url!r}: {error}") from error
        self.base_url = base + self._prefix
        self._host = parts.hostname or ""
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._timeout_s = timeout_s
        self._total_s = total_s
        self._connect_s = connect_s
        self._most_bytes = most_bytes
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._allowance = Allowance()
        self._connection: http.client.HTTPConnection | None = None
        self._answer: http.client.HTTPResponse | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back. The next request makes a new one."""
        if self._answer is not None:
            # One without a length holds the socket by itself, and a liar's never ends.
            self._answer.close()
            self._answer = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def fetch(
        self,
        path: str,
        *,
        accept: str | tuple[str, ...] = (),
        most_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """GET: the body. Raises as `send`."""
        return self.send("GET", path, accept=accept, most_bytes=most_bytes, headers=headers).body

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        content_type: str | None = None,
        accept: str | tuple[str, ...] = (),
        most_bytes: int | None = None,
        headers: Mapping[str, str] | None = None,
        admit: Collection[int] = (),
    ) -> Response:
        """One exchange; returns an answer of status 2xx, 304, or one that `admit` names.

        `accept` names the only content types that a body may have; without it any but HTML.
        Raises the error family that a problem document names, Unavailable for everything else.
        """
        most = self._most_bytes if most_bytes is None else most_bytes
        admitted = (accept,) if isinstance(accept, str) else accept
        asked = dict(headers or {})
        if content_type is not None:
            asked["Content-Type"] = content_type
        if admitted:
            asked["Accept"] = ", ".join(admitted)
        with self._network_errors():
            answer, found = self._exchange(method, path, body, asked, self._total_s)
            check_head(answer.status, found, admitted)
            failed = answer.status >= 400
            data = b"".join(self._read(answer, _ERROR_BYTES if failed else most))
        if failed and answer.status not in admit:
            raise error_of(answer.status, found, data)
        return Response(answer.status, found, data)

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        offset: int = 0,
        most_bytes: int,
        total_s: float = 3600.0,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Download]:
        """GET a large body from `offset` on, in chunks of at most 64 KiB.

        `most_bytes` limits the whole thing, what came before included. Raises as `send`.
        """
        asked = dict(headers or {})
        if offset:
            asked["Range"] = f"bytes={offset}-"
        with self._network_errors():
            answer, found = self._exchange("GET", path, None, asked, total_s)
            check_head(answer.status, found, ())
            if answer.status >= 400:
                data = b"".join(self._read(answer, _ERROR_BYTES))
                raise error_of(answer.status, found, data)
            start, total = _place(answer.status, found, offset)
            left = most_bytes - start
            if left < 0 or (total is not None and total > most_bytes):
                raise Unavailable(f"the server offers {total} bytes where {most_bytes} are allowed")
        try:
            yield Download(start, total, self._guarded(self._read(answer, left)))
        finally:
            if not answer.isclosed():
                self.close()

    def _guarded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        with self._network_errors():
            yield from chunks

    @contextmanager
    def _network_errors(self) -> Iterator[None]:
        """Whatever breaks, the connection is not used again; the reason becomes Unavailable."""
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            self.close()
            reason = error.verify_message.rstrip(".")
            advice = _WHAT_TO_DO.get(error.verify_code, _UNKNOWN_ISSUER)
            raise Unavailable(
                f"{self.base_url}: its certificate is not accepted: {reason}; {advice}"
            ) from error
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            # UnicodeError: a host name that has no form on the wire, as one with an empty label.
            self.close()
            reason = str(error) or type(error).__name__
            if isinstance(error, TimeoutError):
                reason = "it took too long"
            elif isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
                reason = "it speaks no TLS; write http://"
            raise Unavailable(f"{self.base_url} cannot be reached: {reason}") from error
        except BaseException:
            # Something of the answer may be left on the wire.
            self.close()
            raise

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        total_s: float,
    ) -> tuple[http.client.HTTPResponse, dict[str, str]]:
        reused = self._connection is not None
        try:
            return self._ask(method, path, body, headers, total_s)
        except _STALE:
            # A server may end an idle connection at any time. Every request of this protocol may
            # be sent twice: posts and reports by their bytes, uploads by their offset.
            self.close()
            if not reused:
                raise
            return self._ask(method, path, body, headers, total_s)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        total_s: float,
    ) -> tuple[http.client.HTTPResponse, dict[str, str]]:
        self._allowance.start(total_s=total_s, silence_s=self._timeout_s)
        if self._connection is None:
            self._connection = connect(
                host=self._host,
                port=self._port,
                tls=self._tls,
                allowance=self._allowance,
                most_s=self._connect_s,
            )
        try:
            self._connection.request(
                method, self._prefix + path, body=body, headers={**self._headers, **headers}
            )
        except http.client.NotConnected as error:
            raise ConnectionResetError("the connection was closed") from error
        answer = self._answer = self._connection.getresponse()
        return answer, {name.lower(): value for name, value in answer.getheaders()}

    def _read(self, answer: http.client.HTTPResponse, most: int) -> Iterator[bytes]:
        """The body in chunks. Raises Unavailable over `most` bytes and for an early end."""
        self._allowance.expect_body(most)
        if answer.length is not None and answer.length > most:
            raise Unavailable(f"the answer has {answer.length} bytes where {most} are allowed")
        announced = answer.length
        count = 0
        while chunk := answer.read1(_CHUNK_BYTES):
            count += len(chunk)
            if count > most:
                raise Unavailable(f"the answer has more than the {most} bytes that are allowed")
            yield chunk
        if announced is not None and count != announced:
            raise Unavailable(f"the answer ended after {count} of {announced} bytes")
        # Frees the connection for the next request; http.client does so only for `read`.
        answer.close()


def _place(status: int, headers: Mapping[str, str], offset: int) -> tuple[int, int | None]:
    """Where an answer's first byte belongs, and the size of the whole."""
    if status != 206:
        return 0, parse_count(headers.get("content-length", ""))
    unit, _, value = headers.get("content-range", "").partition(" ")
    span, _, total = value.partition("/")
    if unit.lower() != "bytes" or parse_count(span.partition("-")[0]) != offset:
        raise Unavailable("the server sent another range than was asked for")
    return offset, parse_count(total)
