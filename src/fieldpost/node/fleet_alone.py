# SPDX-License-Identifier: Apache-2.0
"""A fleet service without a node: its own process and database, somebody else's board."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette

from fieldpost.client.transport import HttpClient
from fieldpost.durable import make_dirs
from fieldpost.engines.quick_yes import find_quick_yes
from fieldpost.engines.verifiers import Verifiers
from fieldpost.fleet.board_lots import BoardLots
from fieldpost.fleet.service import FleetService
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.app import build_fleet
from fieldpost.node.config import Limits


@dataclass(frozen=True, slots=True)
class FleetAlone:
    """A fleet service, ready to be served."""

    app: Starlette
    metrics: Metrics
    board: str
    limits: Limits


@contextmanager
def open_fleet(
    *, board_urls: Sequence[str], provisioning: bytes, data: Path, clock: Callable[[], int]
) -> Iterator[FleetAlone]:
    """Open the fleet's data; close it at the end. Raises Misconfigured, Unavailable.

    The board need not answer yet: only new lots need it.
    """
    with ExitStack() as stack:
        make_dirs(data)
        nodes = [stack.enter_context(HttpClient(url)) for url in board_urls]
        belief = data / "belief.cbor"
        lots = BoardLots(*nodes, provisioning=provisioning, belief=belief, clock=clock)
        verifiers = Verifiers(quick_yes=find_quick_yes())
        stack.callback(verifiers.close)
        fleet = FleetService(
            data / "fleet.db",
            board=lots.board,
            lots=lots,
            clock=clock,
            verify=lambda checks: verifiers.verify(checks).result(),
        )
        stack.callback(fleet.close)
        limits = Limits()
        metrics = Metrics()
        app = build_fleet(
            fleet=fleet, limits=limits, metrics=metrics, check_ready=lambda: None, data=data
        )
        yield FleetAlone(app, metrics, lots.board, limits)
