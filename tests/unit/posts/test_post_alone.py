# SPDX-License-Identifier: Apache-2.0
"""What is taken apart in one pass is what the decoder finds, and nothing that it would refuse."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm
from fieldpost.posts import envelope
from fieldpost.posts.alone import find_parts
from fieldpost.posts.envelope import Post, Statement, decode_post, sign_post
from fieldpost.testing.signers import DeterministicSigner
from tests.property.strategies_damage import damaged

STATEMENT = Statement(
    kind="lot.enrol",
    issuer="ab" * 16,
    subject="cd" * 16,
    audience="board.test/1#" + "ef" * 16,
    payload=b"\xa1\x01\x02",
)
SIGNERS = [DeterministicSigner(algorithm, "alone") for algorithm in Algorithm]
# A length of one to three bytes in every place that has one.
PAYLOADS = [bytes(size) for size in (0, 1, 23, 24, 255, 256, 257, 4_000)]
TEXTS = ["a", "a" * 23, "a" * 24, "a" * 64]
STATEMENTS = [
    *(replace(STATEMENT, payload=payload) for payload in PAYLOADS),
    *(replace(STATEMENT, kind=text, subject=text) for text in TEXTS),
    *(replace(STATEMENT, issuer=text, audience=text) for text in TEXTS),
    replace(STATEMENT, subject="~" * 255, audience=" " * 255),
]
SMALL = sign_post(Statement(kind="k", issuer="i", subject="s", audience="a", payload=b"p"), [
    SIGNERS[0]
]).encode()  # fmt: skip


def decoded(entry: bytes) -> tuple[Post, bytes] | None:
    """What the decoder alone finds, and what was signed."""
    try:
        post = envelope._decode(entry)
    except Malformed:
        return None
    return post, post.signed_bytes(post.signatures[0])


def taken_apart(entry: bytes) -> tuple[Post, bytes] | None:
    """What is found in one pass, put together."""
    parts = find_parts(entry)
    if parts is None:
        return None
    post = envelope._put_together(parts)
    assert type(post.signatures[0].algorithm) is Algorithm
    return post, post.signed_bytes(post.signatures[0])


@pytest.mark.parametrize("signer", SIGNERS, ids=[algorithm.name for algorithm in Algorithm])
def test_posts_with_one_signature_are_taken_apart_as_the_decoder_reads_them(
    signer: DeterministicSigner,
) -> None:
    for statement in STATEMENTS:
        post = sign_post(statement, [signer])
        found = taken_apart(post.encode())
        assert found == decoded(post.encode())
        assert found == (post, post.signed_bytes(post.signatures[0]))


def test_the_rare_ones_are_left_to_the_decoder_and_read() -> None:
    for post in (
        sign_post(replace(STATEMENT, subject="s" * 256), SIGNERS[:1]),
        sign_post(STATEMENT, SIGNERS),
    ):
        assert find_parts(post.encode()) is None
        assert decode_post(post.encode()) == post


def test_every_byte_changed_to_every_other_is_judged_as_by_the_decoder() -> None:
    found = 0
    for at in range(len(SMALL)):
        for byte in range(256):
            entry = SMALL[:at] + bytes((byte,)) + SMALL[at + 1 :]
            parts = taken_apart(entry)
            assert parts == decoded(entry), (at, byte)
            found += parts is not None
    # Any byte will do in kid, payload and signature, any that can be printed in the four texts;
    # all others stand fast, but for the algorithm: P-256 has signatures of the same length.
    free, printed = 32 + 1 + 64, 4
    assert found == 256 * free + 95 * printed + (len(SMALL) - free - printed) + 1


def test_every_cut_and_every_added_or_lacking_byte_is_judged_as_by_the_decoder() -> None:
    for at in range(len(SMALL) + 1):
        for entry in (SMALL[:at], SMALL[:at] + b"\x18" + SMALL[at:], SMALL[:at] + SMALL[at + 1 :]):
            assert taken_apart(entry) == decoded(entry), at


def longer_heads(entry: bytes) -> list[bytes]:
    """The entry with each byte that may be a head of 0 to 23 written one and two bytes longer."""
    return [
        entry[:at] + bytes((entry[at] & 0xE0 | 23 + more,)) + bytes(more - 1)
        + bytes((entry[at] & 31,)) + entry[at + 1 :]
        for at in range(len(entry))
        for more in (1, 2)
    ]  # fmt: skip


def test_a_length_that_is_not_in_its_one_form_is_never_taken_apart() -> None:
    for entry in longer_heads(SMALL):
        assert taken_apart(entry) == decoded(entry)


@st.composite
def nearly_posts(draw: st.DrawFn) -> bytes:
    """Entries of which a place of the envelope, of the header or both was changed."""
    post = sign_post(draw(st.sampled_from(STATEMENTS)), [draw(st.sampled_from(SIGNERS))])
    item = cbor.decode(post.encode())
    assert isinstance(item, cbor.Tag)
    assert isinstance(item.value, tuple)
    protected, *rest = item.value
    assert isinstance(protected, bytes)
    if draw(st.booleans()):
        protected = cbor.encode(draw(damaged(cbor.decode(protected))))
    value: object = (protected, *rest)
    if draw(st.booleans()):
        value = draw(damaged(value))
    data = bytearray(cbor.encode(cbor.Tag(item.number, value)))  # type: ignore[arg-type]
    if data and draw(st.booleans()):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@given(nearly_posts())
def test_what_is_nearly_a_post_is_judged_as_by_the_decoder(entry: bytes) -> None:
    if (parts := taken_apart(entry)) is not None:
        assert parts == decoded(entry)
