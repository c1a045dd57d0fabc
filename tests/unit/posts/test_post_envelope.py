# SPDX-License-Identifier: Apache-2.0
"""Posts have one encoding per set of signatures, and nothing else passes for one."""

from dataclasses import replace

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm, verify_signature
from fieldpost.posts.envelope import (
    Post,
    Statement,
    decode_post,
    sign_post,
    sign_statement,
)
from fieldpost.records.limits import MAX_SIGNATURES
from fieldpost.testing.signers import DeterministicSigner

STATEMENT = Statement(
    kind="lot.enrol",
    issuer="ab" * 16,
    subject="cd" * 16,
    audience="board.test/1#" + "ef" * 16,
    payload=b"\xa0",
)
ED = DeterministicSigner(Algorithm.ED25519, "one")
P256 = DeterministicSigner(Algorithm.ESP256, "two")
ML = DeterministicSigner(Algorithm.ML_DSA_44, "three")
ALONE = sign_post(STATEMENT, [ED])
TOGETHER = sign_post(STATEMENT, [ED, P256, ML])


def parts(entry: bytes) -> list[cbor.Value]:
    item = cbor.decode(entry)
    assert isinstance(item, cbor.Tag)
    assert isinstance(item.value, tuple)
    return list(item.value)


def entry(number: int, items: list[cbor.Value]) -> bytes:
    return cbor.encode(cbor.Tag(number, tuple(items)))


def header(protected: cbor.Value) -> dict[cbor.Key, cbor.Value]:
    assert isinstance(protected, bytes)
    value = cbor.decode(protected)
    assert isinstance(value, dict)
    return value


def alone_with(changes: dict[cbor.Key, cbor.Value], drop: int | None = None) -> bytes:
    items = parts(ALONE.encode())
    protected = header(items[0]) | changes
    items[0] = cbor.encode({k: v for k, v in protected.items() if k != drop})
    return entry(18, items)


def test_signatures_of_every_algorithm_hold_alone_and_together() -> None:
    posts = [sign_post(STATEMENT, [signer]) for signer in (ED, P256, ML)]
    keys = {signer.public_key.thumbprint(): signer.public_key for signer in (ED, P256, ML)}
    for post in (*posts, TOGETHER):
        read = decode_post(post.encode())
        assert read == post
        for signature in read.signatures:
            message = read.signed_bytes(signature)
            verify_signature(keys[signature.kid], message, signature.signature)


def test_a_signature_made_alone_is_worth_nothing_beside_others_and_the_reverse() -> None:
    """Nobody can take a signature out of a post, or put one in."""
    alone = sign_statement(STATEMENT, ED, alone=True)
    together = sign_statement(STATEMENT, ED, alone=False)
    for signature, other in ((alone, False), (together, True)):
        message = STATEMENT.signed_bytes(signature.algorithm, signature.kid, alone=other)
        with pytest.raises(Untrusted, match="bad-signature"):
            verify_signature(ED.public_key, message, signature.signature)


@pytest.mark.parametrize("field", ["kind", "issuer", "subject", "audience", "payload"])
def test_a_signature_covers_every_part_of_the_statement(field: str) -> None:
    value = b"\xa1" if field == "payload" else "other"
    changes: dict[str, object] = {field: value}
    for post in (ALONE, TOGETHER):
        moved = Post(replace(post.statement, **changes), post.signatures)  # type: ignore[arg-type]
        signature = next(s for s in moved.signatures if s.kid == ED.public_key.thumbprint())
        with pytest.raises(Untrusted, match="bad-signature"):
            verify_signature(ED.public_key, moved.signed_bytes(signature), signature.signature)


def test_one_signature_never_wears_tag_98() -> None:
    items = parts(TOGETHER.encode())
    signers = items[3]
    assert isinstance(signers, tuple)
    decode_post(entry(98, [*items[:3], signers]))
    decode_post(entry(98, [*items[:3], signers[:2]]))
    for few in (signers[:1], ()):
        with pytest.raises(Malformed, match="one alone wears tag 18"):
            decode_post(entry(98, [*items[:3], few]))


