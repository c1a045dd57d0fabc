# SPDX-License-Identifier: Apache-2.0
"""`rollout.set`: the offers and interval of one channel, without what rules write.

{1: nonce, 2: class id, 3: channel, 4: [offer without salt…], 5: interval s}
"""

from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.records import limits
from fieldpost.records.device_class import read_channel
from fieldpost.records.fields import Fields, Reading
from fieldpost.records.head import Offer, check_order, read_offer


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSet:
    """What a channel shall offer from now on. An empty list offers nothing."""

    nonce: int
    class_id: bytes
    channel: str
    offers: tuple[Offer, ...]
    interval_s: int

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post."""
        return cbor.encode(
            {
                1: self.nonce,
                2: self.class_id,
                3: self.channel,
                4: [offer.value() for offer in self.offers],
                5: self.interval_s,
            }
        )


def decode_rollout_set(data: bytes) -> RolloutSet:
    """Read the payload of `rollout.set`. Raises Malformed."""
    fields = Fields(cbor.decode(data), "rollout")
    rollout = RolloutSet(
        nonce=fields.uint(1, least=1),
        class_id=fields.octets(2, length=16),
        channel=read_channel(fields.value(3)),
        offers=fields.each(
            4, lambda v: read_offer(v, Reading.LEDGER, salted=False), most=limits.MAX_OFFERS
        ),
        interval_s=fields.uint(5, least=1, most=limits.MAX_INTERVAL_S),
    )
    fields.close()
    check_order(rollout.offers)
    return rollout
