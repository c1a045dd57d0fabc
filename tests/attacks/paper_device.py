# SPDX-License-Identifier: Apache-2.0
"""A device as the attacks see it: what it believes, and that a refusal changes none of it."""

from typing import Any

import pytest

from fieldpost.checkin.belief import believe
from fieldpost.checkin.manifests import verify_release
from fieldpost.checkin.offers import choose_offer
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.errors import Untrusted
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.head import Offer
from fieldpost.suit.manifest import Manifest
from fieldpost.testing.bundles import PaperBoard

DAY = 86_400
DEVICE = b"\x07" * 32


class Device:
    """A device of the board's class: it persists what `verify_bundle` returns, and nothing else."""

    def __init__(self, board: PaperBoard) -> None:
        self.board = board
        self.belief, self.provisioning = believe(board.provisioning())
        self.running = 10

    def check_in(self, data: bytes, **arguments: Any) -> Verified:
        given = {"now": self.board.time, "least_time": self.provisioning.least_time} | arguments
        verified = verify_bundle(self.belief, data, key=self.board.head_key, **given)
        self.belief = verified.belief
        return verified

    def refuses(self, data: bytes, reason: str, **arguments: Any) -> Untrusted:
        """The bundle is refused for that reason, and nothing changes."""
        before = self.belief
        with pytest.raises(Untrusted) as caught:
            self.check_in(data, **arguments)
        assert caught.value.reason == reason
        assert self.belief == before
        return caught.value

    def chosen(self, verified: Verified) -> Offer | None:
        assert verified.head is not None
        return choose_offer(
            verified.head,
            running=self.running,
            device=DEVICE,
            lot=None,
            timestamp=verified.timestamp,
        )

    def manifest(self, envelope: bytes, offer: Offer) -> Manifest:
        return verify_release(
            envelope,
            offer,
            maker=self.belief.maker_view(),
            maker_id=self.belief.maker,
            class_id=self.provisioning.class_id,
            limits=DeviceLimits(),
        )


def sequences(verified: Verified) -> list[int]:
    assert verified.head is not None
    return [offer.sequence for offer in verified.head.offers]
