# SPDX-License-Identifier: Apache-2.0
"""What happens to a release after `release.publish` (docs/spec/kinds.md).

release.floor     {1: nonce, 2: class id, 3: floor}
release.sign      {1: nonce, 2: class id, 3: sequence, 4: [block…]}
release.withdraw  {1: nonce, 2: class id, 3: sequence, 4: reason}

block = [kid, algorithm, signature]    of the SUIT envelope, sorted by kid, one per key
"""

from dataclasses import dataclass
from itertools import pairwise

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import SIGNATURE_BYTES, Algorithm
from fieldpost.records import limits
from fieldpost.records.fields import Fields, member_of
from fieldpost.suit.envelope import AuthenticationBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFloor:
    """Nothing below `floor` is offered from now on, steps towards it apart."""

    nonce: int
    class_id: bytes
    floor: int

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post."""
        return cbor.encode({1: self.nonce, 2: self.class_id, 3: self.floor})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSign:
    """Further signatures over the manifest of a published release."""

    nonce: int
    class_id: bytes
    sequence: int
    blocks: tuple[AuthenticationBlock, ...]

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post."""
        blocks = [block_value(block) for block in self.blocks]
        return cbor.encode({1: self.nonce, 2: self.class_id, 3: self.sequence, 4: blocks})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseWithdraw:
    """A release is offered no more, and why."""

    nonce: int
    class_id: bytes
    sequence: int
    reason: str

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post."""
        return cbor.encode({1: self.nonce, 2: self.class_id, 3: self.sequence, 4: self.reason})


def decode_release_floor(data: bytes) -> ReleaseFloor:
    """Read the payload of `release.floor`. Raises Malformed."""
    fields = Fields(cbor.decode(data), "floor")
    floor = ReleaseFloor(
        nonce=fields.uint(1, least=1),
        class_id=fields.octets(2, length=16),
        floor=fields.uint(3, least=1),
    )
    fields.close()
    return floor


def decode_release_sign(data: bytes) -> ReleaseSign:
    """Read the payload of `release.sign`. Raises Malformed."""
    fields = Fields(cbor.decode(data), "signatures")
    sign = ReleaseSign(
        nonce=fields.uint(1, least=1),
        class_id=fields.octets(2, length=16),
        sequence=fields.uint(3, least=1),
        blocks=fields.each(4, read_block, least=1, most=limits.MAX_ROLE_KEYS),
    )
    fields.close()
    if any(first.kid >= second.kid for first, second in pairwise(sign.blocks)):
        raise Malformed("blocks must be sorted by kid, one per key")
    return sign


def decode_release_withdraw(data: bytes) -> ReleaseWithdraw:
    """Read the payload of `release.withdraw`. Raises Malformed."""
    fields = Fields(cbor.decode(data), "withdrawal")
    withdraw = ReleaseWithdraw(
        nonce=fields.uint(1, least=1),
        class_id=fields.octets(2, length=16),
        sequence=fields.uint(3, least=1),
        reason=fields.text(4, most=limits.MAX_TEXT),
    )
    fields.close()
    return withdraw


def block_value(block: AuthenticationBlock) -> list[cbor.Value]:
    """The CBOR form [kid, algorithm, signature]."""
    return [block.kid, int(block.algorithm), block.signature]


def read_block(value: cbor.Value) -> AuthenticationBlock:
    """Read [kid, algorithm, signature] of an admitted algorithm. Raises Malformed."""
    match value:
        case (bytes(kid), int(number), bytes(signature)) if len(kid) == 32:
            algorithm = member_of(Algorithm, "an algorithm")(number)
            if len(signature) != SIGNATURE_BYTES[algorithm]:
                raise Malformed("a block's signature has a wrong length")
            return AuthenticationBlock(kid, int(algorithm), signature)
        case _:
            raise Malformed("a block must be [32-byte kid, algorithm, signature]")
