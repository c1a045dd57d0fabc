# SPDX-License-Identifier: Apache-2.0
"""Which record the payload of each kind of post is, for whoever decodes payloads ahead of a rule.

A rule names its decoder itself (`reading.read_payload`). What is decoded ahead by the same decoder
is what the rule would have made; by another one, of a later rule version, it is not looked at.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeVar

from fieldpost.errors import Malformed
from fieldpost.posts.attestation import decode_maker_attest
from fieldpost.posts.blob import decode_blob_gone
from fieldpost.posts.device import decode_device_status
from fieldpost.posts.fleet import decode_fleet_summary
from fieldpost.posts.release import (
    decode_release_floor,
    decode_release_sign,
    decode_release_withdraw,
)
from fieldpost.posts.rollout import decode_rollout_set
from fieldpost.records.advisory import decode_advisory
from fieldpost.records.board import decode_board_record
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import decode_maker_record
from fieldpost.records.release import decode_release_record


class Payload(Protocol):
    """A record that can be written again."""

    def encode(self) -> bytes:
        """Its one form."""
        ...


P = TypeVar("P", bound=Payload)

DECODERS: Final[Mapping[str, Callable[[bytes], Payload]]] = {
    "genesis": decode_board_record,
    "board.set": decode_board_record,
    "maker.register": decode_maker_record,
    "maker.attest": decode_maker_attest,
    "maker.set": decode_maker_record,
    "class.set": decode_class_record,
    "release.publish": decode_release_record,
    "release.floor": decode_release_floor,
    "release.sign": decode_release_sign,
    "release.withdraw": decode_release_withdraw,
    "rollout.set": decode_rollout_set,
    "advisory.publish": decode_advisory,
    "lot.enrol": decode_lot_record,
    "device.status": decode_device_status,
    "fleet.summary": decode_fleet_summary,
    "blob.gone": decode_blob_gone,
}


def decode_in_one_form(payload: bytes, decode: Callable[[bytes], P], kind: str) -> P:
    """A payload's record. Raises Malformed unless it is what the record would encode to."""
    record = decode(payload)
    if record.encode() != payload:
        raise Malformed(f"the payload of {kind} is not in its one form")
    return record


def decode_ahead(kind: str, payload: bytes) -> Payload | None:
    """The record of a post of this kind; None where the rule must look and say what is wrong."""
    decode = DECODERS.get(kind)
    try:
        return None if decode is None else decode_in_one_form(payload, decode, kind)
    except Malformed:
        return None
