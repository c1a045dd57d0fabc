# SPDX-License-Identifier: Apache-2.0
"""Every encoding of RFC 8949 appendix A: taken with its value, or refused for the stated reason."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed

FLOAT = "floats and simple values"
INDEFINITE = "indefinite lengths"
TOO_LARGE = "integer is outside"

# Well-formed CBOR outside the subset. All else in the appendix is taken.
REFUSED = {
    "1bffffffffffffffff": TOO_LARGE,
    "3bffffffffffffffff": TOO_LARGE,
    **dict.fromkeys(["f7", "f0", "f818", "f8ff"], FLOAT),
    **dict.fromkeys(
        [
            *("f90000", "f98000", "f93c00", "f93e00", "f97bff", "f90001", "f90400", "f9c400"),
            *("f97c00", "f97e00", "f9fc00", "fa47c35000", "fa7f7fffff", "fa7f800000"),
            *("fa7fc00000", "faff800000", "fb3ff199999999999a", "fb7e37e43c8800759c"),
            *("fbc010666666666666", "fb7ff0000000000000", "fb7ff8000000000000"),
            *("fbfff0000000000000", "c1fb41d452d9ec200000"),
        ],
        FLOAT,
    ),
    **dict.fromkeys(
        [
            *("5f42010243030405ff", "7f657374726561646d696e67ff", "9fff"),
            *("9f018202039f0405ffff", "9f01820203820405ff", "83018202039f0405ff"),
            *("83019f0203ff820405", "bf61610161629f0203ffff", "826161bf61626163ff"),
            "bf6346756ef563416d7421ff",
            "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff",
        ],
        INDEFINITE,
    ),
}

# What the file shows in diagnostic notation, or as a number that only a bignum tag can carry.
SHOWN_OTHERWISE: dict[str, cbor.Value] = {
    "c249010000000000000000": cbor.Tag(2, b"\x01" + bytes(8)),
    "c349010000000000000000": cbor.Tag(3, b"\x01" + bytes(8)),
    "c074323031332d30332d32315432303a30343a30305a": cbor.Tag(0, "2013-03-21T20:04:00Z"),
    "c11a514b67b0": cbor.Tag(1, 1363896240),
    "d74401020304": cbor.Tag(23, b"\x01\x02\x03\x04"),
    "d818456449455446": cbor.Tag(24, b"dIETF"),
    "d82076687474703a2f2f7777772e6578616d706c652e636f6d": cbor.Tag(32, "http://www.example.com"),
    "40": b"",
    "4401020304": b"\x01\x02\x03\x04",
    "a201020304": {1: 2, 3: 4},
}


@pytest.fixture(scope="module")
def cases(shared_vectors: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        (shared_vectors / "cbor" / "appendix_a.json").read_text()
    )
    return found


def as_decoded(value: object) -> object:
    """JSON's lists as the tuples that the decoder gives."""
    if isinstance(value, list):
        return tuple(as_decoded(item) for item in value)
    if isinstance(value, dict):
        return {key: as_decoded(item) for key, item in value.items()}
    return value


def test_the_table_names_only_what_the_file_holds(cases: list[dict[str, Any]]) -> None:
    present = {case["hex"] for case in cases}
    assert len(cases) == 82
    assert set(REFUSED) <= present
    assert set(SHOWN_OTHERWISE) <= present


def test_what_is_in_the_subset_has_its_value_and_no_other_encoding(
    cases: list[dict[str, Any]],
) -> None:
    taken = [case for case in cases if case["hex"] not in REFUSED]
    assert len(taken) == 82 - len(REFUSED)
    for case in taken:
        data = bytes.fromhex(case["hex"])
        value = cbor.decode(data)
        if case["hex"] in SHOWN_OTHERWISE:
            assert value == SHOWN_OTHERWISE[case["hex"]]
        else:
            assert value == as_decoded(case["decoded"]), case["hex"]
            assert type(value) is type(as_decoded(case["decoded"]))
        assert cbor.encode(value) == data


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_outside_is_refused_for_its_reason(text: str, shared_vectors: Path) -> None:
    with pytest.raises(Malformed, match=REFUSED[text]):
        cbor.decode(bytes.fromhex(text))


def test_the_encoder_refuses_the_values_that_the_decoder_would(
    cases: list[dict[str, Any]],
) -> None:
    values = [case["decoded"] for case in cases if case["hex"] in REFUSED and "decoded" in case]
    outside = [
        value for value in values if isinstance(value, float) or abs(as_number(value)) > 2**63
    ]
    assert len(outside) > 10
    for value in [*outside, math.nan, math.inf]:
        with pytest.raises(ValueError, match=r"no place|outside"):
            cbor.encode(value)


def as_number(value: object) -> int:
    return value if isinstance(value, int) else 0
