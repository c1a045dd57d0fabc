# SPDX-License-Identifier: Apache-2.0
"""Batches: what is accepted, in which order, under which leaf. Replay believes none of it."""

from dataclasses import replace

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.ledger.batch import Included, Refused, apply_batch
from fieldpost.ledger.links import linked_record
from fieldpost.ledger.preverify import SignatureCheck, remembering, signature_checks
from fieldpost.ledger.replay import replay, replay_batches
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.counters import Link
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.statemap import StateMap
from fieldpost.testing.operator_posts import board_set
from fieldpost.testing.world import BoardWorld


def test_later_posts_of_a_batch_see_what_earlier_ones_wrote() -> None:
    world = BoardWorld()
    maker = world.maker
    batch = world.apply(
        [maker.registration(), maker.class_set(), maker.release_publish(1), maker.lot_enrol()]
    )
    assert batch.outcomes == (Included(2), Included(3), Included(4), Included(5))


def test_a_refused_post_leaves_nothing_and_does_not_stop_the_others() -> None:
    world = BoardWorld.with_class()
    good = world.maker.release_publish(1)
    batch = world.apply([b"junk", good, good])
    malformed, included, again = batch.outcomes
    assert isinstance(malformed, Refused)
    assert (malformed.code, malformed.name) == (1, "malformed")
    assert included == Included(6)
    assert isinstance(again, Refused)
    assert again.name == "nonce"
    assert batch.entries[:-1] == (good,)


def test_a_batch_without_an_accepted_post_adds_nothing() -> None:
    world = BoardWorld.with_class()
    batch = apply_batch(world.state, [b"", b"\xd2\x80"], time=world.time + 9)
    assert batch.state is world.state
    assert (batch.entries, batch.writes, len(batch.outcomes)) == ((), {}, 2)


def test_the_state_leaf_closes_the_batch_and_names_the_one_before() -> None:
    world = BoardWorld.with_class()
    before = world.state
    batch = world.accept(world.maker.release_publish(1), world.maker.rollout_set())
    leaf = decode_state_leaf(batch.entries[-1])
    assert leaf == batch.state.last
    assert leaf.covered_size == before.size + 2 == batch.state.size - 1
    assert leaf.previous_state_index == before.size - 1
    assert (leaf.map_root, leaf.key_count) == (batch.state.map.root, len(batch.state.map))


def test_the_writes_of_all_batches_are_the_whole_map() -> None:
    world = BoardWorld.with_releases(1, 2)
    assert StateMap.build(world.values.items()).root == world.state.map.root


def test_time_never_runs_backwards() -> None:
    world = BoardWorld.with_class()
    now = world.state.last.time
    batch = world.accept(world.maker.rollout_set(), time=now - 1_000)
    assert batch.state.last.time == now


def test_posts_that_were_decoded_and_verified_earlier_give_the_same_batch() -> None:
    world = BoardWorld.with_class()
    posts = [world.maker.release_publish(n) for n in (1, 2)]
    decoded = {entry: decode_post(entry) for entry in posts}
    verified = set()
    for post in decoded.values():
        for check in signature_checks(world.state.map, post):
            check.verify()
            verified.add(check)
    assert len(verified) == 2
    ahead = apply_batch(
        world.state,
        posts,
        time=1,
        check_signature=remembering(verified),
        decode=decoded.__getitem__,
    )
    later = apply_batch(world.state, posts, time=1)
    assert (ahead.entries, ahead.outcomes) == (later.entries, later.outcomes)
    assert len(ahead.entries) == 3


def test_what_was_not_verified_earlier_is_verified_after_all() -> None:
    world = BoardWorld.with_class()
    post = decode_post(world.maker.release_publish(1))
    (check,) = signature_checks(world.state.map, post)
    other = SignatureCheck(check.key, check.message + b"!", check.signature)
    with pytest.raises(Untrusted):
        remembering({check})(other.key, other.message, other.signature)
    remembering(set())(check.key, check.message, check.signature)


def test_a_strangers_registration_costs_no_signature_check_ahead_of_admission() -> None:
    world = BoardWorld()
    assert signature_checks(world.state.map, decode_post(world.maker.registration())) == ()


