# SPDX-License-Identifier: Apache-2.0
"""What is kept of bodies under way: counted while it is kept, and forgotten with it."""

import threading
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fieldpost.node.api.requests import stream_body
from fieldpost.node.bodies import Bodies, Body
from fieldpost.node.config import Limits
from fieldpost.node.exchange import Exchange
from fieldpost.node.protocol import LimitedProtocol
from fieldpost.node.room import Room
from fieldpost.node.server import Server
from fieldpost.node.setting import WrongSetting
from tests.unit.node.still_connection import Loop, connected
from tests.unit.node.test_known_headers import post, posting

WHOLE = post(bytes(100))


class Unasked(Bodies):
    """A room that nobody needs."""

    def hold(self, guest: Body, client: str, count: int) -> list[Body]:
        raise AssertionError(f"{count} bytes of {client} came whole with their header")


def take_room(protocol: LimitedProtocol, loop: Loop, *, most: int) -> None:
    """Somebody else sends ten bytes, of so many that there is room for."""
    bodies = protocol.bodies
    bodies._most = most
    other = Body(bodies, "198.51.100.7", lambda: None)
    protocol.let_leave(other.add(10))
    loop.turn()


def under_way(protocol: LimitedProtocol) -> Exchange:
    exchange: object = protocol.cycle
    assert isinstance(exchange, Exchange)
    return exchange


def test_bodies_that_come_whole_with_their_header_need_no_room() -> None:
    protocol, _, _, desk = posting()
    protocol.bodies = Unasked(Limits())
    for _ in range(3):
        protocol.data_received(WHOLE)
    assert len(desk.taken) == 3


@pytest.mark.parametrize("known", [False, True])
def test_what_came_of_a_body_is_counted_until_it_is_whole(known: bool) -> None:
    protocol, _, _, desk = posting()
    if known:
        protocol.data_received(WHOLE)
    for sent, held in ((WHOLE[:-60], 40), (WHOLE[-60:-10], 90), (WHOLE[-10:], 0)):
        protocol.data_received(sent)
        assert protocol.bodies.bytes_held == held
    assert desk.taken[-1] == bytes(100)
    assert protocol.bodies._of_client == {}


@pytest.mark.parametrize("known", [False, True])
def test_a_body_without_room_is_answered_when_to_come_again_and_its_rest_is_not_kept(
    known: bool,
) -> None:
    protocol, transport, loop, desk = posting()
    if known:
        protocol.data_received(WHOLE)
    protocol.data_received(WHOLE[:-10])
    exchange = under_way(protocol)
    take_room(protocol, loop, most=99)
    assert transport.written[-1].startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5\r\n" in transport.written[-1]
    assert b"connection: close\r\n" in transport.written[-1]
    assert transport.closing
    protocol.data_received(WHOLE[-10:-1])
    assert (bytes(exchange._body), protocol.bodies.bytes_held) == (b"", 10)
    protocol.data_received(WHOLE[-1:])
    assert len(desk.taken) == int(known)


def test_a_body_that_becomes_whole_before_it_leaves_is_taken() -> None:
    protocol, transport, loop, desk = posting()
    protocol.data_received(WHOLE[:-20])
    protocol.bodies._most = 79
    protocol.data_received(WHOLE[-20:-10])
    other = Body(protocol.bodies, "198.51.100.7", lambda: None)
    protocol.let_leave(other.add(1))
    protocol.data_received(WHOLE[-10:])
    loop.turn()
    assert desk.taken == [bytes(100)]
    assert [written[:12] for written in transport.written] == [b"HTTP/1.1 204"]
    assert not transport.closing
    assert protocol.bodies.bytes_held == 1


@pytest.mark.parametrize("known", [False, True])
def test_of_who_goes_away_nothing_is_kept(known: bool) -> None:
    """Else one connection after the other leaves a body, each for as long as a silence may be."""
    protocol, _, loop, _ = posting()
    if known:
        protocol.data_received(WHOLE)
    protocol.data_received(WHOLE[:-1])
    exchange, (_, _, timer) = under_way(protocol), loop.timers[-1]
    protocol.connection_lost(None)
    assert (bytes(exchange._body), protocol.bodies.bytes_held) == (b"", 0)
    assert timer.cancelled


