# SPDX-License-Identifier: Apache-2.0
"""Every limit of every record: the limit itself is read, one more is refused."""

from collections.abc import Callable

import pytest

from fieldpost.errors import Malformed
from fieldpost.posts.rollout import decode_rollout_set
from fieldpost.records import limits
from fieldpost.records.board import decode_board_record
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.fields import Reading
from fieldpost.records.head import decode_head
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import decode_maker_record
from fieldpost.records.provisioning import decode_provisioning
from fieldpost.records.release import decode_release_record
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.tlog.note import COSIGNATURE_ED25519, ED25519
from tests.unit.records import record_examples as examples
from tests.unit.records.record_examples import Place, changed

Case = tuple[str, Place, object, object]


def uint(place: Place, least: int, most: int) -> list[Case]:
    return [("uint", place, least, least - 1), ("uint", place, most, most + 1)]


def octets(place: Place, length: int) -> list[Case]:
    good = b"\x77" * length
    return [("octets", place, good, good + b"\0"), ("octets", place, good, good[:-1])]


def text(place: Place, most: int, good: str = "a") -> list[Case]:
    return [
        ("text", place, good.ljust(most, "z"), good.ljust(most + 1, "z")),
        ("text", place, good, ""),
        ("text", place, good, "caf\u00e9"),
        ("text", place, good, "a\nb"),
        ("text", place, good, 7),
    ]


def array(place: Place, least: int, most: int, item: Callable[[int], object]) -> list[Case]:
    of = [item(n) for n in range(most + 1)]
    cases: list[Case] = [("array", place, of[:most], of)]
    if least:
        cases.append(("array", place, of[:least], of[: least - 1]))
    return cases


def digest(number: int) -> bytes:
    return number.to_bytes(2, "big") * 16


def an_id(number: int) -> bytes:
    return number.to_bytes(2, "big") * 8


def url(number: int) -> str:
    return f"http://{number}.test"


def cosigner(number: int) -> list[object]:
    return [f"c{number}.test", bytes((COSIGNATURE_ED25519,)) + digest(number)]


def operator(number: int) -> dict[int, object]:
    ed25519 = {1: 1, -1: 6, -2: digest(number)}
    log = ["board.test/1", bytes((ED25519,)) + digest(number)]
    return {1: f"operator {number}", 2: [], 3: ed25519, 4: log, 5: [cosigner(100 + number)]}


def role_key(number: int) -> dict[int, object]:
    return {1: {1: 1, -1: 6, -2: digest(number)}}


def whole_artifact(number: int) -> dict[int, object]:
    return {1: digest(number), 2: 1, 3: 0, 4: digest(number)}


def offer(number: int, *, salt: bool = True) -> dict[int, object]:
    return {1: 9 - number, 2: digest(number), 3: 0} | ({4: bytes(8)} if salt else {})


