# SPDX-License-Identifier: Apache-2.0
"""A header that was parsed before is not parsed again, and nothing is taken or said otherwise."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from fieldpost.metrics.prometheus import Metrics
from fieldpost.node import short_way
from fieldpost.node.asked import SaidBefore
from fieldpost.node.callers import Callers, Requests
from fieldpost.node.exchange import Announced
from fieldpost.node.following import Follower
from fieldpost.node.protocol import LimitedProtocol
from fieldpost.node.taking import Respond, ShortWay
from tests.unit.node.still_connection import KEEP_ALIVE_S, Deaf, Loop, Transport, connected

_ID = re.compile(rb"x-request-id: ([0-9a-f]{16})\r\n")
_ANSWER = b"HTTP/1.1 204 No Content\r\ndate: today\r\nx-request-id: \r\n\r\n"


class Desk:
    """Takes all bodies of one type up to 200 bytes, and answers at once or when it is told to."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.owed: list[Respond] = []
        self.is_quick = True

    def most_bytes(self, kind: str) -> int:
        return 200 if kind == "text/plain" else 0

    def take(self, kind: str, body: bytes, respond: Respond) -> None:
        assert kind == "text/plain"
        self.taken.append(body)
        if self.is_quick:
            respond(Response(None, 204))
        else:
            self.owed.append(respond)


def posting(
    *, burst: int = 1_000, trusted: tuple[str, ...] = ()
) -> tuple[LimitedProtocol, Transport, Loop, Desk]:
    """A connection to a server that takes bodies at one path."""
    metrics = Metrics()
    metrics.counter("fieldpost_requests_total", "Requests.")
    desk, requests = Desk(), Requests(metrics, Callers())
    follower = Follower(requests=requests, observe=lambda _: None, log_requests=False)
    protocol, transport, loop = connected(
        burst=burst, short=ShortWay({b"/here": desk}, follower), trusted=trusted
    )
    return protocol, transport, loop, desk


def post(body: bytes, *more: bytes) -> bytes:
    lines = [b"POST /here HTTP/1.1", b"Host: node", b"Content-Type: text/plain", *more]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


def deafen(protocol: LimitedProtocol) -> None:
    parser: Any = Deaf()
    protocol.parser = parser


def without_ids(written: list[bytes]) -> bytes:
    return _ID.sub(b"x-request-id: \r\n", b"".join(written))


def test_a_header_is_parsed_once_and_its_bodies_are_taken() -> None:
    protocol, transport, _, desk = posting()
    protocol.data_received(post(b"one"))
    deafen(protocol)
    protocol.data_received(post(b"two"))
    protocol.data_received(post(b"six"))
    assert desk.taken == [b"one", b"two", b"six"]
    assert without_ids(transport.written) == _ANSWER * 3
    assert len(set(_ID.findall(b"".join(transport.written)))) == 3, "each has an id of its own"
    assert protocol.server_state.total_requests == 3


@pytest.mark.parametrize(
    "field",
    [
        b"Forwarded: for=203.0.113.1",
        b"X-Request-Id:a7",
        b"X-Request-Id: a7 ",
        b"X-Request-Id: a\xff",
        b"X-Forwarded-For: ",
        b"X-Forwarded-For:\t203.0.113.1",
    ],
)
def test_what_cannot_be_told_apart_from_the_rest_is_read_each_time(field: bytes) -> None:
    protocol, _, _, desk = posting()
    protocol.data_received(post(b"one", field))
    assert len(protocol.announced) == 0
    assert desk.taken == [b"one"]


def through_proxy(name: bytes, client: bytes = b"198.51.100.7", body: bytes = b"one") -> bytes:
    via = [b"X-Forwarded-For: " + client, b"X-Request-ID: " + name, b"Via: 1.1 proxy"]
    return post(body, *via, b"traceparent: 00-" + name + b"-01")


def test_behind_a_proxy_a_header_is_parsed_once_and_each_request_has_its_own_id() -> None:
    protocol, transport, _, desk = posting()
    protocol.data_received(through_proxy(b"a1"))
    deafen(protocol)
    protocol.data_received(through_proxy(b"b2", body=b"two"))
    protocol.data_received(through_proxy(b"c3", b"203.0.113.1, 198.51.100.8", b"six"))
    assert desk.taken == [b"one", b"two", b"six"]
    ids = [b"".join(re.findall(rb"x-request-id: (\w+)", answer)) for answer in transport.written]
    assert ids == [b"a1", b"b2", b"c3"]
    assert len(protocol.announced) == 1


