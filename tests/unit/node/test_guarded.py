# SPDX-License-Identifier: Apache-2.0
"""Readers that take too little of an answer, rates, clients and crowds, each by itself."""

from collections.abc import Callable
from typing import Any

import pytest

from fieldpost.node.clients import OWN, UNKNOWN, Clients
from fieldpost.node.config import Limits
from fieldpost.node.crowd import Crowd
from fieldpost.node.guarded import GuardedProtocol
from fieldpost.node.rates import Rates


class Loop:
    """Remembers what is to be called later, and calls nothing."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def call_later(self, delay: float, call: Callable[..., None], *arguments: Any) -> "Loop":
        self.later.append((delay, call, arguments))
        return self

    def cancel(self) -> None:
        """A timer that was set is not set any more."""


class Transport:
    """A client that has taken all but `left` bytes."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.left

    def abort(self) -> None:
        self.aborted = True


def reader(left: int) -> tuple[GuardedProtocol, Transport, Loop]:
    protocol = GuardedProtocol.__new__(GuardedProtocol)
    transport, loop = Transport(left), Loop()
    protocol.limits = Limits(stall_s=10.0, least_bytes_per_s=100)
    protocol.transport, protocol.loop = transport, loop  # type: ignore[assignment]
    protocol._stall_timer = protocol._header_timer = None
    return protocol, transport, loop


@pytest.mark.parametrize(("taken", "is_let_go"), [(0, True), (999, True), (1_000, False)])
def test_who_takes_less_than_the_least_of_an_answer_is_let_go(taken: int, is_let_go: bool) -> None:
    protocol, transport, loop = reader(1_000_000)
    protocol._watch_stall(transport.left)
    ((delay, call, arguments),) = loop.later
    assert delay == 10.0
    transport.left -= taken
    call(*arguments)
    assert transport.aborted is is_let_go
    assert len(loop.later) == (1 if is_let_go else 2), "a slow one is looked at again"


def test_a_bucket_empties_fills_and_never_overflows() -> None:
    rates = Rates(per_s=2.0, burst=3, most_clients=10)
    assert [rates.take("a", 1.0, 0.0) for _ in range(3)] == [0.0] * 3
    assert rates.take("a", 1.0, 0.0) == pytest.approx(0.5)
    assert rates.take("a", 1.0, 0.0) == pytest.approx(0.5), "a refusal costs nothing"
    assert rates.take("b", 1.0, 0.0) == 0.0, "others have their own"
    assert rates.take("a", 1.0, 0.5) == 0.0
    assert [rates.take("a", 1.0, 1_000.0) for _ in range(4)] == [0.0] * 3 + [pytest.approx(0.5)]
    assert [rates.take("c", 0.1, 0.0) for _ in range(30)] == [0.0] * 30


def test_the_memory_of_rates_is_bounded_and_forgetting_forgives() -> None:
    rates = Rates(per_s=1.0, burst=1, most_clients=100)
    assert rates.take("first", 1.0, 0.0) == 0.0
    assert rates.take("first", 1.0, 0.0) > 0.0
    for number in range(1_000):
        rates.take(f"{number}", 1.0, 0.0)
        assert len(rates) <= 100
    assert rates.take("first", 1.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("127.0.0.9", OWN),
        ("::1", OWN),
        ("", OWN),
        ("nonsense", UNKNOWN),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(address: str, client: str) -> None:
    assert Clients(("127.0.0.0/8", "::1/128")).of(address) == client


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ([], OWN),
        ([(b"x-forwarded-for", b"203.0.113.9")], "203.0.113.9"),
        ([(b"x-forwarded-for", b"6.6.6.6, 203.0.113.9, 10.0.0.2")], "203.0.113.9"),
        ([(b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-for", b"203.0.113.9")], "203.0.113.9"),
        ([(b"x-forwarded-for", b"203.0.113.9:5000")], "203.0.113.9"),
        ([(b"x-forwarded-for", b"10.0.0.3, 10.0.0.2")], OWN),
        ([(b"x-forwarded-for", b"unknown")], UNKNOWN),
        ([(b"forwarded", b'for=6.6.6.6, for="[2001:db8::1]:80";proto=https')], "2001:db8::1"),
        ([(b"forwarded", b"For=203.0.113.9;by=10.0.0.2")], "203.0.113.9"),
        ([(b"x-forwarded-for", b"1.1.1.1," * 2_000 + b"203.0.113.9")], "203.0.113.9"),
    ],
)
def test_for_whom_a_proxy_asks_is_the_last_whom_nobody_trusts(
    headers: list[tuple[bytes, bytes]], address: str
) -> None:
    assert Clients(("10.0.0.0/8",)).forwarded(headers) == address


class Guest:
    """A connection of a crowd."""

    def __init__(self) -> None:
        self.left = False

    def leave(self) -> None:
        self.left = True


def test_the_longest_waiting_leaves_first_and_busy_ones_stay() -> None:
    crowd = Crowd(most=3, most_per_client=10)
    first, second, third, fourth, fifth = (Guest() for _ in range(5))
    for guest in (first, second, third):
        assert crowd.enter(guest, "a")
    crowd.serve(first)
    crowd.wait(second)
    assert crowd.enter(fourth, "b")
    assert [g.left for g in (first, second, third)] == [False, False, True]
    crowd.go(third, "a")
    assert len(crowd) == 3
    for guest in (second, fourth):
        crowd.serve(guest)
    assert not crowd.enter(fifth, "b"), "all are busy"
    assert not any(g.left for g in (first, second, fourth))
