# SPDX-License-Identifier: Apache-2.0
"""Putting a node together: engine, stores, fleet and the application over them.

    with open_node(config, clock=…) as node: Server(node.app, …).run()

A fleet service alone has an application of its own, with the same routes for what it serves.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from fieldpost.engines.base import Engine
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft.light import LightData
from fieldpost.engines.operator_keys import own_name
from fieldpost.engines.quick_yes import find_quick_yes
from fieldpost.engines.recovery import Watch
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import FieldpostError, Unavailable
from fieldpost.fleet.service import FleetService
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node import views
from fieldpost.node.api import (
    blobs,
    board,
    checkin,
    classes,
    cosignatures,
    health,
    light,
    log,
    lots,
    makers,
    manifests,
    posts,
    problems,
    reports,
)
from fieldpost.node.bodies import Bodies
from fieldpost.node.callers import Callers, Requests
from fieldpost.node.comet_vitals import announce_cometbft
from fieldpost.node.config import COMETBFT, LOOPBACK, Limits, NodeConfig
from fieldpost.node.following import Follower, FollowRequests
from fieldpost.node.gate import Gate, LimitRates
from fieldpost.node.lots import NodeLots
from fieldpost.node.posting import PostDesk
from fieldpost.node.read_only import ReadOnly
from fieldpost.node.readiness import Readiness
from fieldpost.node.report_relay import ReportRelay
from fieldpost.node.reporting import ReportDesk
from fieldpost.node.service import NodeService
from fieldpost.node.spool import Spool
from fieldpost.node.start import open_engine
from fieldpost.node.taking import ShortWay, Taker
from fieldpost.node.unsent import Unsent
from fieldpost.node.vitals import (
    announce_board,
    announce_held,
    announce_process,
    announce_reserve,
    announce_witnesses,
)
from fieldpost.node.witness_thread import WitnessState
from fieldpost.node.witnesses import Witnesses, load_addresses
from fieldpost.store.blobs import FileBlobs

BOARD_NOUNS = (log, posts, checkin, manifests, blobs, board, cosignatures, makers, classes)
FLEET_NOUNS = (lots, reports)


@dataclass(frozen=True, slots=True)
class Node:
    """A running node. `labels` says solo and trial, empty for neither."""

    app: Starlette
    metrics: Metrics
    check_ready: Callable[[], None]
    board: str
    labels: str
    witnesses: Callable[[], Sequence[WitnessState]]

    def details(self) -> Mapping[str, object]:
        """What `/readyz` says besides, to the operator alone."""
        return {"witnesses": [asdict(state) for state in self.witnesses()]}


@contextmanager
def open_node(
    config: NodeConfig, *, clock: Callable[[], int], watch: Watch | None = None
) -> Iterator[Node]:
    """Open a node's data, or make a board at the first start; close everything at the end.

    `watch` follows a rebuild of state.db.

    Raises Misconfigured and Unavailable with what to do.
    """
    with ExitStack() as stack:
        engine = open_engine(config, clock=clock, watch=watch)
        stack.callback(engine.close)
        addresses = load_addresses(config.witness_policy)
        witnesses = Witnesses(engine.cosignable, config.data / "log", addresses)
        stack.callback(witnesses.close)
        metrics = Metrics()
        if config.engine == COMETBFT:
            stack.callback(announce_cometbft(metrics, config.cometbft.rpc_listen))
        announce_witnesses(metrics, witnesses, clock)
        announce_reserve(metrics, engine.reserve)
        service = NodeService(
            engine=engine,
            blobs=FileBlobs(config.data / "blobs"),
            log=config.data / "log",
            catalog=config.data / "catalog.db",
            limits=config.limits,
            metrics=metrics,
            clock=clock,
            witnesses=witnesses.states,
            further_lines=witnesses.further_lines,
        )
        stack.callback(service.close)
        verifiers = Verifiers(quick_yes=find_quick_yes())
        stack.callback(verifiers.close)
        fleet = FleetService(
            config.data / "fleet.db",
            board=engine.board,
            lots=NodeLots(service),
            clock=clock,
            verify=lambda checks: verifiers.verify(checks).result(),
        )
        stack.callback(fleet.close)
        relay = ReportRelay(partial(_other_operators, config.data, engine))
        stack.callback(relay.close)
        app = build(
            service=service,
            fleet=fleet,
            engine=engine,
            metrics=metrics,
            data=config.data,
            clock=clock,
            pass_on=relay.pass_on if config.engine == COMETBFT else None,
            check_room=engine.reserve.check_whole,
            trusted_proxies=config.trusted_proxies,
            log_requests=config.log.access,
        )
        if config.engine == COMETBFT:
            app.router.routes.extend(light.routes(LightData(config.cometbft.rpc_listen).answer))
        try:
            labels = views.board_labels(engine.board, views.board_record(engine.published()))
        except Unavailable:
            labels = ""  # operators of a replicated board wait for each other
        yield Node(app, metrics, app.state.check_ready, engine.board, labels, witnesses.states)


def _other_operators(data: Path, engine: Engine) -> dict[str, tuple[str, ...]]:
    """The URLs of every operator of the board but this one."""
    record = views.board_record(engine.published())
    own = own_name(keys_directory(data), record)
    return {one.name: one.urls for one in record.operators if one.name != own and one.urls}


def build(
    *,
    service: NodeService,
    fleet: FleetService,
    engine: Engine,
    metrics: Metrics,
    data: Path,
    clock: Callable[[], int],
    pass_on: Callable[[bytes], None] | None = None,
    check_room: Callable[[], None] = lambda: None,
    trusted_proxies: tuple[str, ...] = LOOPBACK,
    log_requests: bool = False,
) -> Starlette:
    """The application of a whole node over `data`; `pass_on` gets the reports of devices.

    `check_room` raises DiskFull while none of them is to be stored.
    """
    readiness = Readiness(engine, data, clock=clock, uptime=time.monotonic)
    announce_board(metrics, service, engine, readiness)
    app = _application(
        [route for noun in (*BOARD_NOUNS, *FLEET_NOUNS) for route in noun.routes],
        fleet=fleet,
        limits=service.limits,
        metrics=metrics,
        check_ready=readiness.check,
        data=data,
        takers={posts.PATH.encode(): PostDesk(service)},
        pass_on=pass_on,
        check_room=check_room,
        trusted_proxies=trusted_proxies,
        log_requests=log_requests,
    )
    app.state.node = service
    app.state.fast = service.fast
    return app


def build_mirror(
    *,
    service: NodeService,
    engine: Engine,
    metrics: Metrics,
    data: Path,
    clock: Callable[[], int],
    describe: Callable[[], str],
    elsewhere: str,
) -> Starlette:
    """The application of a copy of a board: everything to read, and no fleet.

    What would be written is answered with `elsewhere`; `describe` says how far behind it is.
    """
    readiness = Readiness(engine, data, clock=clock, uptime=time.monotonic)
    announce_board(metrics, service, engine, readiness)

    def check_ready() -> str:
        readiness.check()
        return describe()

    app = _application(
        [route for noun in BOARD_NOUNS for route in noun.routes],
        fleet=None,
        limits=service.limits,
        metrics=metrics,
        check_ready=check_ready,
        data=data,
        takers={posts.PATH.encode(): PostDesk(service)},
        further=[Middleware(ReadOnly, elsewhere=elsewhere)],
    )
    app.state.node = service
    app.state.fast = service.fast
    return app


def build_fleet(
    *,
    fleet: FleetService,
    limits: Limits,
    metrics: Metrics,
    check_ready: Callable[[], None],
    data: Path,
) -> Starlette:
    """The application of a fleet service alone over `data`."""
    routes = [route for noun in FLEET_NOUNS for route in noun.routes]
    return _application(
        routes, fleet=fleet, limits=limits, metrics=metrics, check_ready=check_ready, data=data
    )


def _application(
    routes: list[Route],
    *,
    fleet: FleetService | None,
    limits: Limits,
    metrics: Metrics,
    check_ready: Callable[[], str | None],
    data: Path,
    takers: Mapping[bytes, Taker] | None = None,
    pass_on: Callable[[bytes], None] | None = None,
    check_room: Callable[[], None] = lambda: None,
    trusted_proxies: tuple[str, ...] = LOOPBACK,
    log_requests: bool = False,
    further: Sequence[Middleware] = (),
) -> Starlette:
    gate = Gate.build(limits, trusted_proxies)
    bodies, unsent = Bodies(limits), Unsent(limits)
    callers = Callers()
    requests = Requests(metrics, callers)
    announce_process(metrics)
    announce_held(metrics, bodies, unsent)
    metrics.counter("fieldpost_requests_total", "Requests that the application answered.")
    metrics.table(
        "fieldpost_requests_by_network",
        "Who asked the application most since the start, by network; counts are estimates.",
        "network",
        callers.busiest,
    )
    follower = Follower(
        requests=requests,
        observe=metrics.histogram(
            "fieldpost_request_seconds",
            "From a request's header to its whole answer; other operators may ask to wait 1 s.",
        ),
        log_requests=log_requests,
    )
    app = Starlette(
        middleware=[
            Middleware(FollowRequests, follower=follower),
            Middleware(LimitRates, gate=gate),
            *further,
        ],
        routes=[*routes, *health.routes, *problems.routes],
        exception_handlers={
            FieldpostError: problems.answer_error,
            HTTPException: problems.answer_http_error,
            Exception: problems.answer_bug,
        },
    )
    desks = dict(takers or {})
    if fleet is not None:
        app.state.fleet = fleet
        app.state.spool = Spool(data / "leaves", limits)
        desks[reports.PATH.encode()] = ReportDesk(
            fleet, limits, pass_on=pass_on, check_room=check_room
        )
    app.state.short = ShortWay(desks, follower)
    app.state.gate = gate
    app.state.bodies = bodies
    app.state.unsent = unsent
    app.state.limits = limits
    app.state.check_ready = check_ready
    return app