def test_signatures_are_sorted_by_kid_one_per_key() -> None:
    items = parts(TOGETHER.encode())
    signers = items[3]
    assert isinstance(signers, tuple)
    first, second, third = signers
    for wrong in ((second, first, third), (first, first), (third, second, first)):
        with pytest.raises(Malformed, match="sorted by kid"):
            decode_post(entry(98, [*items[:3], wrong]))
    with pytest.raises(Malformed, match="sorted by kid"):
        sign_post(STATEMENT, [ED, ED])
    with pytest.raises(Malformed, match="sorted by kid"):
        sign_post(STATEMENT, [])


def test_a_post_has_at_most_32_signatures() -> None:
    signers = [DeterministicSigner(Algorithm.ED25519, f"s{n}") for n in range(MAX_SIGNATURES + 1)]
    most = sign_post(STATEMENT, signers[:-1])
    assert decode_post(most.encode()) == most
    with pytest.raises(Malformed, match="1…32"):
        sign_post(STATEMENT, signers)
    items = parts(most.encode())
    signers_of_most = items[3]
    assert isinstance(signers_of_most, tuple)
    with pytest.raises(Malformed, match="2…32"):
        decode_post(entry(98, [*items[:3], (*signers_of_most, signers_of_most[0])]))


def test_unprotected_headers_are_empty() -> None:
    items = parts(ALONE.encode())
    with pytest.raises(Malformed, match="unprotected"):
        decode_post(entry(18, [items[0], {4: b"x"}, *items[2:]]))
    items = parts(TOGETHER.encode())
    with pytest.raises(Malformed, match="unprotected"):
        decode_post(entry(98, [items[0], {1: -19}, *items[2:]]))
    signers = items[3]
    assert isinstance(signers, tuple)
    first = signers[0]
    assert isinstance(first, tuple)
    decorated: cbor.Value = ((first[0], {256: b"countersignature"}, first[2]), *signers[1:])
    with pytest.raises(Malformed, match="unprotected"):
        decode_post(entry(98, [*items[:3], decorated]))


@pytest.mark.parametrize("drop", [1, 3, 4, 15])
def test_every_header_member_is_needed(drop: int) -> None:
    with pytest.raises(Malformed, match="exactly the labels"):
        decode_post(alone_with({}, drop))


@pytest.mark.parametrize("label", [2, 5, 16, -1, "kind"])
def test_no_other_header_member_is_admitted(label: int | str) -> None:
    with pytest.raises(Malformed, match="exactly the labels"):
        decode_post(alone_with({label: 1}))


def test_a_signer_of_several_names_only_algorithm_and_key() -> None:
    """Label 3 or 15 beside a signature could say something else than the body."""
    items = parts(TOGETHER.encode())
    signers = items[3]
    assert isinstance(signers, tuple)
    first = signers[0]
    assert isinstance(first, tuple)
    own = header(first[0]) | {3: "application/vnd.fieldpost.genesis+cbor"}
    with pytest.raises(Malformed, match="exactly the labels"):
        decode_post(entry(98, [*items[:3], ((cbor.encode(own), {}, first[2]), *signers[1:])]))


@pytest.mark.parametrize("number", [-8, -7, 1, 0, True, None, "EdDSA", b"", (), {}, {1: {}}])
def test_no_other_algorithm_is_admitted(number: cbor.Value) -> None:
    with pytest.raises(Malformed, match="alg must be"):
        decode_post(alone_with({1: number}))


def test_an_algorithm_fixes_the_length_of_its_signature() -> None:
    with pytest.raises(Malformed, match="wrong length"):
        decode_post(alone_with({1: int(Algorithm.ML_DSA_44)}))
    items = parts(ALONE.encode())
    for signature in (b"", bytes(63), bytes(65), None, "text"):
        with pytest.raises(Malformed):
            decode_post(entry(18, [*items[:3], signature]))


