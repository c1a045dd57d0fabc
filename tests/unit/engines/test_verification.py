# SPDX-License-Identifier: Apache-2.0
"""Checking early changes nothing but the time it takes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fieldpost.engines.verification import Memory, check_post, check_posts
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import PublicKey
from fieldpost.ledger.batch import apply_batch
from fieldpost.posts.envelope import decode_post
from fieldpost.records.maker import Role
from fieldpost.testing.world import BoardWorld


@pytest.fixture
def world() -> BoardWorld:
    return BoardWorld.with_class()


def test_a_good_signature_is_remembered(world: BoardWorld) -> None:
    checked = check_post(world.maker.lot_enrol(), world.state.map)
    (check,) = checked.valid
    Memory([checked]).check_signature(check.key, check.message, check.signature)


def test_a_bad_signature_is_never_remembered(world: BoardWorld) -> None:
    entry = bytearray(world.maker.lot_enrol())
    entry[-1] ^= 1
    checked = check_post(bytes(entry), world.state.map)
    assert checked.valid == ()
    post = decode_post(bytes(entry))
    (signature,) = post.signatures
    key = signer_key(world)
    with pytest.raises(Untrusted):
        Memory([checked]).check_signature(key, post.signed_bytes(signature), signature.signature)


def signer_key(world: BoardWorld) -> PublicKey:
    return world.maker.keys[Role.ENROL][0].public_key


def test_a_remembered_signature_vouches_for_no_other_message(world: BoardWorld) -> None:
    checked = check_post(world.maker.lot_enrol(), world.state.map)
    (check,) = checked.valid
    with pytest.raises(Untrusted):
        Memory([checked]).check_signature(check.key, check.message + b"x", check.signature)


def test_bytes_that_are_no_post_are_malformed_when_the_ledger_asks(world: BoardWorld) -> None:
    checked = check_post(b"no post", world.state.map)
    with pytest.raises(Malformed):
        Memory([checked]).decode(b"no post")


def test_a_batch_comes_out_the_same_with_and_without_memory(world: BoardWorld) -> None:
    maker = world.maker
    posts = [maker.lot_enrol(root=bytes([n]) * 32, count=1) for n in range(9)]
    posts[4] = posts[4][:-1] + bytes([posts[4][-1] ^ 1])
    posts[6] = b"no post"
    with ThreadPoolExecutor(1) as pool:
        checked = check_posts(posts, world.state.map, pool)
    assert [item.entry for item in checked] == posts
    memory = Memory(checked)
    early = apply_batch(
        world.state,
        posts,
        time=world.time,
        check_signature=memory.check_signature,
        decode=memory.decode,
    )
    late = apply_batch(world.state, posts, time=world.time)
    assert early.outcomes == late.outcomes
    assert early.entries == late.entries
