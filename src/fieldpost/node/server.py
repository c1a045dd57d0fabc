# SPDX-License-Identifier: Apache-2.0
"""Serving an application: uvicorn on uvloop and httptools, from the ready line to a calm end.

SIGHUP loads the certificate again; so does a look at its files every minute.
SIGTERM and SIGINT stop accepting, let running requests finish for `drain_s` seconds, and return,
so that the caller can close what it opened. Nothing that was acknowledged depends on that end:
every acknowledgement follows its fsync.
"""

import asyncio
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

from fieldpost.errors import Misconfigured
from fieldpost.journal import tell
from fieldpost.node.bodies import Bodies, releasing
from fieldpost.node.config import Limits
from fieldpost.node.crowd import Crowd
from fieldpost.node.gate import Gate
from fieldpost.node.protocol import limited_protocol
from fieldpost.node.service_manager import READY, STOPPING, notify
from fieldpost.node.tls import Certificate
from fieldpost.node.unsent import Unsent

_log = logging.getLogger(__name__)
_OTHER_FILES: Final = 512
"""Files that a node opens beside its connections: log, databases, blobs, files being sent."""
_LOOK_S: Final = 60.0


def check_free(listen: Sequence[tuple[str, int]]) -> None:
    """Check that these addresses can be served at now. Raises Misconfigured.

    For whoever is about to make something for ever that a taken port should not leave behind.
    """
    for bound in _listen(listen):
        bound.close()


class Server:
    """Listening sockets and the application behind them. `urls` are known before it serves."""

    def __init__(
        self,
        app: Starlette,
        *,
        listen: Sequence[tuple[str, int]],
        limits: Limits,
        certificate: Certificate | None = None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._sockets = _listen(listen)
        scheme = "http" if certificate is None else "https"
        self.urls = [
            f"{scheme}://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
            for (host, _), bound in zip(listen, self._sockets, strict=True)
        ]
        # Anybody can make uvicorn warn, once for every few bytes that are no HTTP.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        config = server_config(
            app, limits, places=_take_places(limits.connections), certificate=certificate
        )
        self._server = _ReadyServer(config, on_ready, certificate)

    @property
    def url(self) -> str:
        """The first address."""
        return self.urls[0]

    def run(self) -> None:
        """Serve until `stop` or, in the main thread, SIGTERM or SIGINT. Then return."""
        restore = _take_signals()
        try:
            self._server.run(sockets=self._sockets)
        finally:
            restore()
            for bound in self._sockets:
                bound.close()

    def stop(self) -> None:
        """Ask for the end, from any thread."""
        self._server.should_exit = True


def server_config(
    app: Starlette, limits: Limits, *, places: int, certificate: Certificate | None = None
) -> uvicorn.Config:
    """How an application is served: by our protocol, for at most `places` connections."""
    return uvicorn.Config(
        releasing(app),
        loop="uvloop",
        http=limited_protocol(
            limits,
            gate=getattr(app.state, "gate", None) or Gate.build(limits, ()),
            crowd=Crowd(most=places, most_per_client=limits.client_connections),
            unsent=getattr(app.state, "unsent", None) or Unsent(limits),
            bodies=getattr(app.state, "bodies", None) or Bodies(limits),
            fast=getattr(app.state, "fast", None),
            short=getattr(app.state, "short", None),
        ),
        # Who forwards for whom is the gate's business.
        proxy_headers=False,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=limits.drain_s,
        backlog=2_048,
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
    )


class _ReadyServer(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        certificate: Certificate | None,
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._certificate = certificate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)
        self._look_later()
        self._on_ready()
        notify(READY)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify(STOPPING)
        await super().shutdown(sockets)

    def _hang_up(self) -> None:
        # A terminal that was closed ends what ran in it; to a service it says: look at your files.
        if sys.stdin is not None and sys.stdin.isatty():
            self.should_exit = True
        elif self._certificate is not None:
            self._certificate.renew()

    def _look_later(self) -> None:
        if self._certificate is not None:
            self._certificate.renew_if_changed()
            asyncio.get_running_loop().call_later(_LOOK_S, self._look_later)


def _listen(addresses: Sequence[tuple[str, int]]) -> list[socket.socket]:
    bound: list[socket.socket] = []
    for host, port in addresses:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            bound.append(socket.create_server((host, port), family=family, backlog=2_048))
        except OSError as error:
            for other in bound:
                other.close()
            # Python adds the address, which stands here already.
            reason = (error.strerror or str(error)).partition(" (while ")[0]
            if isinstance(error, PermissionError) and port < 1_024:
                reason += " for ports below 1024 (deploy/systemd/low-port.conf)"
            raise Misconfigured(
                f"cannot listen on {host}:{port}: {reason}; choose another --listen"
            ) from error
    return bound


def _take_places(wanted: int) -> int:
    """How many connections there may be: as many as wanted, if the system lets us open them.

    A node that cannot open another file accepts nobody, and writes nothing either.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        enough = min(enough, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
        soft = enough
    if soft == resource.RLIM_INFINITY or soft - _OTHER_FILES >= wanted:
        return wanted
    places = max(16, soft - _OTHER_FILES)
    tell(_log, "few-connections", connections=places, wanted=wanted)
    return places


def _take_signals() -> Callable[[], None]:
    """Let uvicorn's own end of a signal lead back to us.

    uvicorn raises a signal again after it has stopped, for whoever was there before; the default
    would end the process before data is closed.
    """
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    taken: dict[signal.Signals, Any] = {
        number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)
    }

    def restore() -> None:
        for number, handler in taken.items():
            signal.signal(number, handler)

    return restore
