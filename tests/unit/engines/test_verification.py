# SPDX-License-Identifier: Apache-2.0
"""Reading and verifying early changes nothing but the time it takes."""

import pytest

from fieldpost.engines.verification import Memory, ReadPost, checks_of, read_post, valid_of
from fieldpost.engines.verifier import is_valid
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import PublicKey
from fieldpost.ledger.batch import apply_batch
from fieldpost.posts.envelope import decode_post
from fieldpost.records.maker import Role
from fieldpost.testing.world import BoardWorld


@pytest.fixture
def world() -> BoardWorld:
    return BoardWorld.with_class()


def remembered(*posts: ReadPost) -> Memory:
    checks = checks_of(posts)
    verdicts = [is_valid((check.key, check.message, check.signature)) for check in checks]
    return Memory(posts, valid_of(checks, verdicts))


def test_a_good_signature_is_remembered(world: BoardWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    post = read_post(world.maker.lot_enrol(), world.state.map)
    (check,) = post.checks
    memory = remembered(post)
    monkeypatch.setattr("fieldpost.ledger.preverify.verify_signature", None)
    memory.check_signature(check.key, check.message, check.signature)


def test_a_bad_signature_is_never_remembered(world: BoardWorld) -> None:
    entry = bytearray(world.maker.lot_enrol())
    entry[-1] ^= 1
    read = read_post(bytes(entry), world.state.map)
    post = decode_post(bytes(entry))
    (signature,) = post.signatures
    key = signer_key(world)
    with pytest.raises(Untrusted):
        remembered(read).check_signature(key, post.signed_bytes(signature), signature.signature)


def signer_key(world: BoardWorld) -> PublicKey:
    return world.maker.keys[Role.ENROL][0].public_key


def test_a_remembered_signature_vouches_for_no_other_message_or_key(world: BoardWorld) -> None:
    post = read_post(world.maker.lot_enrol(), world.state.map)
    (check,) = post.checks
    other = world.maker.keys[Role.CARE][0].public_key
    for key, message in [(check.key, check.message + b"x"), (other, check.message)]:
        with pytest.raises(Untrusted):
            remembered(post).check_signature(key, message, check.signature)


def test_bytes_that_are_no_post_are_malformed_when_the_ledger_asks(world: BoardWorld) -> None:
    read = read_post(b"no post", world.state.map)
    with pytest.raises(Malformed):
        remembered(read).decode(b"no post")


def test_a_batch_comes_out_the_same_with_and_without_memory(world: BoardWorld) -> None:
    maker = world.maker
    posts = [maker.lot_enrol(root=bytes([n]) * 32, count=1) for n in range(9)]
    posts[4] = posts[4][:-1] + bytes([posts[4][-1] ^ 1])
    posts[6] = b"no post"
    memory = remembered(*(read_post(post, world.state.map) for post in posts))
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
