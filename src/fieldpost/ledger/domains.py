# SPDX-License-Identifier: Apache-2.0
"""Which maker controls a domain, as operators attest it (docs/spec/rules.md, domains).

    free, or held by a maker that has moved on to another epoch    ⌊(n-1)/3⌋+1 operators
    held by another maker at its current epoch                     a quorum of operators

So a domain that was sold, or was attested to a squatter, can be had back, but not by the few
operators that suffice for a free one; and a maker that rotates its keys lets its domain lapse until
operators have seen the new ones. A maker has one domain, a domain one maker.
"""

from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Reader, Writes
from fieldpost.ledger.reading import find_link
from fieldpost.posts.attestation import MakerAttest
from fieldpost.records import map_keys
from fieldpost.records.counters import (
    RELEASED,
    Attestation,
    DomainHolder,
    decode_attestation,
    decode_domain_holder,
)


def attest(read: Reader, payload: MakerAttest, *, time: int, is_quorum: bool) -> Writes:
    """The writes that give the domain to the maker. Raises Rejected(domain-taken)."""
    holder = _holder(read, payload.domain)
    writes: Writes = {}
    if holder is not None and holder.maker != payload.maker:
        link = find_link(read, map_keys.maker(holder.maker))
        assert link is not None  # only registered makers are attested
        if link.epoch == holder.epoch and not is_quorum:
            raise refusal(
                Code.DOMAIN_TAKEN, f"{payload.domain} is attested to {holder.maker.hex()}"
            )
        writes[map_keys.domain_of_maker(holder.maker)] = RELEASED
    before = _domain_of(read, payload.maker)
    if before is not None and before.domain != payload.domain:
        writes[map_keys.domain(before.domain)] = RELEASED
    given = Attestation(payload.domain, payload.epoch, time)
    return writes | {
        map_keys.domain(payload.domain): DomainHolder(payload.maker, payload.epoch).encode(),
        map_keys.domain_of_maker(payload.maker): given.encode(),
    }


def _holder(read: Reader, domain: str) -> DomainHolder | None:
    value = read.value(map_keys.domain(domain))
    return None if value is None else decode_domain_holder(value)


def _domain_of(read: Reader, maker: bytes) -> Attestation | None:
    value = read.value(map_keys.domain_of_maker(maker))
    return None if value is None else decode_attestation(value)
