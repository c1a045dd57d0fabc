# SPDX-License-Identifier: Apache-2.0
"""A domain is a maker's when operators say so, and no squatter keeps it for ever."""

import pytest

from fieldpost import cbor
from fieldpost.posts import subjects
from fieldpost.posts.attestation import MakerAttest
from fieldpost.records import map_keys
from fieldpost.records.counters import (
    Attestation,
    DomainHolder,
    decode_attestation,
    decode_domain_holder,
)
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.maker_posts import maker_set
from fieldpost.testing.operator_posts import maker_attest, operator_post
from fieldpost.testing.world import BoardWorld

DOMAIN = "acme.example"


def world_with_two() -> tuple[BoardWorld, MakerActor, MakerActor]:
    world = BoardWorld(operators=4)
    other = MakerActor(world, "other")
    world.accept(world.maker.registration(), other.registration())
    return world, world.maker, other


def domain_of(world: BoardWorld, maker: MakerActor) -> Attestation | None:
    value = world.value(map_keys.domain_of_maker(maker.id))
    return None if value is None else decode_attestation(value)


def holder_of(world: BoardWorld, domain: str) -> DomainHolder | None:
    value = world.value(map_keys.domain(domain))
    return None if value is None else decode_domain_holder(value)


def test_an_attested_domain_stands_beside_the_makers_record() -> None:
    world, maker, other = world_with_two()
    record = world.value(map_keys.maker(maker.id))
    world.accept(maker_attest(world, maker, DOMAIN))
    assert domain_of(world, maker) == Attestation(DOMAIN, 0, world.time)
    assert holder_of(world, DOMAIN) == DomainHolder(maker.id, 0)
    assert domain_of(world, other) is None
    assert world.value(map_keys.maker(maker.id)) == record


def test_one_operator_of_four_is_too_few() -> None:
    world, maker, _ = world_with_two()
    alone = maker_attest(world, maker, DOMAIN, operators=world.operators[:1])
    assert world.refusal(alone) == "threshold"


def test_nobody_but_operators_attests() -> None:
    world, maker, _ = world_with_two()
    payload = MakerAttest(nonce=1, maker=maker.id, epoch=0, domain=DOMAIN).encode()
    subject = subjects.of_maker(maker.id)
    signers = [world.operators[0].governance, world.operators[1].log]
    post = operator_post(world, "maker.attest", subject, payload, signers)
    assert world.refusal(post) == "unknown-key"


def test_the_operator_in_whose_name_it_is_signed_it() -> None:
    world, maker, _ = world_with_two()
    claims = {"issuer": "operator3"}
    post = maker_attest(world, maker, DOMAIN, claims=claims)
    assert world.refusal(post) == "threshold"
    claims = {"issuer": "somebody"}
    assert world.refusal(maker_attest(world, maker, DOMAIN, claims=claims)) == "wrong-issuer"
    claims = {"subject": "00" * 16}
    assert world.refusal(maker_attest(world, maker, DOMAIN, claims=claims)) == "wrong-subject"


def test_an_attestation_is_taken_once() -> None:
    """Else the one before a takeover could be posted again by anybody."""
    world, maker, _ = world_with_two()
    post = maker_attest(world, maker, DOMAIN)
    world.accept(post)
    assert world.refusal(post) == "nonce"


def test_only_a_registered_maker_is_attested_at_its_epoch() -> None:
    world, maker, _ = world_with_two()
    assert world.refusal(maker_attest(world, maker, DOMAIN, epoch=1)) == "maker-epoch"
    world.accept(maker_set(maker, contact="x"))
    assert world.refusal(maker_attest(world, maker, DOMAIN, epoch=0)) == "maker-epoch"
    assert world.refusal(maker_attest(world, maker, DOMAIN, maker=bytes(16))) == "unknown-maker"


@pytest.mark.parametrize(
    "domain", ["acme", "Acme.example", "acme.example.", "10.0.0.1", "a..b", "-a.b", "a" * 64 + ".b"]
)
def test_what_is_no_domain_is_malformed(domain: str) -> None:
    world, maker, _ = world_with_two()
    assert world.refusal(maker_attest(world, maker, DOMAIN, domain=domain)) == "malformed"


def test_a_held_domain_is_taken_over_by_a_quorum_alone() -> None:
    world, maker, other = world_with_two()
    world.accept(maker_attest(world, maker, DOMAIN))
    assert world.refusal(maker_attest(world, other, DOMAIN)) == "domain-taken"
    world.accept(maker_attest(world, other, DOMAIN, operators=world.operators[:3]))
    assert holder_of(world, DOMAIN) == DomainHolder(other.id, 0)
    assert domain_of(world, maker) is None
    assert world.value(map_keys.domain_of_maker(maker.id)) == cbor.encode([])


def test_a_domain_lapses_with_the_epoch_at_which_it_was_attested() -> None:
    world, maker, other = world_with_two()
    world.accept(maker_attest(world, maker, DOMAIN))
    world.accept(maker_set(maker, contact="x"))
    world.accept(maker_attest(world, other, DOMAIN))
    assert holder_of(world, DOMAIN) == DomainHolder(other.id, 0)


def test_a_maker_renews_its_domain_and_leaves_it_for_another() -> None:
    world, maker, other = world_with_two()
    world.accept(maker_attest(world, maker, DOMAIN))
    world.accept(maker_set(maker, contact="x"))
    world.accept(maker_attest(world, maker, DOMAIN))
    assert domain_of(world, maker) == Attestation(DOMAIN, 1, world.time)
    world.accept(maker_attest(world, maker, "acme-devices.example"))
    assert holder_of(world, DOMAIN) is None
    world.accept(maker_attest(world, other, DOMAIN))
    assert holder_of(world, DOMAIN) == DomainHolder(other.id, 0)


def test_a_spoilt_signature_is_refused() -> None:
    world, maker, _ = world_with_two()
    post = bytearray(maker_attest(world, maker, DOMAIN))
    post[-1] ^= 1
    assert world.refusal(bytes(post)) == "bad-signature"
