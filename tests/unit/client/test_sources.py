# SPDX-License-Identifier: Apache-2.0
"""Several addresses: the order in which a fleet asks them, and what a client makes of refusals."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.cli.refusals import name_all
from fieldpost.client.sources import Failure, Sources, spread
from fieldpost.client.transport import HttpClient
from fieldpost.errors import (
    Conflict,
    FieldpostError,
    Malformed,
    Misbehaviour,
    NotFound,
    Rejected,
    Unavailable,
    Untrusted,
)

URLS = tuple(f"http://node-{n}.example" for n in range(4))


def device(number: int) -> bytes:
    return number.to_bytes(32, "big")


@given(who=st.binary(min_size=32, max_size=32), urls=st.permutations(URLS))
def test_a_devices_order_stays_however_the_addresses_are_listed(
    who: bytes, urls: list[str]
) -> None:
    assert spread(urls, who) == spread(URLS, who)
    assert sorted(spread(urls, who)) == sorted(URLS)


@given(who=st.binary(min_size=32, max_size=32), gone=st.sampled_from(URLS))
def test_an_address_that_goes_changes_nothing_in_the_order_of_the_others(
    who: bytes, gone: str
) -> None:
    left = tuple(url for url in spread(URLS, who) if url != gone)
    assert spread([url for url in URLS if url != gone], who) == left


def test_a_fleet_spreads_over_all_nodes_and_so_do_those_whose_node_died() -> None:
    fleet = [spread(URLS, device(number)) for number in range(4_000)]
    first = Counter(order[0] for order in fleet)
    assert all(850 <= first[url] <= 1_150 for url in URLS)
    second = Counter(order[1] for order in fleet if order[0] == URLS[0])
    assert all(250 <= second[url] <= 430 for url in URLS[1:])


def test_whoever_answered_is_asked_first_the_next_time() -> None:
    asked: list[str] = []

    def question(client: HttpClient) -> str:
        asked.append(client.base_url)
        if client.base_url != URLS[2]:
            raise Unavailable("gone")
        return "yes"

    sources = Sources(URLS)
    assert [sources.ask(question), sources.ask(question)] == ["yes", "yes"]
    assert asked == [*URLS[:3], URLS[2]]


def test_two_signed_histories_end_the_search() -> None:
    asked: list[str] = []

    def question(client: HttpClient) -> None:
        asked.append(client.base_url)
        raise Misbehaviour("split-view", "two roots", (b"a", b"b"))

    with pytest.raises(Misbehaviour):
        Sources(URLS).ask(question)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("said", "family"),
    [
        pytest.param((Unavailable("x"), Rejected(7, "nonce")), Rejected, id="refused-by-the-rules"),
        pytest.param((Untrusted("bad-proof"), Rejected(7, "nonce")), Rejected, id="a-liar-beside"),
        pytest.param((Unavailable("x"), Untrusted("bad-proof")), Untrusted, id="only-a-liar"),
        pytest.param((NotFound("x"), Untrusted("not-newer")), NotFound, id="one-is-behind"),
        pytest.param((Unavailable("x"), NotFound("x")), NotFound, id="one-is-dead"),
        pytest.param((Unavailable("x"), Malformed("x")), Malformed, id="bad-input"),
        pytest.param((Unavailable("x"), Conflict("x", "now")), Conflict, id="somebody-was-first"),
        pytest.param((Unavailable("x", 3), Unavailable("y", 9)), Unavailable, id="nobody-answers"),
    ],
)
def test_the_error_says_who_must_act_and_names_every_node_with_its_words(
    said: tuple[FieldpostError, ...], family: type[FieldpostError]
) -> None:
    failures = [Failure(url, error) for url, error in zip(URLS, said, strict=False)]
    found = name_all(failures)
    assert type(found) is family
    for failure in failures:
        assert failure.url in str(found)
        assert str(failure.error) in str(found)
    if isinstance(found, Unavailable):
        assert found.retry_after_s == 9


def test_what_several_nodes_say_alike_is_said_once() -> None:
    found = name_all([Failure(url, NotFound("no such class")) for url in URLS])
    assert str(found).count("no such class") == 1
    assert all(url in str(found) for url in URLS)


def test_one_node_alone_speaks_for_itself() -> None:
    error = Rejected(7, "nonce")
    assert name_all([Failure(URLS[0], error)]) is error