BOARD: list[Case] = [
    ("origin", (11,), "board.test/1".rjust(128, "b"), "board.test/1".rjust(129, "b")),
    ("origin", (11,), "board.test:8080/a/1", "https://board.test/1"),
    ("origin", (11,), "board.test/999999999", "board.test/0"),
    *uint((2,), 1, 2**63 - 1),
    *octets((3,), 32),
    *array((4,), 1, limits.MAX_OPERATORS, operator),
    *text((4, 0, 1), limits.MAX_NAME),
    *array((4, 0, 2), 0, limits.MAX_URLS, url),
    *text((4, 0, 2, 0), limits.MAX_URL),
    *octets((4, 0, 6), 32),
    *array((5,), 1, limits.MAX_WITNESSES, lambda n: {1: cosigner(n)}),
    *text((5, 0, 2), limits.MAX_URL),
    *uint((6,), 0, 1),
    *uint((7,), 0, 1),
    *uint((8, 1), 0, 2**63 - 1),
    *uint((8, 6), 0, limits.MAX_CLASSES),
    *uint((9,), 1, 2**16),
    *uint((10,), 1, 86_400),
]
MAKER: list[Case] = [
    *uint((1,), 1, 2**63 - 1),
    *octets((2,), 32),
    *text((3,), limits.MAX_NAME),
    *uint((4, 1), 1, 3),
    *array((4, 2), 2, limits.MAX_ROOT_KEYS, role_key),
    *array((5, 2, 2), 1, limits.MAX_ROLE_KEYS, lambda n: role_key(n + 50)),
    *uint((5, 4, 1), 1, 1),
    *array((5, 4, 2, 0, 2, 1), 1, limits.MAX_CLASSES, an_id),
    *octets((5, 4, 2, 0, 2, 1, 0), 16),
    *array((5, 4, 2, 0, 2, 2), 1, limits.MAX_CHANNELS, lambda n: f"c{n}"),
    *uint((5, 4, 2, 0, 2, 3), 0, 2**63 - 1),
    *uint((5, 4, 2, 0, 2, 4), 0, 2**63 - 1),
    *array((6, 2), 1, limits.MAX_URLS, url),
    *uint((6, 3), 0, 2**63 - 1),
    *octets((6, 4), 32),
    *uint((6, 5), 0, 2**63 - 1),
    *array((6, 6), 1, limits.MAX_WITNESSES, cosigner),
    *uint((6, 7), 0, 1),
    *uint((6, 8), 60, limits.MAX_DURATION_S),
    *uint((6, 9), 0, limits.MAX_DURATION_S),
    *array((6, 10), 0, limits.MAX_LINK_URLS, url),
    *array((7, 1), 1, limits.MAX_LINK_URLS, url),
    *text((8,), limits.MAX_TEXT),
    *uint((9, 2), 1, limits.MAX_DURATION_S),
    *uint((9, 3), 1, limits.MAX_DURATION_S),
    *array((10,), 1, 256, lambda n: b"entry"),
    ("octets", (10, 0), bytes(65_535), bytes(65_536)),
]
DEVICE_LIMITS: list[Case] = [
    *uint((1,), 256, limits.MAX_ENVELOPE_BYTES),
    *uint((2,), 1, limits.MAX_IMAGE_BYTES),
    ("encodings", (3,), [0], []),
    ("encodings", (3,), [1, 0], [1]),
    ("encodings", (3,), [0, 1], [0, 2]),
    ("delta formats", (4,), [1, 2], [3]),
    ("algorithms", (5,), [-19, -9, -48], [-7]),
    ("algorithms", (5,), [-19], []),
]
INTERVAL: list[Case] = [
    ("interval", (), [1, 1], [0, 1]),
    ("interval", (), [1, limits.MAX_INTERVAL_S], [1, limits.MAX_INTERVAL_S + 1]),
    ("interval", (), [5, 6], [6, 5]),
]
CLASS: list[Case] = [
    *uint((1,), 1, 2**63 - 1),
    *octets((2,), 32),
    *octets((3,), 16),
    *text((4,), limits.MAX_NAME),
    *text((5,), limits.MAX_NAME),
    *array((6,), 1, limits.MAX_CHANNELS, lambda n: f"channel-{n}"),
    *text((6, 0), 32),
    *uint((7,), 0, 2**63 - 1),
    *((what, (8, *place), good, bad) for what, place, good, bad in INTERVAL),
    *((what, (9, *place), good, bad) for what, place, good, bad in DEVICE_LIMITS),
    *uint((10,), 1, 2**63 - 1),
    *octets((11,), 16),
    *uint((12,), 1, 2**32),
]
RELEASE: list[Case] = [
    *uint((1,), 1, 2**63 - 1),
    *octets((2,), 16),
    *uint((3,), 1, 2**63 - 1),
    *text((4,), limits.MAX_NAME),
    *octets((5,), 32),
    *uint((6,), 1, limits.MAX_ENVELOPE_BYTES),
    *array((7,), 1, limits.MAX_ARTIFACTS, whole_artifact),
    *uint((7, 0, 2), 1, limits.MAX_IMAGE_BYTES),
    *octets((7, 1, 1), 32),
    ("encoding", (7, 1, 3), 1, 2),
    ("delta format", (7, 2, 5), 1, 0),
    *octets((7, 2, 6), 32),
    *array((8,), 0, limits.MAX_URLS, url),
    *uint((9,), 0, 1),
    *octets((10,), 32),
    *octets((11,), 32),
]
OFFER: list[Case] = [
    *uint((1,), 11, 2**63 - 1),
    *octets((2,), 32),
    *uint((3,), 0, limits.FULL_THRESHOLD),
    *octets((4,), 8),
    ("range", (5,), [0, 2**63 - 1], [-1, 2**63 - 1]),
    ("range", (5,), [7, 7], [8, 7]),
    *uint((6,), 0, 2**63 - 1),
    *uint((7, 1), 0, 3),
    *uint((7, 2), 0, limits.MAX_INTERVAL_S),
    *uint((7, 3), 0, 100),
    ("flag", (7, 4), False, 0),
    *uint((7, 5), 0, limits.MAX_INTERVAL_S),
    ("window", (7, 6), [0, 86_399], [0, 86_400]),
    ("window", (7, 6), [86_399, 0], [-1, 0]),
    *array((8,), 1, limits.MAX_OFFER_LOTS, an_id),
    *octets((8, 0), 16),
]
HEAD: list[Case] = [
    *uint((1,), 0, 2**63 - 1),
    *array((2,), 0, limits.MAX_OFFERS, offer),
    *((what, (2, 0, *place), good, bad) for what, place, good, bad in OFFER if bad != 2**63),
    *uint((3,), 1, limits.MAX_INTERVAL_S),
    *uint((4,), 0, 2**63 - 1),
    *octets((5,), 32),
]
ROLLOUT: list[Case] = [
    *uint((1,), 1, 2**63 - 1),
    *octets((2,), 16),
    *text((3,), 32),
    *array((4,), 0, limits.MAX_OFFERS, lambda n: offer(n, salt=False)),
    ("no salt", (4,), [offer(1, salt=False)], [offer(1)]),
    *uint((5,), 1, limits.MAX_INTERVAL_S),
]
LOT: list[Case] = [
    *uint((1,), 1, 2**63 - 1),
    *octets((2,), 16),
    *octets((3,), 16),
    *uint((4,), 1, limits.MAX_LOT_DEVICES),
    *octets((5,), 32),
]
PROVISIONING: list[Case] = [
    *array((2,), 1, limits.MAX_URLS, url),
    ("octets", (3,), bytes(65_535), bytes(65_536)),
    *octets((4,), 32),
    *octets((5,), 16),
    ("octets", (6,), bytes(65_535), bytes(65_536)),
    *octets((7,), 32),
    *octets((8,), 16),
    *array((9,), 1, limits.MAX_CHANNELS, lambda n: f"channel-{n}"),
    *((what, (10, *place), good, bad) for what, place, good, bad in INTERVAL),
    *uint((11,), 0, 2**63 - 1),
    *uint((12,), 0, 2**63 - 1),
    *((what, (13, *place), good, bad) for what, place, good, bad in DEVICE_LIMITS),
]
STATE_LEAF: list[Case] = [
    ("prefix", (0,), "fieldpost/state", "fieldpost/State"),
    ("version", (1,), 1, 2),
    *uint((2,), 8, 2**63 - 1),
    *octets((3,), 32),
    *uint((4,), 0, 2**63 - 1),
    *uint((5,), 0, 8),
    *uint((6,), 0, 2**63 - 1),
    *uint((7,), 0, 2**63 - 1),
    *octets((8,), 32),
]

