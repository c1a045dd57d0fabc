# SPDX-License-Identifier: Apache-2.0
"""Records come out of another process as they went in, and nothing else comes with them."""

import pickle

import pytest

from fieldpost.engines.carried import carry, receive
from fieldpost.ledger.batch import Included
from fieldpost.ledger.payloads import decode_ahead
from fieldpost.posts.envelope import decode_post
from fieldpost.posts.kinds import DECODERS
from tests.unit.ledger.every_kind import every_kind

POSTS = every_kind()


@pytest.mark.parametrize("kind", DECODERS)
def test_a_record_of_every_kind_is_carried_whole(kind: str) -> None:
    record = decode_ahead(kind, decode_post(POSTS[kind].entry).statement.payload)
    assert record is not None
    (received,) = receive(carry([record]))
    assert received == record
    assert type(received) is type(record)
    # Also what is equal and not the same: true and 1, an enumeration's member and its number.
    assert repr(received) == repr(record)


def test_what_is_no_record_keeps_its_place() -> None:
    record = decode_ahead("blob.gone", decode_post(POSTS["blob.gone"].entry).statement.payload)
    assert receive(carry([None, record, None, record])) == [None, record, None, record]


def test_a_record_of_one_field_is_carried_as_any_other() -> None:
    assert receive(carry([Included(7)])) == [Included(7)]


class Calls:
    """Pickled, it is a call of whatever it is given."""

    def __init__(self, call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return self.call, ("true",)


@pytest.mark.parametrize(
    "call", [eval, print, bytearray, receive, pickle.loads, DECODERS["genesis"]]
)
def test_nothing_but_records_is_made_of_an_answer(call: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="no record"):
        receive(pickle.dumps([Calls(call)]))


@pytest.mark.parametrize("value", [None, {}, b"", "records"])
def test_an_answer_is_a_list(value: object) -> None:
    with pytest.raises(pickle.UnpicklingError, match="list"):
        receive(pickle.dumps(value))
