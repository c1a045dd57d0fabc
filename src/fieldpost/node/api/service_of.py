# SPDX-License-Identifier: Apache-2.0
"""Where a handler finds the use cases."""

from starlette.requests import Request

from fieldpost.fleet.service import FleetService
from fieldpost.node.clients import OWN
from fieldpost.node.config import Limits
from fieldpost.node.fast import FastAnswers
from fieldpost.node.gate import Gate
from fieldpost.node.service import NodeService
from fieldpost.node.spool import Spool
from fieldpost.node.taking import ShortWay, Taker
from fieldpost.node.unsent import Unsent


def service_of(request: Request) -> NodeService:
    """The node behind the application that serves this request."""
    service = request.app.state.node
    assert isinstance(service, NodeService)
    return service


def fleet_of(request: Request) -> FleetService:
    """The fleet service behind the application, in a node or alone."""
    fleet = request.app.state.fleet
    assert isinstance(fleet, FleetService)
    return fleet


def fast_of(request: Request) -> FastAnswers:
    """Where answers may be left for the protocol to give."""
    fast = request.app.state.fast
    assert isinstance(fast, FastAnswers)
    return fast


def taker_of(request: Request, path: str) -> Taker:
    """What takes bodies at a path, here and in the protocol."""
    short = request.app.state.short
    assert isinstance(short, ShortWay)
    return short.takers[path.encode()]


def limits_of(request: Request) -> Limits:
    """The limits of the application."""
    limits = request.app.state.limits
    assert isinstance(limits, Limits)
    return limits


def spool_of(request: Request) -> Spool:
    """Where long bodies wait on the disk."""
    spool = request.app.state.spool
    assert isinstance(spool, Spool)
    return spool


def unsent_of(request: Request) -> Unsent:
    """What waits to be sent by the server of this application."""
    unsent = request.app.state.unsent
    assert isinstance(unsent, Unsent)
    return unsent


def client_of(request: Request) -> str:
    """Who is charged for this request; OWN for whoever is not limited."""
    gate = request.app.state.gate
    assert isinstance(gate, Gate)
    return gate.clients.of(request.client.host if request.client else OWN)
