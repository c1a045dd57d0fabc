# SPDX-License-Identifier: Apache-2.0
"""Reading and verifying early changes nothing but the time it takes."""

from collections.abc import Sequence
from concurrent.futures import Future
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.engines.verification import Asked, Memory, ReadPost, read_post
from fieldpost.engines.verifier import (
    HEAD,
    READY,
    Question,
    Verdict,
    decode_answer,
    encode_request,
    serve,
)
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import PublicKey
from fieldpost.ledger.batch import apply_batch
from fieldpost.ledger.payloads import decode_ahead
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.posts.kinds import DECODERS
from fieldpost.records.maker import Role
from fieldpost.testing.world import BoardWorld
from tests.unit.ledger.every_kind import every_kind


@pytest.fixture
def world() -> BoardWorld:
    return BoardWorld.with_class()


class InMemory(Verifiers):
    """Asks what a verifying process runs, without one."""

    def verify_posts(self, questions: Sequence[Question]) -> Future[Sequence[Verdict]]:
        answers = BytesIO()
        serve(BytesIO(encode_request(0, questions)), answers)
        told = answers.getvalue()[len(READY) :]
        done: Future[Sequence[Verdict]] = Future()
        done.set_result(decode_answer(0, len(questions), told[: HEAD.size], told[HEAD.size :]))
        return done


def remembered(*posts: ReadPost) -> Memory:
    return Memory(posts, Asked(posts, InMemory()).valid())


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


POSTS = every_kind()


def test_posts_of_every_kind_are_verified_and_decoded_ahead() -> None:
    """But for a genesis, and for what nobody verifies before a rule asked about admission."""
    reads = {kind: read_post(live.entry, live.state.map) for kind, live in POSTS.items()}
    valid = Asked(reads.values(), InMemory()).valid()
    assert set(valid) == {check for read in reads.values() for check in read.checks}
    for kind, read in reads.items():
        assert isinstance(read.post, Post)
        assert read.post == decode_post(POSTS[kind].entry)
        record = decode_ahead(kind, read.post.statement.payload)
        ahead = {} if kind in ("genesis", "maker.register") else {DECODERS[kind]: record}
        assert read.post.records == ahead


@st.composite
def nearly_live(draw: st.DrawFn) -> bytes:
    """A post of any kind with some bytes changed, or none."""
    entry = bytearray(draw(st.sampled_from([live.entry for live in POSTS.values()])))
    for _ in range(draw(st.integers(0, 2))):
        entry[draw(st.integers(0, len(entry) - 1))] = draw(st.integers(0, 255))
    return bytes(entry[: draw(st.none() | st.integers(0, len(entry)))])


@given(st.lists(nearly_live() | st.binary(max_size=40), min_size=1, max_size=6))
def test_whatever_the_bytes_a_batch_comes_out_the_same_with_and_without_memory(
    entries: list[bytes],
) -> None:
    live = POSTS["blob.gone"]
    memory = remembered(*(read_post(entry, live.state.map) for entry in entries))
    early = apply_batch(
        live.state,
        entries,
        time=live.time,
        check_signature=memory.check_signature,
        decode=memory.decode,
    )
    late = apply_batch(live.state, entries, time=live.time)
    assert (early.outcomes, early.entries, early.writes) == (
        late.outcomes,
        late.entries,
        late.writes,
    )


def test_a_payload_that_is_large_is_left_to_the_rule() -> None:
    asked: list[Question] = []

    class Listening(Verifiers):
        def verify_posts(self, questions: Sequence[Question]) -> Future[Sequence[Verdict]]:
            asked.extend(questions)
            return super().verify_posts(questions)

    maker = BoardWorld.with_class().maker
    large = maker.release_publish(1, sources=tuple(f"https://{n:0>100}.example" for n in range(60)))
    small = maker.lot_enrol()
    Asked((read_post(post, maker.world.state.map) for post in (large, small)), Listening(0))
    assert [(question.kind, question.payload_bytes > 0) for question in asked] == [
        ("", False),
        ("lot.enrol", True),
    ]
