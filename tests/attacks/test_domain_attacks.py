# SPDX-License-Identifier: Apache-2.0
"""Domain squatting: who may be shown as acme.example, and how it is had back."""

from fieldpost.records import map_keys
from fieldpost.records.counters import DomainHolder, decode_domain_holder
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.operator_posts import maker_attest
from fieldpost.testing.world import BoardWorld

DOMAIN = "acme.example"


def board() -> tuple[BoardWorld, MakerActor, MakerActor]:
    """Four operators, the owner of the domain, and a squatter."""
    world = BoardWorld(operators=4)
    squatter = MakerActor(world, "acme-inc")
    world.accept(world.maker.registration(), squatter.registration())
    return world, world.maker, squatter


def holder(world: BoardWorld) -> bytes | None:
    value = world.value(map_keys.domain(DOMAIN))
    found: DomainHolder | None = None if value is None else decode_domain_holder(value)
    return None if found is None else found.maker


def test_a_bribed_operator_alone_gives_no_domain_away() -> None:
    world, _, squatter = board()
    bribed = maker_attest(world, squatter, DOMAIN, operators=world.operators[:1])
    assert world.refusal(bribed) == "threshold"
    assert holder(world) is None
    with without(Defence.ATTESTERS):
        world.accept(bribed)
    assert holder(world) == squatter.id


def test_a_domain_that_is_held_is_not_taken_by_the_few_who_may_give_a_free_one() -> None:
    world, owner, squatter = board()
    world.accept(maker_attest(world, owner, DOMAIN))
    two = maker_attest(world, squatter, DOMAIN, operators=world.operators[1:3])
    assert world.refusal(two) == "domain-taken"
    assert holder(world) == owner.id
    with without(Defence.DOMAIN_HOLDER):
        world.accept(two)
    assert holder(world) == squatter.id


def test_a_squatter_who_came_first_does_not_keep_the_domain() -> None:
    """Two of four were deceived; a quorum gives the domain to whom it belongs."""
    world, owner, squatter = board()
    world.accept(maker_attest(world, squatter, DOMAIN))
    assert world.refusal(maker_attest(world, owner, DOMAIN)) == "domain-taken"
    world.accept(maker_attest(world, owner, DOMAIN, operators=world.operators[:3]))
    assert holder(world) == owner.id


def test_a_name_is_no_domain() -> None:
    """A maker may call itself what it likes; nothing makes a name into an attestation."""
    world = BoardWorld()
    liar = MakerActor(world, "acme.example")
    world.accept(liar.registration())
    assert world.value(map_keys.domain_of_maker(liar.id)) is None
    assert holder(world) is None


def test_a_signature_over_another_domain_is_no_attestation_of_this_one() -> None:
    world, owner, squatter = board()
    world.accept(maker_attest(world, owner, DOMAIN))
    world.accept(maker_attest(world, squatter, "acme-inc.example"))
    assert holder(world) == owner.id
