# SPDX-License-Identifier: Apache-2.0
"""The record that the payload of each kind of post is.

A rule of the ledger names its decoder itself, and a rule of a later version may name another; this
is for whoever shows a payload, or decodes it before a rule asks.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

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
