# SPDX-License-Identifier: Apache-2.0
"""Where things stand in the state map, and how ids follow from what they name."""

import uuid
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.records import identifiers, map_keys
from fieldpost.records.counters import ClassCounters, DailyCount, Link, ReleaseCounters
from fieldpost.records.head import cohort_draw, cohort_salt
from fieldpost.records.maker import Role
from tests.property.strategies_damage import damaged_bytes
from tests.unit.records.record_examples import key

ID = b"\x01" * 16
OTHER = b"\x02" * 16
PRINT = b"\x03" * 32

KEYS: dict[tuple[object, ...], bytes] = {
    ("board",): map_keys.board(),
    ("maker", ID): map_keys.maker(ID),
    ("class", ID): map_keys.device_class(ID),
    ("release", ID, 7): map_keys.release(ID, 7),
    ("lot", ID): map_keys.lot(ID),
    ("head", ID, "stable"): map_keys.head(ID, "stable"),
    ("status", ID, 3): map_keys.status(ID, 3),
    ("link", map_keys.board()): map_keys.link(map_keys.board()),
    ("nonce", PRINT): map_keys.nonce_of_key(PRINT),
    ("nonce", ID, 2): map_keys.nonce_of_role(ID, Role.RELEASE),
    ("enrolled", PRINT): map_keys.enrolled_by_key(PRINT),
    ("key", PRINT): map_keys.used_key(PRINT),
    ("classes", ID): map_keys.maker_classes(ID),
    ("class-counters", ID): map_keys.class_counters(ID),
    ("release-counters", ID, 7): map_keys.release_counters(ID, 7),
    ("manifest", ID, PRINT): map_keys.manifest(ID, PRINT),
    ("quota", "ab", 2): map_keys.quota("ab", 2),
    ("reserve", "ab", 2): map_keys.reserve("ab", 2),
    ("registrations", 1): map_keys.registrations(1),
    ("witness", PRINT): map_keys.witness_key(PRINT),
    ("blocks", ID, 7): map_keys.release_blocks(ID, 7),
    ("summary", ID): map_keys.summary(ID),
    ("advisory", ID, 1): map_keys.advisory(ID, 1),
    ("advisory", OTHER, 24): map_keys.advisory(OTHER, 24),
    ("advisory", OTHER, cbor.MAX_INT): map_keys.advisory(OTHER, cbor.MAX_INT),
    ("advisories", ID): map_keys.advisories(ID),
    ("gone", "op", PRINT): map_keys.gone("op", PRINT),
    ("domain-of", ID): map_keys.domain_of_maker(ID),
    ("domain", "acme.example"): map_keys.domain("acme.example"),
}


@pytest.mark.parametrize("parts", KEYS, ids=lambda parts: str(parts[0]))
def test_a_map_key_hashes_its_kind_and_ids(parts: tuple[object, ...]) -> None:
    assert KEYS[parts] == sha256(cbor.encode(list(parts))).digest()


def test_no_two_things_stand_in_one_place() -> None:
    assert len(set(KEYS.values())) == len(KEYS)


def test_a_maker_id_follows_from_the_root_keys_in_any_order() -> None:
    keys = [key(f"root/{n}") for n in range(3)]
    maker = identifiers.maker_id(keys, 2)
    assert identifiers.maker_id(keys[::-1], 2) == maker
    assert identifiers.maker_id(keys, 3) != maker
    assert identifiers.maker_id(keys[:2], 2) != maker


def test_vendor_and_class_ids_are_the_uuids_that_anybody_computes() -> None:
    namespace = uuid.uuid5(uuid.NAMESPACE_DNS, "fieldpost")
    vendor = uuid.uuid5(namespace, ID.hex())
    assert identifiers.vendor_id(ID) == vendor.bytes
    assert identifiers.class_id(ID, "tracker:b") == uuid.uuid5(vendor, "tracker:b").bytes


def test_a_board_id_holds_its_origin() -> None:
    board = identifiers.board_id("board.test/1", b"\xab" * 32)
    assert board == "board.test/1#" + "ab" * 16
    assert identifiers.origin_of(board) == "board.test/1"
    for bad in ("board.test/1", board + "\n", board[:-1], board.upper(), "#" + "ab" * 16):
        with pytest.raises(Malformed):
            identifiers.origin_of(bad)


@pytest.mark.parametrize(
    "origin", ["board", "board.test", "/1", "board.test/1/", "Board.test/1", "board.test/01", ""]
)
def test_an_origin_ends_in_a_shard_number(origin: str) -> None:
    with pytest.raises(Malformed):
        identifiers.check_origin(origin)


def test_a_lot_id_follows_from_its_content() -> None:
    lot = identifiers.lot_id(maker=ID, class_=OTHER, count=3, root=PRINT)
    content = cbor.encode(["fieldpost/lot", ID, OTHER, 3, PRINT])
    assert lot == sha256(content).digest()[:16]


def test_salts_and_draws_are_what_anybody_computes() -> None:
    salt = cohort_salt(previous_map_root=PRINT, class_id=ID, sequence=7)
    content = cbor.encode(["fieldpost/cohort", PRINT, ID, 7])
    assert salt == sha256(content).digest()[:8]
    draw = cohort_draw(salt, PRINT)
    assert draw == int.from_bytes(sha256(salt + PRINT).digest()[:4], "big")
    assert draw < 2**32


def test_counters_read_back() -> None:
    link = Link(4, PRINT)
    assert Link.decode(link.encode()) == link
    counters = ClassCounters(newest=9, floor=3, devices=100)
    assert ClassCounters.decode(counters.encode()) == counters
    for release in (
        ReleaseCounters(),
        ReleaseCounters(salt=bytes(8), highest={"stable": 2**32, "beta": 0}),
        ReleaseCounters(salt=bytes(8), highest={"stable": 5}, withdrawn="bricks"),
    ):
        assert ReleaseCounters.decode(release.encode()) == release


COUNTS = st.integers(0, 300) | st.integers(0, cbor.MAX_INT)


@given(COUNTS, COUNTS, COUNTS)
def test_a_daily_count_is_the_array_that_the_codec_writes(day: int, posts: int, size: int) -> None:
    count = DailyCount(day, posts, size)
    assert count.encode() == cbor.encode([day, posts, size])
    assert DailyCount.decode(count.encode()) == count


@given(st.data())
def test_only_three_counts_are_read_as_a_daily_count(data: st.DataObject) -> None:
    damaged = data.draw(damaged_bytes(DailyCount(20_000, 3, 40_000).encode()))
    try:
        count = DailyCount.decode(damaged)
    except Malformed:
        return
    assert cbor.decode(damaged) == tuple(count)
