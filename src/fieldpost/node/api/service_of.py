# SPDX-License-Identifier: Apache-2.0
"""Where a handler finds the use cases."""

from starlette.requests import Request

from fieldpost.fleet.service import FleetService
from fieldpost.node.config import Limits
from fieldpost.node.fast import FastAnswers
from fieldpost.node.service import NodeService
from fieldpost.node.taking import ShortWay, Taker


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
