# SPDX-License-Identifier: Apache-2.0
"""`/metrics`, `/healthz` and `/readyz` on an address of their own, for the operator alone.

Apart from the public server in every way: another socket, another thread, no event loop. So
strangers cannot read it, and it still answers when they keep the public server busy.
"""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from typing import Final, Self

from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.metrics.prometheus import CONTENT_TYPE, Metrics

_SILENCE_S: Final = 5.0

Details = Mapping[str, object]


class MetricsServer:
    """Serves from `with` to its end. Port 0 takes any free one; `url` says which.

    `details` are further members of what `/readyz` answers.
    """

    def __init__(
        self,
        address: tuple[str, int],
        metrics: Metrics,
        check_ready: Callable[[], object],
        details: Callable[[], Details] = dict,
    ) -> None:
        host = address[0]
        try:
            self._server = _server_class(host)(
                address, handler_class(metrics, check_ready, details)
            )
        except OSError as error:
            raise Misconfigured(
                f"cannot listen on {host}:{address[1]} for metrics: {error.strerror}; choose "
                "another metrics_listen"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="fieldpost-metrics", daemon=True
        )

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The end."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _server_class(host: str) -> type[ThreadingHTTPServer]:
    if ":" not in host:
        return ThreadingHTTPServer
    return type("Server6", (ThreadingHTTPServer,), {"address_family": AF_INET6})


def handler_class(
    metrics: Metrics, check_ready: Callable[[], object], details: Callable[[], Details]
) -> type[BaseHTTPRequestHandler]:
    """What answers one connection; see MetricsServer."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _SILENCE_S  # of the socket, so that a silent scraper holds no thread

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    self._answer(200, CONTENT_TYPE, metrics.render())
                case "/healthz":
                    self._answer(200, "text/plain", "ok\n")
                case "/readyz":
                    self._answer(*_readiness(check_ready, details))
                case _:
                    self._answer(404, "text/plain", "/metrics, /healthz or /readyz\n")

        def _answer(self, status: int, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not worth a line."""

    return Handler


def _readiness(
    check_ready: Callable[[], object], details: Callable[[], Details]
) -> tuple[int, str, str]:
    status, said = 200, dict[str, object](ready=True)
    try:
        check_ready()
    except Unavailable as error:
        status, said = 503, {"ready": False, "why": str(error)}
    return status, "application/json", json.dumps(said | dict(details())) + "\n"
