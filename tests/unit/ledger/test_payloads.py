# SPDX-License-Identifier: Apache-2.0
"""A payload that was decoded ahead is the one that the rule would have decoded, and no other is."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.ledger.batch import Batch, Included, apply_batch
from fieldpost.ledger.payloads import decode_ahead
from fieldpost.ledger.reading import read_payload
from fieldpost.ledger.rules import RULES
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.posts.kinds import DECODERS
from fieldpost.posts.release import decode_release_floor
from fieldpost.records.lot import LotRecord, decode_lot_record
from tests.unit.ledger.every_kind import every_kind

POSTS = every_kind()
LIVE = [kind for kind in RULES if kind != "genesis"]


def read_ahead(entry: bytes) -> Post:
    post = decode_post(entry)
    kind = post.statement.kind
    record = decode_ahead(kind, post.statement.payload)
    if record is not None:
        post.records[DECODERS[kind]] = record
    return post


def apply(kind: str, decode: Callable[[bytes], Post] = decode_post) -> Batch:
    live = POSTS[kind]
    return apply_batch(live.state, [live.entry], time=live.time, decode=decode)


def test_every_kind_that_has_a_rule_has_a_decoder() -> None:
    assert set(DECODERS) == set(RULES) == set(POSTS)


@pytest.mark.parametrize("kind", LIVE)
def test_a_rule_takes_what_was_decoded_ahead_and_does_the_same(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = apply(kind)
    assert isinstance(late.outcomes[0], Included)
    monkeypatch.setattr("fieldpost.ledger.reading.decode_in_one_form", None)
    early = apply(kind, read_ahead)
    assert (early.outcomes, early.entries, early.writes) == (
        late.outcomes,
        late.entries,
        late.writes,
    )


@pytest.mark.parametrize("kind", LIVE)
def test_control_without_a_payload_decoded_ahead_the_rule_decodes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fieldpost.ledger.reading.decode_in_one_form", None)
    with pytest.raises(TypeError):
        apply(kind)


@pytest.mark.parametrize("kind", DECODERS)
def test_what_is_no_such_record_in_its_one_form_is_left_to_the_rule(kind: str) -> None:
    payload = decode_post(POSTS[kind].entry).statement.payload
    unknown = cbor.decode(payload)
    assert isinstance(unknown, dict)
    for wrong in (b"", payload[:-1], payload + b"\0", cbor.encode(unknown | {99: 1}), b"\xa0"):
        assert decode_ahead(kind, wrong) is None
    assert decode_ahead("no kind", payload) is None


def test_a_record_by_another_decoder_is_not_looked_at() -> None:
    post = decode_post(POSTS["lot.enrol"].entry)
    false = replace(decode_lot_record(post.statement.payload), count=7)
    post.records[decode_release_floor] = false
    assert read_payload(post, decode_lot_record).count != 7
    post.records[decode_lot_record] = false
    assert read_payload(post, decode_lot_record).count == 7


def test_a_changed_post_forgets_its_record() -> None:
    post = read_ahead(POSTS["lot.enrol"].entry)
    assert isinstance(post.records[decode_lot_record], LotRecord)
    changed = replace(post, statement=replace(post.statement, payload=b"\xa0"))
    with pytest.raises(Malformed):
        read_payload(changed, decode_lot_record)
