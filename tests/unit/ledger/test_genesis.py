# SPDX-License-Identifier: Apache-2.0
"""A board begins with one post of all its operators, and with nothing else."""

from dataclasses import replace

import pytest

from fieldpost.cbor import encode
from fieldpost.errors import Malformed, Rejected
from fieldpost.ledger.genesis import apply_genesis, make_genesis
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, Witness
from fieldpost.records.counters import Link
from fieldpost.records.identifiers import board_id
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.testing.actors import OperatorActor
from fieldpost.testing.world import START, BoardWorld
from fieldpost.tlog.cosignature import cosigner_key
from fieldpost.tlog.hashing import leaf_hash


def code_of(entry: bytes) -> str:
    with pytest.raises(Rejected) as caught:
        apply_genesis(entry, time=START)
    return caught.value.name


def signed(record: BoardRecord, world: BoardWorld, **claims: str) -> bytes:
    statement = Statement(
        kind=claims.get("kind", "genesis"),
        issuer=claims.get("issuer", "operator0"),
        subject=claims.get("subject", record.origin),
        audience=claims.get("audience", record.origin),
        payload=record.encode(),
    )
    return sign_post(statement, [operator.governance for operator in world.operators]).encode()


def test_genesis_makes_a_board_whose_id_is_its_own_digest() -> None:
    world = BoardWorld(operators=4)
    batch = apply_genesis(world.genesis, time=START)
    assert batch.entries[0] == world.genesis
    assert batch.state.board == board_id("board.test/1", leaf_hash(world.genesis))
    assert batch.state.size == 2


def test_the_first_state_leaf_states_the_map_over_genesis_alone() -> None:
    world = BoardWorld()
    leaf = decode_state_leaf(world.entries[1])
    link = Link.decode(world.values[map_keys.link(map_keys.board())])
    assert leaf == world.state.last
    assert (leaf.covered_size, leaf.previous_state_index, leaf.time) == (1, None, START)
    assert (leaf.map_root, leaf.key_count) == (world.state.map.root, len(world.values))
    assert (leaf.board_epoch, leaf.board_link) == (link.epoch, link.digest)
    assert world.value(map_keys.board()) == world.board_record.encode()


def test_every_key_of_an_operator_is_taken_from_the_start() -> None:
    world = BoardWorld(post_quantum=True)
    (operator,) = world.board_record.operators
    keys = [operator.governance_key, operator.log_key.public_key]
    keys += [key.public_key for key in operator.cosigner_keys]
    taken = [world.value(map_keys.used_key(key.thumbprint())) for key in keys]
    roles = ("governance", "log", "cosigner", "cosigner")
    assert taken == [encode(["operator0", role]) for role in roles]


def test_every_operator_must_sign_genesis() -> None:
    world = BoardWorld(operators=3)
    signers = [operator.governance for operator in world.operators[:2]]
    assert code_of(make_genesis(world.board_record, signers)) == "possession"


def test_nobody_else_may_sign_genesis() -> None:
    world = BoardWorld()
    stranger = OperatorActor("stranger", world.origin)
    signers = [world.operators[0].governance, stranger.governance]
    assert code_of(make_genesis(world.board_record, signers)) == "unknown-key"


def test_a_log_begins_with_no_other_kind() -> None:
    world = BoardWorld()
    assert code_of(signed(world.board_record, world, kind="class.set")) == "unknown-kind"


def test_genesis_speaks_for_its_own_origin_and_operators() -> None:
    world = BoardWorld()
    record = world.board_record
    assert code_of(signed(record, world, audience=world.board)) == "wrong-board"
    assert code_of(signed(record, world, issuer="somebody")) == "wrong-issuer"
    assert code_of(signed(record, world, subject="other.test/1")) == "wrong-subject"


def test_genesis_starts_a_chain_and_continues_none() -> None:
    world = BoardWorld()
    record = replace(world.board_record, epoch=1, previous=bytes(32))
    assert code_of(signed(record, world)) == "epoch"


def test_a_rule_version_that_nobody_knows_starts_no_board() -> None:
    world = BoardWorld()
    assert code_of(signed(replace(world.board_record, rule_version=2), world)) == "unsupported"


def test_two_operators_cannot_share_a_key() -> None:
    world = BoardWorld(operators=2)
    first, second = world.board_record.operators
    shared = replace(second, log_key=replace(second.log_key, public=first.governance_key.raw))
    record = replace(world.board_record, operators=(first, shared))
    assert code_of(signed(record, world)) == "key-taken"


def test_one_key_cannot_be_governance_and_cosigner() -> None:
    world = BoardWorld()
    (operator,) = world.board_record.operators
    cosigner = cosigner_key("operator0.test/cosigner", operator.governance_key)
    record = replace(world.board_record, operators=(replace(operator, cosigner_keys=(cosigner,)),))
    assert code_of(signed(record, world)) == "key-taken"


def test_an_operator_cannot_be_its_own_witness() -> None:
    world = BoardWorld()
    (operator,) = world.board_record.operators
    key = cosigner_key("independent.test", operator.governance_key)
    record = replace(world.board_record, witnesses=(Witness(key=key),))
    assert code_of(signed(record, world)) == "key-taken"


@pytest.mark.parametrize("low", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_a_key_of_low_order_is_refused_when_it_is_registered(low: bytes) -> None:
    world = BoardWorld()
    (operator,) = world.board_record.operators
    log_key = replace(operator.log_key, public=low)
    record = replace(world.board_record, operators=(replace(operator, log_key=log_key),))
    assert code_of(signed(record, world)) == "bad-key"


def test_a_running_board_takes_no_second_genesis() -> None:
    world = BoardWorld()
    assert world.refusal(world.genesis) == "wrong-board"


def test_bytes_that_are_no_post_start_no_board() -> None:
    with pytest.raises(Malformed):
        apply_genesis(b"\xa0", time=START)
