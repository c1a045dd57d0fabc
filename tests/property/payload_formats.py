# SPDX-License-Identifier: Apache-2.0
"""How payloads that are no record of a device are read, by kind of post."""

from collections.abc import Callable
from typing import Protocol

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


class Payload(Protocol):
    """What was read can be written again."""

    def encode(self) -> bytes: ...


PAYLOADS: dict[str, Callable[[bytes], Payload]] = {
    "release.floor": decode_release_floor,
    "release.sign": decode_release_sign,
    "release.withdraw": decode_release_withdraw,
    "rollout.set": decode_rollout_set,
    "advisory.publish": decode_advisory,
    "device.status": decode_device_status,
    "fleet.summary": decode_fleet_summary,
    "maker.attest": decode_maker_attest,
    "blob.gone": decode_blob_gone,
}
