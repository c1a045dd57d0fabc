# SPDX-License-Identifier: Apache-2.0
"""Requests that were parsed before are answered by their bytes, but only where one may begin."""

from typing import Any

from starlette.responses import Response

from fieldpost.node.asked import MOST_BYTES, MOST_REQUESTS, Asked, SaidBefore
from fieldpost.node.fast import FastAnswers
from fieldpost.node.protocol import LimitedProtocol
from tests.unit.node.still_connection import KEEP_ALIVE_S, Deaf, Loop, Transport, connected

KNOWN = b"GET /a HTTP/1.1\r\nHost: node\r\n\r\n"
READY = b'HTTP/1.1 200 OK\r\ndate: today\r\netag: "1"\r\ncontent-length: 4\r\n\r\nbody'


def asking(*, burst: int = 1_000) -> tuple[LimitedProtocol, Transport, Loop, FastAnswers]:
    """A connection to a server that has one answer ready."""
    fast = FastAnswers(10)
    protocol, transport, loop = connected(burst=burst, fast=fast)
    keep(fast, loop)
    return protocol, transport, loop, fast


def keep(fast: FastAnswers, loop: Loop, body: bytes = b"body") -> None:
    fast.keep(
        b"/a",
        full=Response(body, headers={"ETag": '"1"'}),
        unchanged=Response(None, 304, {"ETag": '"1"'}),
        etag='"1"',
        now=loop.now,
        generation=fast.generation,
    )


def test_the_same_bytes_are_parsed_once() -> None:
    protocol, transport, _, _ = asking()
    protocol.data_received(KNOWN)
    parser: Any = Deaf()
    protocol.parser = parser
    for _ in range(3):
        protocol.data_received(KNOWN)
    assert transport.written == [READY] * 4


def test_a_request_that_was_asked_before_gets_what_is_published_now() -> None:
    protocol, transport, loop, fast = asking()
    protocol.data_received(KNOWN)
    fast.forget()
    protocol.data_received(KNOWN)
    assert transport.written == [READY]
    assert loop.tasks == 1, "the application is asked for the new one"
    other, second, _, new = asking()
    other.data_received(KNOWN)
    new.forget()
    keep(new, loop, b"news")
    other.data_received(KNOWN)
    assert second.written[1].endswith(b"\r\n\r\nnews")


def smuggle(protocol: LimitedProtocol) -> None:
    """The bytes of a known request, alone in their segment, as the body of another request."""
    protocol.data_received(KNOWN)
    head = b"POST /b HTTP/1.1\r\nHost: node\r\nContent-Length: %d\r\n\r\n" % len(KNOWN)
    protocol.data_received(head)


def test_bytes_inside_a_body_are_no_request_even_if_they_were_one_before() -> None:
    protocol, transport, _, _ = asking()
    smuggle(protocol)
    protocol.data_received(KNOWN)
    assert transport.written == [READY], "one answer, to the one request that wanted it"
    assert bytes(protocol.cycle.body) == KNOWN


def test_control_where_the_place_is_not_looked_at_the_body_is_answered() -> None:
    protocol, transport, _, _ = asking()
    smuggle(protocol)
    protocol._is_between = True
    protocol.cycle.response_complete = True
    protocol.data_received(KNOWN)
    assert transport.written == [READY] * 2


def test_half_a_request_two_requests_and_other_forms_are_parsed() -> None:
    protocol, _, _, _ = asking()
    protocol.data_received(KNOWN[:9])
    protocol.data_received(KNOWN[9:])
    protocol.data_received(KNOWN + KNOWN)
    protocol.data_received(KNOWN + KNOWN[:5])
    protocol.data_received(KNOWN[5:])
    assert len(protocol.asked) == 0
    for fields in (b"X-Forwarded-For: 203.0.113.1", b"Forwarded: for=203.0.113.1"):
        protocol.data_received(KNOWN[:-2] + fields + b"\r\n\r\n")
    assert len(protocol.asked) == 0, "whom it is charged to is asked each time"
    protocol.data_received(KNOWN)
    assert len(protocol.asked) == 1


def test_nothing_is_answered_while_another_answer_is_under_way() -> None:
    protocol, transport, loop, _ = asking()
    protocol.data_received(KNOWN)
    protocol.data_received(b"GET /slow HTTP/1.1\r\nHost: node\r\n\r\n")
    protocol.data_received(KNOWN)
    assert transport.written == [READY]
    assert (loop.tasks, len(protocol.pipeline)) == (1, 1), "answers keep their order"


def test_rates_hold_for_what_was_asked_before() -> None:
    protocol, transport, loop, _ = asking(burst=1)
    for _ in range(11):
        protocol.data_received(KNOWN)
    assert len(transport.written) == 10, "a tenth of a token each"
    assert loop.tasks == 1, "the application says 429"


def test_a_connection_that_asks_is_kept_and_one_that_is_silent_is_not() -> None:
    protocol, transport, loop, _ = asking()
    protocol.data_received(KNOWN)
    (_, handler, _) = loop.timers[-1]
    loop.now += KEEP_ALIVE_S - 1
    keep(protocol.fast or FastAnswers(1), loop)
    protocol.data_received(KNOWN)
    loop.now += 1
    handler()
    assert not transport.closing
    assert loop.timers[-1][0] == KEEP_ALIVE_S - 1, "the rest of its time"
    loop.now += KEEP_ALIVE_S - 1
    handler()
    assert transport.closing


def test_a_header_owed_is_no_longer_owed_once_a_known_request_came() -> None:
    protocol, _, loop, fast = asking()
    protocol.data_received(KNOWN)
    kind: Any = type(protocol)
    again = kind(
        config=protocol.config, server_state=protocol.server_state, app_state={}, _loop=loop
    )
    again.connection_made(Transport())
    (_, _, header_timer) = loop.timers[-1]
    owed = [not header_timer.cancelled]
    again.data_received(KNOWN)
    owed.append(not header_timer.cancelled)
    assert owed == [True, False]
    assert loop.timers[-1][0] == KEEP_ALIVE_S, "and its silence is limited from then on"
    assert fast.hits == 2


def test_the_memory_is_bounded() -> None:
    memory: SaidBefore[Asked] = SaidBefore()
    asked = Asked(b"/a", is_head=False, if_none_match=None)
    memory.keep(b"x" * (MOST_BYTES + 1), asked)
    assert len(memory) == 0
    for number in range(3 * MOST_REQUESTS):
        memory.keep(b"%d" % number, asked)
        assert len(memory) <= MOST_REQUESTS
    assert memory.find(b"%d" % (3 * MOST_REQUESTS - 1)) == asked


def test_what_waits_of_a_known_answer_is_not_charged_to_whom_a_proxy_asked_for_before() -> None:
    fast = FastAnswers(10)
    protocol, transport, loop = connected(fast=fast, trusted=("203.0.113.0/24",))
    keep(fast, loop)
    transport.waiting = 20_000
    protocol.data_received(KNOWN)
    protocol.data_received(KNOWN[:-2] + b"X-Forwarded-For: 198.51.100.7\r\n\r\n")
    protocol.pause_writing()
    assert list(protocol.unsent._of_client) == ["198.51.100.7"]
    protocol.resume_writing()
    protocol.data_received(KNOWN)
    protocol.pause_writing()
    assert len(transport.written) == 3
    assert list(protocol.unsent._of_client) == [protocol], "a proxy's connection by itself"
