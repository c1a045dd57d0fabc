# SPDX-License-Identifier: Apache-2.0
"""Who may ask, and how often: one gate for the protocol's short way and the application's long one.

Every request costs one token of its client's bucket; a check-in or proof that lies ready costs a
tenth, so that a site with a thousand devices behind one address is no flood. A request that the
short way does not admit takes the long way, whose middleware answers 429.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from fieldpost.node.api.problems import TooOften, problem_response
from fieldpost.node.clients import OWN, Clients
from fieldpost.node.config import Limits
from fieldpost.node.rates import Rates

PREPARED_COST: Final = 0.1


@dataclass(frozen=True, slots=True)
class Gate:
    """The clients of a server, and the buckets of each."""

    clients: Clients
    rates: Rates

    @classmethod
    def build(cls, limits: Limits, trusted_proxies: tuple[str, ...]) -> "Gate":
        """A gate with these limits."""
        rates = Rates(
            per_s=limits.client_requests_per_s,
            burst=limits.client_burst,
            most_clients=limits.clients_known,
        )
        return cls(Clients(trusted_proxies), rates)

    def admits(self, client: str, cost: float, now: float) -> bool:
        """Whether a client may ask now, `now` in seconds of the event loop's clock."""
        return client == OWN or not self.rates.take(client, cost, now)


class LimitRates:
    """ASGI middleware: 429 with Retry-After for clients that ask too often."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            client = self._gate.clients.of(scope["client"][0] if scope["client"] else OWN)
            now = asyncio.get_running_loop().time()
            missing = 0.0 if client == OWN else self._gate.rates.take(client, 1.0, now)
            if missing:
                error = TooOften("this address asks too often", math.ceil(missing))
                await problem_response(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)
