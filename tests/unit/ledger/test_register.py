# SPDX-License-Identifier: Apache-2.0
"""A maker enters a board with every key it names, each proven, and a policy that fits the board."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.keys import Algorithm, PublicKey
from fieldpost.ledger.batch import Included
from fieldpost.posts import subjects
from fieldpost.records import map_keys
from fieldpost.records.board import Admission
from fieldpost.records.counters import Link
from fieldpost.records.maker import KeySet, Role, RoleKey, Successor
from fieldpost.testing.actors import MakerActor, WitnessActor
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld

NO_POINT = PublicKey(Algorithm.ED25519, b"\x02" + bytes(31))


def test_a_registered_maker_is_in_the_map_as_it_signed_itself() -> None:
    world = BoardWorld()
    maker = world.maker
    entry = maker.registration()
    world.accept(entry)
    assert world.value(map_keys.maker(maker.id)) == maker.record().encode()
    assert world.value(map_keys.maker_classes(maker.id)) == cbor.encode([])
    link = Link.decode(world.values[map_keys.link(map_keys.maker(maker.id))])
    assert link.epoch == 0


def test_each_key_is_taken_in_its_role() -> None:
    world = BoardWorld.with_class()
    for role in Role:
        for signer in world.maker.keys[role]:
            key = map_keys.used_key(signer.public_key.thumbprint())
            assert world.value(key) == cbor.encode([world.maker.id.hex(), role.name.lower()])


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_makers_use_any_admitted_algorithm(algorithm: Algorithm) -> None:
    world = BoardWorld()
    maker = MakerActor(world, "modern", algorithm=algorithm)
    world.accept(maker.registration())
    assert world.value(map_keys.maker(maker.id)) is not None


@pytest.mark.parametrize("role", list(Role))
def test_a_key_that_did_not_sign_is_not_registered(role: Role) -> None:
    world = BoardWorld()
    everybody = [signer for r in Role for signer in world.maker.keys[r]]
    signers = [signer for signer in everybody if signer is not world.maker.keys[role][-1]]
    assert world.refusal(world.maker.registration(signers=signers)) == "possession"


def test_a_stranger_cannot_decorate_a_registration() -> None:
    world = BoardWorld()
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    assert world.refusal(world.maker.registration(endorsers=[stranger])) == "unknown-key"


def test_a_maker_registers_once() -> None:
    world = BoardWorld.with_class()
    assert world.refusal(world.maker.registration()) == "taken"


def test_a_first_record_has_epoch_zero() -> None:
    world = BoardWorld()
    assert world.refusal(world.maker.registration(epoch=1, previous=bytes(32))) == "epoch"


def test_a_key_of_another_maker_is_taken() -> None:
    world = BoardWorld.with_class()
    other = MakerActor(world, "other")
    other.keys[Role.RELEASE] = world.maker.keys[Role.ROLLOUT]
    assert world.refusal(other.registration()) == "key-taken"


def test_a_key_of_an_operator_is_taken() -> None:
    world = BoardWorld()
    world.maker.keys[Role.CARE] = (world.operators[0].log,)
    assert world.refusal(world.maker.registration()) == "key-taken"


def test_registration_speaks_for_the_maker_whose_keys_it_holds() -> None:
    world = BoardWorld()
    maker = world.maker
    payload = maker.record().encode()
    signers = [signer for role in Role for signer in maker.keys[role]]
    subject = subjects.of_maker(maker.id)

    def refusal(subject: str = subject, **claims: str) -> str:
        return world.refusal(maker.post("maker.register", subject, payload, signers, **claims))

    assert refusal(issuer="00" * 16) == "wrong-issuer"
    assert refusal(subject="00" * 16) == "wrong-subject"
    assert refusal(audience="board.test/1#" + "00" * 16) == "wrong-board"


@pytest.mark.parametrize(
    "changes",
    [
        {"report_key": NO_POINT},
        {"successor": Successor(KeySet(1, (RoleKey(NO_POINT),)), silence_s=1, veto_s=1)},
    ],
)
def test_keys_that_sign_nothing_yet_must_be_sound_too(changes: dict[str, Any]) -> None:
    world = BoardWorld()
    assert world.refusal(world.maker.registration(**changes)) == "bad-key"


@pytest.mark.parametrize(
    "changes",
    [
        {"board": "other.test/1#" + "00" * 16},
        {"board_epoch": 1},
        {"board_link": bytes(32)},
        {"witnesses": (WitnessActor("unheard-of").key,)},
    ],
)
def test_a_policy_that_does_not_fit_the_board_is_refused(changes: dict[str, Any]) -> None:
    world = BoardWorld(witnesses=1)
    policy = replace(world.maker.record().policy, **changes)
    assert world.refusal(world.maker.registration(policy=policy)) == "bad-policy"


def test_a_policy_cannot_count_an_operator_as_witness() -> None:
    world = BoardWorld(witnesses=1)
    (key,) = world.board_record.operators[0].cosigner_keys
    policy = replace(world.maker.record().policy, witnesses=(key,))
    assert world.refusal(world.maker.registration(policy=policy)) == "bad-policy"


def test_an_endorsing_board_takes_only_makers_that_an_operator_signed_for() -> None:
    world = BoardWorld(operators=4, admission=Admission.ENDORSED)
    assert world.refusal(world.maker.registration()) == "not-endorsed"
    world.accept(world.maker.registration(endorsers=[world.operators[2].governance]))
    assert world.value(map_keys.maker(world.maker.id)) is not None


def test_an_operators_log_key_endorses_nothing() -> None:
    world = BoardWorld(admission=Admission.ENDORSED)
    endorsed = world.maker.registration(endorsers=[world.operators[0].log])
    assert world.refusal(endorsed) == "not-endorsed"


def test_an_open_board_takes_endorsements_as_well() -> None:
    world = BoardWorld()
    batch = world.accept(world.maker.registration(endorsers=[world.operators[0].governance]))
    assert isinstance(batch.outcomes[0], Included)
