# SPDX-License-Identifier: Apache-2.0
"""How every record is written, and how ledger and devices read it: what the laws go through."""

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from fieldpost.posts.rollout import decode_rollout_set
from fieldpost.records.board import decode_board_record
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.fields import Reading
from fieldpost.records.head import decode_head
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import decode_maker_record
from fieldpost.records.provisioning import decode_provisioning
from fieldpost.records.release import decode_release_record
from fieldpost.records.state_leaf import decode_state_leaf
from tests.property.strategies_records import (
    HEADS,
    LOTS,
    ROLLOUTS,
    board_records,
    class_records,
    maker_records,
    provisioning_records,
    release_records,
    state_leaves,
)


@dataclass(frozen=True, slots=True)
class Format:
    """One record's format: values, how they are written, how ledger and devices read them.

    `decode` is the decoder itself, which `read` calls.
    """

    name: str
    values: st.SearchStrategy[object]
    encode: Callable[[object], bytes]
    decode: Callable[..., object]
    read: Callable[[bytes], object]
    read_as_device: Callable[[bytes], object] | None = None

    def __str__(self) -> str:
        return self.name


def _encode(record: object) -> bytes:
    encoded = record.encode()  # type: ignore[attr-defined]
    assert isinstance(encoded, bytes)
    return encoded


def _record(
    name: str, values: st.SearchStrategy[object], decode: Callable[[bytes, Reading], object]
) -> Format:
    return Format(
        name,
        values,
        _encode,
        decode,
        lambda data: decode(data, Reading.LEDGER),
        lambda data: decode(data, Reading.DEVICE),
    )


DEVICE_FACING = (
    _record("board record", board_records(), decode_board_record),
    _record("maker record", maker_records(), decode_maker_record),
    _record("class record", class_records(), decode_class_record),
    _record("release record", release_records(), decode_release_record),
    _record("lot record", LOTS, decode_lot_record),
    _record("head", HEADS, decode_head),
    _record("provisioning record", provisioning_records(), decode_provisioning),
)
FORMATS = (
    *DEVICE_FACING,
    Format("rollout", ROLLOUTS, _encode, decode_rollout_set, decode_rollout_set),
    Format("state leaf", state_leaves(), _encode, decode_state_leaf, decode_state_leaf),
)
