# SPDX-License-Identifier: Apache-2.0
"""Where a handler finds the use cases."""

from starlette.requests import Request

from fieldpost.fleet.service import FleetService
from fieldpost.node.config import Limits
from fieldpost.node.fast import FastAnswers
from fieldpost.node.service import NodeService


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


def limits_of(request: Request) -> Limits:
    """The limits of the application."""
    limits = request.app.state.limits
    assert isinstance(limits, Limits)
    return limits
