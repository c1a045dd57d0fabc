# SPDX-License-Identifier: Apache-2.0
"""`maker.attest`: operators saw that a maker controls a domain (docs/spec/kinds.md).

{1: nonce, 2: maker id, 3: maker epoch, 4: domain}
"""

from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.records import limits
from fieldpost.records.fields import Fields
from fieldpost.records.identifiers import check_domain


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerAttest:
    """The maker with this id, at this epoch, controls `domain`."""

    nonce: int
    maker: bytes
    epoch: int
    domain: str

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the post."""
        return cbor.encode({1: self.nonce, 2: self.maker, 3: self.epoch, 4: self.domain})


def decode_maker_attest(data: bytes) -> MakerAttest:
    """Read the payload of `maker.attest`. Raises Malformed."""
    fields = Fields(cbor.decode(data), "attestation")
    attest = MakerAttest(
        nonce=fields.uint(1, least=1),
        maker=fields.octets(2, length=16),
        epoch=fields.uint(3),
        domain=check_domain(fields.text(4, most=limits.MAX_DOMAIN)),
    )
    fields.close()
    return attest
