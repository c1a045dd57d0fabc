# SPDX-License-Identifier: Apache-2.0
"""The private address of every running program, fed with changed requests: its handler as it is.

The connection is one in memory; from the first byte on it is the code that a thread of
`fieldpost.metrics.server` runs. Whoever reads it is the operator, so HTTP's own errors of the
standard library (501 for a method, 505 for a version) are answers enough.
"""

import io
from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any, Final

from fieldpost.errors import Unavailable
from fieldpost.metrics.prometheus import Metrics
from fieldpost.metrics.server import handler_class
from tests.fuzz import seeds
from tests.fuzz.answers import read_statuses
from tests.fuzz.campaign import Fault
from tests.fuzz.requests import mutate_head, mutate_request, pieces_of
from tests.fuzz.true_requests import get

NAME: Final = "endpoint private GET /metrics, /healthz, /readyz"
_ANSWERS: Final = frozenset({200, 400, 404, 414, 431, 501, 503, 505})


def check_ready() -> None:
    """A program that is not ready says so."""
    raise Unavailable("the disk is full")


class _Connection(io.BytesIO):
    """The socket that a handler is given."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.written = b""

    def makefile(self, *_: Any) -> "_Connection":
        return self

    def settimeout(self, _seconds: float) -> None:
        """All bytes are here already."""

    def sendall(self, data: Any) -> None:
        self.written += bytes(data)


def feed_mutations(count: int, *, seed: int = 0) -> Counter[int]:
    """`count` changed requests; how often each status came, 0 for none. Raises Fault."""
    random, others = Random(f"{NAME} {seed}"), seeds.everything()
    kin = [request for path in ("/metrics", "/healthz", "/readyz") for request in get(path)]
    metrics = Metrics()
    metrics.counter("fieldpost_tried_total", "Requests that were tried.")
    handler = handler_class(
        metrics,
        lambda: check_ready(),  # noqa: PLW0108 - a test puts another in its place
        dict,
    )
    statuses: Counter[int] = Counter()
    for _ in range(count):
        request = mutate_request(random, random.choice(kin), kin, others)
        pieces = mutate_head(random, request) if random.random() < 0.3 else pieces_of(request)
        sent = b"".join(pieces)
        connection = _Connection(sent)
        server: Any = SimpleNamespace()
        try:
            handler(connection, ("127.0.0.1", 1), server)  # type: ignore[arg-type]
        except Exception as error:
            raise Fault(NAME, sent, f"{type(error).__name__}: {error}") from error
        found = read_statuses(connection.written)
        if not set(found) <= _ANSWERS:
            raise Fault(NAME, sent, f"answered {found}")
        statuses[found[0] if found else 0] += 1
    return statuses