@pytest.mark.parametrize("kid", [b"", bytes(31), bytes(33), "kid", 1, None])
def test_a_kid_is_a_thumbprint(kid: cbor.Value) -> None:
    with pytest.raises(Malformed, match="kid"):
        decode_post(alone_with({4: kid}))


CONTENT_TYPES = [
    "application/cbor",
    "application/vnd.fieldpost.lot.enrol",
    "application/vnd.fieldpost.lot.enrol+cose",
    "application/vnd.fieldpost.+cbor",
    "application/vnd.fieldpost.caf\u00e9+cbor",
    "application/vnd.fieldpost." + "k" * 65 + "+cbor",
    "APPLICATION/vnd.fieldpost.lot.enrol+cbor",
    " application/vnd.fieldpost.lot.enrol+cbor",
    60,
    b"application/vnd.fieldpost.lot.enrol+cbor",
    None,
]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_the_content_type_names_a_kind_of_post(content_type: cbor.Value) -> None:
    with pytest.raises(Malformed):
        decode_post(alone_with({3: content_type}))


def test_the_longest_claims_are_read_and_longer_ones_refused() -> None:
    for field, most in (("kind", 64), ("issuer", 64), ("subject", 256), ("audience", 256)):
        for length, fits in ((most, True), (most + 1, False), (0, False)):
            changes = {field: "k" * length}
            post = sign_post(replace(STATEMENT, **changes), [ED])  # type: ignore[arg-type]
            if fits:
                assert decode_post(post.encode()) == post
            else:
                with pytest.raises(Malformed):
                    decode_post(post.encode())


@pytest.mark.parametrize(
    "claims",
    [
        {1: "a", 2: "b"},
        {1: "a", 2: "b", 3: "c", 4: 1},
        {1: "a", 2: "b", 3: 3},
        {1: b"a", 2: "b", 3: "c"},
        {1: "a", 2: "b\n", 3: "c"},
        ("a", "b", "c"),
        None,
    ],
)
def test_claims_are_issuer_subject_and_audience(claims: cbor.Value) -> None:
    with pytest.raises(Malformed):
        decode_post(alone_with({15: claims}))


def test_other_cose_messages_are_no_posts() -> None:
    items = parts(ALONE.encode())
    for number in (16, 17, 61, 96, 97, 98, 107):
        with pytest.raises(Malformed):
            decode_post(entry(number, items))
    with pytest.raises(Malformed):
        decode_post(cbor.encode(tuple(items)))
    with pytest.raises(Malformed):
        decode_post(entry(18, [*items, b""]))
    with pytest.raises(Malformed):
        decode_post(entry(18, [items[0], items[1], None, items[3]]))


def test_an_entry_has_at_most_65535_bytes() -> None:
    room = 65_535 - len(sign_post(replace(STATEMENT, payload=bytes(65_000)), [ED]).encode())
    most = sign_post(replace(STATEMENT, payload=bytes(65_000 + room)), [ED])
    assert len(most.encode()) == 65_535
    assert decode_post(most.encode()) == most
    longer = sign_post(replace(STATEMENT, payload=bytes(65_000 + room + 1)), [ED])
    with pytest.raises(Malformed, match="65536 bytes"):
        decode_post(longer.encode())


def test_what_a_decoded_post_signed_is_what_its_statement_encodes_to() -> None:
    for post in (ALONE, TOGETHER):
        decoded = decode_post(post.encode())
        for signature in decoded.signatures:
            assert decoded.signed_bytes(signature) == post.signed_bytes(signature)


def test_a_changed_post_remembers_nothing_of_what_was_signed() -> None:
    decoded = decode_post(ALONE.encode())
    changed = replace(decoded, statement=replace(STATEMENT, payload=b"\xa1\x01\x02"))
    (signature,) = changed.signatures
    with pytest.raises(Untrusted):
        verify_signature(ED.public_key, changed.signed_bytes(signature), signature.signature)
