# SPDX-License-Identifier: Apache-2.0
"""A board changes by a quorum of its operators, with every new key proven, and closes for good."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Misconfigured
from fieldpost.keys import Algorithm
from fieldpost.ledger.batch import Included
from fieldpost.ledger.reading import read_board
from fieldpost.ledger.replay import replay
from fieldpost.posts import subjects
from fieldpost.records import map_keys
from fieldpost.records.board import Admission, Limits, Operator
from fieldpost.records.counters import Link
from fieldpost.records.maker import Role
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.testing.actors import MakerActor, OperatorActor, WitnessActor
from fieldpost.testing.maker_posts import maker_set
from fieldpost.testing.operator_posts import blob_gone, board_set
from fieldpost.testing.rule_versions import TEST_VERSIONS, note_key
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.cosignature import cosigner_key


def four() -> BoardWorld:
    return BoardWorld(operators=4)


def operators_of(world: BoardWorld) -> tuple[Operator, ...]:
    return read_board(world.state.map).operators


def test_a_board_record_is_replaced_as_a_whole_and_the_leaf_says_so() -> None:
    world = four()
    entry = board_set(world, epoch_s=30, admission=Admission.ENDORSED)
    batch = world.accept(entry)
    record = read_board(world.state.map)
    assert (record.epoch, record.epoch_s, record.admission) == (1, 30, Admission.ENDORSED)
    link = Link.decode(world.values[map_keys.link(map_keys.board())])
    leaf = decode_state_leaf(batch.entries[-1])
    assert (leaf.board_epoch, leaf.board_link) == (1, link.digest)
    assert replay(None, world.entries).last == world.state.last


def test_a_quorum_suffices_and_one_less_does_not() -> None:
    world = four()
    governance = [operator.governance for operator in world.operators]
    assert world.refusal(board_set(world, signers=governance[:2])) == "threshold"
    world.accept(board_set(world, signers=governance[:3]))


def test_nobody_else_signs_a_change_of_the_board() -> None:
    world = four()
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    assert world.refusal(board_set(world, added=[stranger])) == "unknown-key"
    assert world.refusal(board_set(world, added=[world.operators[0].log])) == "unknown-key"


def test_a_new_operator_proves_every_key() -> None:
    world = four()
    new = OperatorActor("newcomer", world.origin)
    operators = (*operators_of(world), new.operator())
    for missing in new.signers:
        some = [s for s in new.signers if s.public_key != missing.public_key]
        post = board_set(world, operators=operators, added=some)
        assert world.refusal(post) == "possession"
    world.accept(board_set(world, operators=operators, added=new.signers))
    for signer, role in zip(new.signers, ("governance", "log", "cosigner"), strict=True):
        key = map_keys.used_key(signer.public_key.thumbprint())
        assert world.value(key) == cbor.encode(["newcomer", role])


def test_keys_of_newcomers_do_not_count_towards_the_quorum() -> None:
    """Four old operators need three; two of them and any number of their own inventions do not."""
    world = four()
    new = [OperatorActor(f"newcomer{n}", world.origin) for n in range(4)]
    post = board_set(
        world,
        operators=tuple(actor.operator() for actor in new),
        signers=[operator.governance for operator in world.operators[:2]],
        added=[signer for actor in new for signer in actor.signers],
    )
    assert world.refusal(post) == "threshold"


def test_a_retired_key_never_comes_back() -> None:
    world = four()
    first, *others = operators_of(world)
    renewed = OperatorActor(first.name, world.origin, generation=1)
    world.accept(board_set(world, operators=(renewed.operator(), *others), added=renewed.signers))
    back = world.operators[0]
    signers = [operator.governance for operator in world.operators[1:]]
    post = board_set(world, operators=(first, *others), signers=signers, added=back.signers)
    assert world.refusal(post) == "key-taken"


def test_a_key_does_not_move_to_another_use() -> None:
    world = four()
    first, *others = operators_of(world)
    moved = replace(first, validator_key=first.log_key.public)
    post = board_set(world, operators=(moved, *others), added=[world.operators[0].log])
    assert world.refusal(post) == "key-taken"


def test_a_validator_key_is_proven_like_any_other() -> None:
    world = four()
    first, *others = operators_of(world)
    validator = DeterministicSigner(Algorithm.ED25519, "validator")
    record = (replace(first, validator_key=validator.public_key.raw), *others)
    assert world.refusal(board_set(world, operators=record)) == "possession"
    world.accept(board_set(world, operators=record, added=[validator]))


@pytest.mark.parametrize("keeps_naming_it", [True, False])
def test_a_witness_never_becomes_an_operator(keeps_naming_it: bool) -> None:
    """Policies of makers may name it for years: as an operator it would count twice."""
    world = BoardWorld(operators=4, witnesses=1)
    if not keeps_naming_it:
        world.accept(board_set(world, witnesses=(), witnesses_needed=0))
    (witness,) = world.witnesses
    first, *others = operators_of(world)
    cosigner = cosigner_key("operator0.test/cosigner", witness.signer.public_key)
    changed = (replace(first, cosigner_keys=(cosigner,)), *others)
    post = board_set(
        world, operators=changed, witnesses=(), witnesses_needed=0, added=[witness.signer]
    )
    assert world.refusal(post) == "key-taken"


def test_an_operator_never_becomes_a_witness_also_not_by_a_retired_key() -> None:
    world = four()
    first, *others = operators_of(world)
    renewed = OperatorActor(first.name, world.origin, generation=1)
    old = cosigner_key("independent.test", world.operators[0].log.public_key)
    witness = replace(WitnessActor("w").witness(), key=old)
    assert world.refusal(board_set(world, witnesses=(witness,))) == "key-taken"
    world.accept(board_set(world, operators=(renewed.operator(), *others), added=renewed.signers))
    signers = [operator.governance for operator in world.operators[1:]]
    assert world.refusal(board_set(world, signers=signers, witnesses=(witness,))) == "key-taken"


def test_a_makers_key_may_be_a_witness() -> None:
    """Otherwise a witness could stop the board by registering as a maker with its key."""
    world = BoardWorld(operators=4, witnesses=1)
    maker = MakerActor(world, "witness-owner")
    maker.keys[Role.CARE] = (world.witnesses[0].signer,)
    world.accept(maker.registration())
    world.accept(board_set(world, epoch_s=30))


def test_the_next_record_follows_the_last_link() -> None:
    world = four()
    world.accept(board_set(world))
    genesis = world.board_record
    assert world.refusal(board_set(world, epoch=3)) == "epoch"
    assert world.refusal(board_set(world, previous=bytes(32))) == "previous-link"
    assert world.refusal(board_set(world, epoch=0, previous=None)) == "taken"
    assert genesis.epoch == 0


def test_a_change_is_in_an_operators_name_and_about_the_board() -> None:
    world = four()
    assert world.refusal(board_set(world, claims={"issuer": "somebody"})) == "wrong-issuer"
    assert world.refusal(board_set(world, claims={"subject": "other/1"})) == "wrong-subject"
    assert world.refusal(board_set(world, claims={"audience": world.origin})) == "wrong-board"


def test_an_origin_never_changes() -> None:
    world = BoardWorld()
    elsewhere = OperatorActor("operator0", "other.test/1", generation=1)
    post = board_set(
        world, origin="other.test/1", operators=(elsewhere.operator(),), added=elsewhere.signers
    )
    assert world.refusal(post) == "wrong-subject"


def test_a_key_that_is_no_point_is_refused() -> None:
    world = four()
    weak = bytes(31) + b"\x80"
    first, *others = operators_of(world)
    post = board_set(world, operators=(replace(first, validator_key=weak), *others))
    # Nobody can sign with it, so its possession cannot be shown either.
    assert world.refusal(post) == "possession"
    witness = WitnessActor("w").witness()
    witness = replace(witness, key=replace(witness.key, public=b"\x01" + bytes(31)))
    assert world.refusal(board_set(world, witnesses=(witness,))) == "bad-key"


# --- closing ---


def test_a_closed_board_takes_nothing_but_changes_of_its_record() -> None:
    world = BoardWorld.with_releases(1, operators=4)
    maker = world.maker
    successor = "board.test/2"
    outcomes = world.apply(
        [board_set(world, successor_origin=successor), maker.rollout_set()]
    ).outcomes
    assert isinstance(outcomes[0], Included)
    posts: list[bytes] = [
        maker.rollout_set(),
        maker.release_publish(2),
        MakerActor(world, "late").registration(),
        maker_set(maker, contact="x"),
        blob_gone(world),
    ]
    assert [getattr(outcomes[1], "name", "")] == ["closed"]
    assert {world.refusal(post) for post in posts} == {"closed"}
    world.accept(board_set(world, epoch_s=30))
    assert replay(None, world.entries).last == world.state.last


def test_a_closed_board_does_not_open_again_but_may_correct_where_it_went() -> None:
    world = four()
    world.accept(board_set(world, successor_origin="board.test/2"))
    assert world.refusal(board_set(world, successor_origin=None)) == "closed"
    world.accept(board_set(world, successor_origin="board.test/3"))


def test_a_board_does_not_succeed_itself() -> None:
    world = four()
    assert world.refusal(board_set(world, successor_origin=world.origin)) == "malformed"


# --- rule versions ---


def note(world: BoardWorld) -> bytes:
    maker = world.maker
    return maker.post("test.note", subjects.of_maker(maker.id), b"\x61a", maker.quorum(Role.ROOT))


def switched(**changes: Any) -> BoardWorld:
    world = BoardWorld.with_class(versions=TEST_VERSIONS, **changes)
    world.accept(blob_gone(world))
    world.accept(board_set(world, rule_version=2))
    return world


def test_new_rules_begin_with_the_next_batch() -> None:
    world = BoardWorld.with_class(versions=TEST_VERSIONS)
    change, posted = board_set(world, rule_version=2), note(world)
    outcomes = world.apply([posted, change, posted, blob_gone(world)]).outcomes
    names = [getattr(outcome, "name", "included") for outcome in outcomes]
    assert names == ["unknown-kind", "included", "unknown-kind", "included"]
    world.accept(posted)
    assert world.value(note_key(world.maker.id)) == b"\x61a"
    assert world.refusal(blob_gone(world, digest=bytes(32))) == "unknown-kind"


def test_replay_judges_each_entry_by_the_rules_of_then() -> None:
    """The log holds a post that version 2 has no rule for, and one that version 1 has none for."""
    world = switched()
    world.accept(note(world))
    state = replay(None, world.entries, versions=TEST_VERSIONS)
    assert state.last == world.state.last


def test_a_replica_that_does_not_know_the_rules_stops_at_them_and_not_before() -> None:
    world = switched()
    changed = len(world.entries)
    world.accept(note(world))
    assert replay(None, world.entries[:changed]).last.board_epoch == 1
    with pytest.raises(Misconfigured, match="upgrade"):
        replay(None, world.entries)


@pytest.mark.parametrize("version", [3, 2**16])
def test_a_rule_version_is_the_next_one_or_stays(version: int) -> None:
    world = BoardWorld(versions=TEST_VERSIONS)
    assert world.refusal(board_set(world, rule_version=version)) == "rule-version"


def test_rules_do_not_go_back() -> None:
    world = switched()
    assert world.refusal(board_set(world, rule_version=1)) == "rule-version"


def test_a_board_without_a_reserve_can_still_give_itself_one() -> None:
    world = BoardWorld(limits=Limits(reserve_posts_per_day=0))
    world.accept(board_set(world, epoch_s=30))
    assert world.refusal(board_set(world, limits=Limits())) == "daily-limit"
    world.accept(board_set(world, limits=Limits()), time=world.time + 86_400)