Reader = Callable[[bytes], object]
TABLE: list[tuple[str, bytes, Reader, list[Case]]] = [
    ("board", examples.BOARD_RECORD.encode(), decode_board_record, BOARD),
    ("maker", examples.MAKER_RECORD.encode(), decode_maker_record, MAKER),
    ("class", examples.CLASS_RECORD.encode(), decode_class_record, CLASS),
    ("release", examples.RELEASE_RECORD.encode(), decode_release_record, RELEASE),
    ("head", examples.HEAD.encode(), decode_head, HEAD),
    ("rollout", examples.ROLLOUT.encode(), decode_rollout_set, ROLLOUT),
    ("lot", examples.LOT_RECORD.encode(), decode_lot_record, LOT),
    ("provisioning", examples.PROVISIONING.encode(), decode_provisioning, PROVISIONING),
    ("state leaf", examples.STATE_LEAF.encode(), decode_state_leaf, STATE_LEAF),
]
CASES = [
    pytest.param(encoded, read, place, good, bad, id=f"{name}-{place}-{what}-{n}")
    for name, encoded, read, cases in TABLE
    for n, (what, place, good, bad) in enumerate(cases)
]


@pytest.mark.parametrize(("encoded", "read", "place", "good", "bad"), CASES)
def test_the_limit_is_read_and_one_more_is_refused(
    encoded: bytes, read: Reader, place: Place, good: object, bad: object
) -> None:
    read(changed(encoded, place, good))
    if bad in (-1, 2**63):
        # Beyond what CBOR may carry here, or a negative number where a count belongs.
        bad = -1
    with pytest.raises(Malformed):
        read(changed(encoded, place, bad))


@pytest.mark.parametrize(("name", "encoded", "read"), [row[:3] for row in TABLE])
def test_a_record_is_a_whole_map_of_integers(name: str, encoded: bytes, read: Reader) -> None:
    for bad in (b"", b"\xa0", b"\x80", b"\xf6", encoded[:-1], encoded + b"\0", b"\xa1\x61a\x01"):
        with pytest.raises(Malformed):
            read(bad)


def test_heads_may_come_from_the_ledger_as_well() -> None:
    assert decode_head(examples.HEAD.encode(), Reading.LEDGER) == examples.HEAD
