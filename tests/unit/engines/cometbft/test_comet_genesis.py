# SPDX-License-Identifier: Apache-2.0
"""genesis.json: one board, one file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engines.cometbft.genesis import Genesis, Validator, chain_id, decode_genesis
from fieldpost.errors import Malformed

BOARD = "board.example/1+0123456789abcdef"


def genesis(*, size: int = 2, post: bytes | None = b"post") -> Genesis:
    return Genesis(
        board=BOARD,
        time=1_700_000_000,
        size=size,
        root=bytes(range(32)),
        genesis_post=post,
        validators=(Validator("a", bytes(32)), Validator("b", bytes([1]) * 32)),
    )


@pytest.mark.parametrize("made", [genesis(), genesis(size=4_711, post=None)])
def test_a_genesis_is_read_back_as_it_was_written(made: Genesis) -> None:
    assert decode_genesis(made.encode()) == made


def test_cometbft_is_told_the_root_and_validators_of_equal_power() -> None:
    document = json.loads(genesis().encode())
    assert document["app_hash"] == bytes(range(32)).hex().upper()
    assert {each["power"] for each in document["validators"]} == {"1"}
    assert document["chain_id"] == chain_id(BOARD)
    assert len(document["chain_id"]) <= 50


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("chain_id", "other"),
        ("genesis_time", "2023-11-14T22:13:20.5Z"),
        ("genesis_time", 5),
        ("validators", []),
        ("app_hash", ""),
        ("app_state", {}),
        ("app_state", {"board": BOARD, "size": 1, "root": "00" * 32}),
        ("app_state", {"board": BOARD, "size": 9, "root": "00" * 32, "genesis_post": ""}),
    ],
)
def test_a_genesis_that_says_anything_else_is_refused(member: str, value: object) -> None:
    document = json.loads(genesis().encode()) | {member: value}
    with pytest.raises(Malformed):
        decode_genesis(json.dumps(document, indent=2).encode() + b"\n")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_genesis_or_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_genesis(data)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_a_genesis_with_any_byte_changed_is_another_or_malformed(place: int, byte: int) -> None:
    data = bytearray(genesis().encode())
    place %= len(data)
    same = data[place] == byte
    data[place] = byte
    try:
        assert (decode_genesis(bytes(data)) == genesis()) is same
    except Malformed:
        assert not same