def test_an_operators_post_read_ahead_of_the_genesis_has_no_keys_yet() -> None:
    """A log is read from its beginning in pieces that may hold both."""
    world = BoardWorld()
    post = decode_post(board_set(world, epoch_s=30))
    assert signature_checks(StateMap.empty(), post) == ()
    assert signature_checks(world.state.map, post) != ()


def test_a_board_whose_rules_are_unknown_here_stops_this_program() -> None:
    world = BoardWorld.with_class()
    record = replace(world.board_record, rule_version=2)
    newer = world.state.map.update({map_keys.board(): record.encode()})
    with pytest.raises(Misconfigured, match="upgrade"):
        apply_batch(replace(world.state, map=newer), [], time=1)


def test_links_are_indexed_by_record_and_epoch() -> None:
    world = BoardWorld.with_class()
    world.accept(world.maker.class_set(family="f"), world.maker.rollout_set())
    found = [linked_record(decode_post(entry)) for entry in world.entries if entry[:1] != b"\x89"]
    class_key = map_keys.device_class(world.maker.class_id("tracker"))
    maker_key = map_keys.maker(world.maker.id)
    assert found == [(map_keys.board(), 0), (maker_key, 0), (class_key, 0), (class_key, 1), None]
    assert Link.decode(world.values[map_keys.link(class_key)]).epoch == 1


# --- replay ---


def test_replay_from_the_log_alone_gives_the_same_state() -> None:
    world = BoardWorld.with_releases(10, 11, operators=4, witnesses=2)
    world.accept(world.maker.rollout_set(world.maker.offer(11, 5), world.maker.offer(10)))
    state = replay(None, world.entries)
    assert (state.map.root, state.size, state.board, state.last) == (
        world.state.map.root,
        world.state.size,
        world.state.board,
        world.state.last,
    )


def test_replay_goes_on_from_a_state() -> None:
    world = BoardWorld.with_class()
    middle, size = world.state, len(world.entries)
    world.accept(world.maker.release_publish(1))
    world.accept(world.maker.rollout_set())
    batches = list(replay_batches(middle, world.entries[size:]))
    assert [len(batch.entries) for batch in batches] == [2, 2]
    assert batches[-1].state.last == world.state.last


def reason_of(entries: list[bytes]) -> str:
    with pytest.raises(Untrusted) as caught:
        replay(None, entries)
    return caught.value.reason


def test_a_log_that_holds_what_the_rules_refuse_is_not_believed() -> None:
    world = BoardWorld.with_class()
    repeated = [*world.entries[:-1], world.entries[-2], world.entries[-1]]
    assert reason_of(repeated) == "refused-post"
    assert reason_of([world.entries[2], *world.entries[1:]]) == "refused-post"
    assert reason_of([b"junk", *world.entries[1:]]) == "refused-post"


@pytest.mark.parametrize(
    "lie",
    [
        {"map_root": bytes(32)},
        {"key_count": 1},
        {"covered_size": 7},
        {"previous_state_index": 2},
        {"board_epoch": 1},
        {"board_link": bytes(32)},
        {"time": 1},
    ],
)
def test_a_leaf_that_states_anything_else_is_not_believed(lie: dict[str, int | bytes]) -> None:
    world = BoardWorld.with_class()
    leaf = replace(world.state.last, **lie)  # type: ignore[arg-type]
    assert reason_of([*world.entries[:-1], leaf.encode()]) == "wrong-state"


def test_a_leaf_over_an_empty_batch_is_not_believed() -> None:
    world = BoardWorld()
    leaf = replace(world.state.last, covered_size=2, previous_state_index=1)
    assert reason_of([*world.entries, leaf.encode()]) == "wrong-state"


def test_a_second_genesis_in_the_first_batch_is_not_believed() -> None:
    world = BoardWorld()
    assert reason_of([world.genesis, world.genesis, world.entries[1]]) == "wrong-state"


def test_a_log_that_ends_in_the_middle_of_a_batch_is_incomplete() -> None:
    world = BoardWorld.with_class()
    assert reason_of(world.entries[:-1]) == "incomplete-log"
    assert reason_of([]) == "incomplete-log"
    assert reason_of(world.entries[1:]) == "incomplete-log"


def test_a_leaf_that_does_not_parse_is_malformed() -> None:
    world = BoardWorld()
    with pytest.raises(Malformed):
        replay(None, [world.genesis, cbor.encode(["fieldpost/state"] * 9)])
