# SPDX-License-Identifier: Apache-2.0
"""What is refused anyway is refused before the dear part, so that strangers cannot buy time."""

from fieldpost.keys import PublicKey
from fieldpost.ledger.batch import Refused, apply_batch
from fieldpost.records.board import Admission, Limits
from fieldpost.testing.actors import MakerActor
from fieldpost.testing.world import BoardWorld


def refused_unchecked(world: BoardWorld, post: bytes) -> str:
    """The refusal's name, by a ledger that may not check a signature."""

    def check(key: PublicKey, message: bytes, signature: bytes) -> None:
        raise AssertionError("a signature was checked")

    (outcome,) = apply_batch(
        world.state, [post], time=world.time + 60, check_signature=check
    ).outcomes
    assert isinstance(outcome, Refused)
    return outcome.name


def test_a_registration_beyond_the_days_limit_costs_no_signature() -> None:
    world = BoardWorld(limits=Limits(registrations_per_day=1))
    world.accept(world.maker.registration())
    other = MakerActor(world, name="other")
    assert refused_unchecked(world, other.registration()) == "registration-limit"


def test_a_registration_that_nobody_endorsed_costs_no_signature() -> None:
    world = BoardWorld(admission=Admission.ENDORSED)
    assert refused_unchecked(world, world.maker.registration()) == "not-endorsed"