def test_of_a_body_that_was_too_slow_nothing_is_kept() -> None:
    protocol, transport, loop, _ = posting()
    protocol.data_received(WHOLE[:-1])
    (delay, look, _) = loop.timers[-1]
    loop.now += delay
    look(protocol.cycle)
    assert transport.written[-1].startswith(b"HTTP/1.1 408 ")
    assert (bytes(under_way(protocol)._body), protocol.bodies.bytes_held) == (b"", 0)


def test_bodies_that_wait_behind_another_request_are_counted_and_end_with_the_connection() -> None:
    protocol, transport, loop = connected()
    protocol.data_received(b"GET /slow HTTP/1.1\r\nHost: node\r\n\r\n" + WHOLE + WHOLE + WHOLE[:-1])
    assert protocol.bodies.bytes_held == 299
    take_room(protocol, loop, most=300)
    assert transport.closing, "there is no place for an answer"
    protocol.connection_lost(None)
    assert protocol.bodies.bytes_held == 10, "the other's"


def test_a_body_that_nobody_read_does_not_stay_with_an_idle_connection() -> None:
    protocol, _, _ = connected()
    protocol.data_received(b"GET /here HTTP/1.1\r\nHost: node\r\nContent-Length: 5\r\n\r\nhello")
    assert protocol.cycle.body == b"hello"
    protocol.cycle.response_complete = True
    protocol.on_response_complete()
    assert protocol.cycle.body == b""


def test_of_a_body_that_is_passed_on_no_more_is_held_than_was_not_read_yet() -> None:
    held: list[int] = []
    sent = bytes(8_000_000)

    async def take(request: Request) -> Response:
        pieces = stream_body(request, most_bytes=len(sent), silence_s=60, total_s=60)
        held.extend([bodies.bytes_held async for _ in pieces])
        return Response(None, 204)

    app = Starlette(routes=[Route("/", take, methods=["PUT"])])
    limits, ready = Limits(), threading.Event()
    app.state.bodies = bodies = Bodies(limits)
    server = Server(app, listen=[("127.0.0.1", 0)], limits=limits, on_ready=ready.set)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(60)
        client = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
        client.request("PUT", "/", body=sent)
        assert client.getresponse().status == 204
        client.close()
    finally:
        server.stop()
        thread.join(timeout=60)
    assert 0 < max(held) < 1_000_000
    assert bodies.bytes_held == 0


def test_a_guest_that_holds_more_keeps_its_place_and_one_that_holds_nothing_has_none() -> None:
    room: Room[LimitedProtocol] = Room(1_000)
    first, second, third = (connected()[0] for _ in range(3))
    for guest, count in ((first, 1), (second, 600), (first, 300)):
        assert room.hold(guest, "a", count) == []
    assert room.hold(third, "a", 200) == [first]
    for guest in (second, third):
        room.hold(guest, "a", 0)
    assert (room.bytes_held, room._guests, room._of_client) == (0, {}, {})


def test_room_for_less_than_the_longest_body_is_refused() -> None:
    least = 65_535 * 100
    Limits(bodies_bytes=least)
    advice = f"raise it to {least}, or lower limits.posts_per_request to 99$"
    with pytest.raises(WrongSetting, match=advice) as refused:
        Limits(bodies_bytes=least - 1)
    assert refused.value.names == ("limits.bodies_bytes", "limits.posts_per_request")


def test_what_still_comes_of_a_body_that_is_over_takes_no_place() -> None:
    bodies = Bodies(Limits())
    body = Body(bodies, "198.51.100.7", lambda: None)
    body.add(5)
    body.release()
    assert body.add(7) == []
    body.pass_on(7)
    assert bodies.bytes_held == 0
