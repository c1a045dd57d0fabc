# SPDX-License-Identifier: Apache-2.0
"""Whatever is asked of a server, it answers as documented and never with a fault of its own.

`make fuzz ARGS="mutations --only endpoint"` asks 100,000 changed requests of each endpoint.
"""

import logging
from collections import Counter

import pytest
from starlette.requests import Request as Asked
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.errors import NotFound
from fieldpost.node.api import lots
from tests.fuzz import bounds, endpoints, private_address
from tests.fuzz.campaign import Fault
from tests.fuzz.endpoints import ENDPOINTS, PREFIX, Fed, opened
from tests.fuzz.services import SERVICES, Service, endpoint

COUNT = 40


def of(service: str) -> list[str]:
    return [name for name, own in ENDPOINTS.items() if own == service]


@pytest.mark.parametrize("name", SERVICES)
def test_every_endpoint_of_a_server_is_fed_with_requests_that_are_true(name: str) -> None:
    """A new route fails here until tests/fuzz/services.py has a request for it."""

    async def ask_all(service: Service) -> None:
        fed = Fed(service)
        for one, requests in service.requests.items():
            status = await fed.feed(f"{PREFIX} {name} {one}", requests[0])
            # A mirror takes nothing in, and nobody answers behind an operator's /v1/light.
            takes = name != "operator" and not service.elsewhere(requests[0].method)
            assert status < 400 if takes else status == 503, one

    with opened(name) as (service, run):
        served = {endpoint(route) for route in service.routes}
        fed = {one.removeprefix(f"{PREFIX} {name} ") for one in of(name)}
        assert fed == set(service.requests)
        assert fed == served or name == "operator"
        run(ask_all(service))


@pytest.mark.parametrize("name", SERVICES)
def test_changed_requests_get_documented_answers(name: str) -> None:
    statuses: Counter[int] = Counter()

    async def change(service: Service) -> None:
        for one in of(name):
            statuses.update(await Fed(service).feed_mutations(one, COUNT))

    with opened(name) as (service, run):
        run(change(service))
    assert statuses.total() == COUNT * len(of(name))
    assert {400, 404} <= set(statuses), "changes reach further than routing"


def test_what_is_asked_again_leaves_nothing_in_memory() -> None:
    for name in ("node GET|HEAD /v1/checkin/{class_id}/{channel}", "witness POST /add-checkpoint"):
        assert endpoints.check_keeps_nothing(f"{PREFIX} {name}", 150) <= bounds.KEPT_BYTES


@pytest.mark.parametrize("answer", ["fault", "undocumented", "bare", "hoard", "log"])
def test_a_handler_that_breaks_is_found(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """The control: each kind of fault that the campaign looks for, in a handler of the node."""
    hoard: list[bytes] = []

    async def broken(_request: Asked) -> Response:
        if answer == "fault":
            raise KeyError("a lot")
        if answer == "hoard":
            hoard.append(bytes(4_096))
            raise NotFound("a lot")
        if answer == "log":
            logging.getLogger("broken").error("it went wrong")
        return Response(b"no", 418 if answer == "undocumented" else 404)

    path = "/v1/lots/{lot}"
    monkeypatch.setattr(lots, "routes", [Route(path, broken), *lots.routes[1:]])

    async def meet(service: Service) -> None:
        name = f"{PREFIX} node GET|HEAD {path}"
        with pytest.raises(Fault, match=r"500|418|without a problem|the log says"):
            await Fed(service).feed(name, service.requests[f"GET|HEAD {path}"][0])

    if answer == "hoard":
        with pytest.raises(Fault, match="are kept"):
            endpoints.check_keeps_nothing(f"{PREFIX} node GET|HEAD {path}", 150)
    else:
        with opened("node") as (service, run):
            run(meet(service))


def test_the_private_address_answers_whatever_comes() -> None:
    """`/metrics`, `/healthz` and `/readyz` of nodes, witnesses, mirrors and monitors."""
    statuses = private_address.feed_mutations(400)
    assert {200, 400, 404} <= set(statuses)


def test_a_private_address_that_breaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a check that ends with an error of the program."""

    def broken_check() -> None:
        raise KeyError("nothing")

    monkeypatch.setattr(private_address, "check_ready", broken_check)
    with pytest.raises(Fault, match="KeyError"):
        private_address.feed_mutations(400)