def test_whom_a_proxy_asks_for_is_charged_each_time() -> None:
    protocol, _, loop, desk = posting(burst=2, trusted=("203.0.113.9/32",))
    protocol.data_received(through_proxy(b"a1"))
    parser = protocol.parser
    deafen(protocol)
    protocol.data_received(through_proxy(b"b2"))
    protocol.data_received(through_proxy(b"c3", b"198.51.100.8"))
    protocol.parser = parser
    protocol.data_received(through_proxy(b"d4"))
    assert (len(desk.taken), loop.tasks) == (3, 1), "the application says 429 to the third of one"


SMUGGLED = {
    "what stands for a value": through_proxy(b"\0", b"\0").replace(b"00-\0-01", b"\0"),
    "another field in a value": through_proxy(b"a\r\nTransfer-Encoding: chunked"),
    "another length in a value": through_proxy(b"a\r\nContent-Length: 99"),
    "a bare line feed": through_proxy(b"a\nContent-Length: 99"),
    "a bare carriage return": through_proxy(b"a\rb"),
    "a fold": through_proxy(b"a\r\n b"),
    "no value": through_proxy(b""),
    "space before a colon": through_proxy(b"a1").replace(b"X-Request-ID:", b"X-Request-ID :"),
    "the end of the header": through_proxy(b"a\r\n\r\nPOST /there HTTP/1.1"),
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_nothing_is_smuggled_through_a_value_that_differs(name: str) -> None:
    """What the parser says of it is what happens, whether a like header is known or not."""
    said = []
    for is_known in (False, True):
        protocol, transport, loop, desk = posting()
        if is_known:
            protocol.data_received(through_proxy(b"a1"))
            assert len(protocol.announced) == 1
            desk.taken.clear()
            transport.written.clear()
        protocol.data_received(SMUGGLED[name])
        statuses = [answer[:12] for answer in transport.written]
        said.append((desk.taken, statuses, loop.tasks, transport.closing))
    assert said[0] == said[1]


def test_control_where_the_taken_out_may_come_from_outside_it_is_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(short_way, "TAKEN_OUT", b"no such bytes")
    protocol, _, _, desk = posting()
    protocol.data_received(through_proxy(b"a1"))
    protocol.data_received(SMUGGLED["what stands for a value"])
    assert desk.taken == [b"one", b"one"]


def test_a_body_may_come_after_its_known_header_in_pieces() -> None:
    protocol, transport, loop, desk = posting()
    whole = post(b"one")
    protocol.data_received(whole)
    deafen(protocol)
    for sent in (whole[:-3], b"t", b"wo", whole[:-2], b"ix", post(b"ten")):
        protocol.data_received(sent)
    assert desk.taken == [b"one", b"two", b"oix", b"ten"]
    assert without_ids(transport.written) == _ANSWER * 4
    timers = [timer for delay, _, timer in loop.timers if delay < KEEP_ALIVE_S]
    assert all(timer.cancelled for timer in timers)


def test_a_header_is_known_after_it_came_alone_and_what_follows_a_body_is_the_next() -> None:
    protocol, transport, _, desk = posting()
    whole = post(b"one")
    for sent in (whole[:-3], b"one"):
        protocol.data_received(sent)
    assert len(protocol.announced) == 1
    protocol.data_received(whole[:-3])
    protocol.data_received(b"two" + post(b"1234") + whole[:-1])
    protocol.data_received(b"x")
    assert desk.taken == [b"one", b"two", b"1234", b"onx"]
    assert without_ids(transport.written) == _ANSWER * 4


def test_a_body_that_stops_after_a_known_header_is_answered_and_cut_off() -> None:
    protocol, transport, loop, desk = posting()
    whole = post(b"one")
    protocol.data_received(whole)
    protocol.data_received(whole[:-1])
    (delay, look, timer) = loop.timers[-1]
    assert delay == protocol.limits.body_silence_s
    loop.now += delay
    look(protocol.cycle)
    assert desk.taken == [b"one"]
    assert not timer.cancelled
    assert transport.written[-1].startswith(b"HTTP/1.1 408 ")
    assert b"after 2 bytes" in transport.written[-1]
    assert transport.closing


def test_only_one_whole_header_is_remembered() -> None:
    protocol, _, _, desk = posting()
    whole = post(b"one")
    for sent in (whole[:9], whole[9:], whole[:-5], whole[-5:], whole + whole[:-3], whole[-3:]):
        protocol.data_received(sent)
    protocol.data_received(whole + whole)
    assert len(protocol.announced) == 0
    assert desk.taken == [b"one"] * 6


def smuggle(protocol: LimitedProtocol) -> None:
    """A request that the application refuses before it has read the body, which is a known one."""
    protocol.data_received(post(b"one"))
    inner = post(b"two")
    protocol.data_received(post(inner)[: -len(inner)].replace(b"/here", b"/there"))
    protocol.cycle.response_complete = True


def test_a_known_header_inside_a_body_is_no_header() -> None:
    protocol, transport, _, desk = posting()
    smuggle(protocol)
    protocol.data_received(post(b"two"))
    assert desk.taken == [b"one"]
    assert without_ids(transport.written) == _ANSWER
    protocol.data_received(post(b"six"))
    assert desk.taken == [b"one", b"six"], "after the body it is one"


def test_control_where_the_place_is_not_looked_at_a_body_is_a_request() -> None:
    protocol, _, _, desk = posting()
    smuggle(protocol)
    protocol._is_between = True
    protocol.data_received(post(b"two"))
    assert desk.taken == [b"one", b"two"]


def test_lines_before_a_request_are_no_header() -> None:
    protocol, transport, _, desk = posting()
    protocol.data_received(b"\r\n\r\n" + post(b"one"))
    protocol.data_received(b"\r\n\r\nsix")
    assert desk.taken == [b"one"]
    assert transport.written[1].startswith(b"HTTP/1.1 400 ")


def test_nothing_is_taken_here_while_another_answer_is_under_way() -> None:
    protocol, transport, loop, desk = posting()
    protocol.data_received(post(b"one"))
    desk.is_quick = False
    protocol.data_received(post(b"two"))
    protocol.data_received(post(b"six"))
    assert desk.taken == [b"one", b"two"]
    assert len(protocol.pipeline) == 1, "answers keep their order"
    desk.owed[0](Response(None, 204))
    assert without_ids(transport.written) == _ANSWER * 2
    assert loop.tasks == 1, "the application answers the third"


def test_rates_hold_for_known_headers() -> None:
    protocol, _, loop, desk = posting(burst=3)
    for _ in range(4):
        protocol.data_received(post(b"one"))
    assert desk.taken == [b"one"] * 3, "a token each"
    assert loop.tasks == 1, "the application says 429"


def test_who_waits_for_an_answer_is_not_idle_and_who_has_it_is() -> None:
    protocol, transport, loop, desk = posting()
    protocol.data_received(post(b"one"))
    (_, handler, _) = loop.timers[-1]
    desk.is_quick = False
    protocol.data_received(post(b"two"))
    loop.now += 2 * KEEP_ALIVE_S
    handler()
    assert not transport.closing
    desk.owed[0](Response(None, 204))
    assert loop.timers[-1][0] == KEEP_ALIVE_S
    loop.now += KEEP_ALIVE_S
    loop.timers[-1][1]()
    assert transport.closing


def test_who_went_away_before_the_answer_is_told_nothing() -> None:
    protocol, transport, _, desk = posting()
    protocol.data_received(post(b"one"))
    desk.is_quick = False
    protocol.data_received(post(b"two"))
    protocol.connection_lost(None)
    desk.owed[0](Response(None, 204))
    assert without_ids(transport.written) == _ANSWER


class Forgetful(SaidBefore[Any]):
    """A memory that keeps nothing."""

    def keep(self, data: bytes, said: Announced) -> None:
        """Nothing."""


_BODIES = st.sampled_from([b"one", b"two", b"\r\n\r\n", post(b"one"), b"x" * 200, b"", b"x" * 201])
_REQUESTS = st.one_of(
    _BODIES.map(post),
    st.builds(
        lambda body, name, client: through_proxy(name, client, body),
        _BODIES,
        st.sampled_from([b"a7", b"b8", b"", b" ", b"\0", b"c\r\n d", b"e\nf", b"g h", b"\xff"]),
        st.sampled_from([b"203.0.113.1", b"198.51.100.7, 10.0.0.1", b"", b"\0", b"x\r\nA: b"]),
    ),
    st.sampled_from(
        [
            b"\r\n",
            b"\r\n\r\n" + post(b"one"),
            b"\r\n\r\none",
            b"GET /there HTTP/1.1\r\nHost: node\r\n\r\n",
            post(b"one", b"Transfer-Encoding: chunked"),
            post(b"one", b"Content-Length: 3"),
            post(b"one", b"Connection: close"),
            post(b"one").replace(b"1.1", b"1.0"),
            post(b"one").replace(b"Host: node\r\n", b""),
        ]
    ),
)


@given(st.lists(_REQUESTS, max_size=8), st.lists(st.integers(1, 400), max_size=8))
def test_what_is_remembered_changes_nothing(requests: list[bytes], cuts: list[int]) -> None:
    """The same bytes in the same pieces: whole, in two at the header's end, together, anyhow."""
    data = b"".join(requests)
    pieces = [*requests, data]
    for request in requests:
        header, end, body = request.partition(b"\r\n\r\n")
        pieces += [header + end, body]
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    said = []
    for is_forgetful in (False, True):
        protocol, transport, loop, desk = posting()
        if is_forgetful:
            protocol.announced = Forgetful()
        for piece in pieces:
            if not transport.closing:
                protocol.data_received(piece)
        said.append((desk.taken, without_ids(transport.written), loop.tasks, transport.closing))
    assert said[0] == said[1]
