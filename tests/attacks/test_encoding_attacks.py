# SPDX-License-Identifier: Apache-2.0
"""COSE and CBOR confusion: headers swapped, second forms, duplicate keys, bombs.

What a reader takes for one statement must be the one that was signed, under one digest.
"""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import SIGNATURE_BYTES, Algorithm, PublicKey
from fieldpost.ledger.batch import Included, Refused, apply_batch
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.records import map_keys
from fieldpost.records.limits import MAX_CHECKIN_BYTES
from fieldpost.records.maker import Role
from fieldpost.suit.envelope import decode_envelope
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.defences import Defence, without
from fieldpost.testing.maker_posts import maker_set
from fieldpost.testing.world import BoardWorld
from tests.attacks.paper_device import Device

Parts = tuple[Any, Any, Any, Any]


def refused(world: BoardWorld, entry: bytes) -> str:
    before = world.state.map.root
    name = world.refusal(entry)
    assert world.state.map.root == before
    return name


def believed_unsigned(world: BoardWorld, entry: bytes) -> bool:
    """Whether a ledger that checks no signature would take the post."""

    def check(key: PublicKey, message: bytes, signature: bytes) -> None:
        """Let every signature pass."""

    batch = apply_batch(world.state, [entry], time=world.time + 60, check_signature=check)
    return isinstance(batch.outcomes[0], Included)


def sign1(entry: bytes) -> Parts:
    """Protected header (decoded), unprotected, payload, signature of a post signed by one."""
    value: Any = cbor.decode(entry)
    protected, unprotected, payload, signature = value.value
    return cbor.decode(protected), unprotected, payload, signature


def packed(parts: Parts, tag: int = 18) -> bytes:
    protected, unprotected, payload, signature = parts
    return cbor.encode(cbor.Tag(tag, (cbor.encode(protected), unprotected, payload, signature)))


@pytest.fixture
def world() -> BoardWorld:
    return BoardWorld.with_releases(10, 11)


@pytest.fixture
def genuine(world: BoardWorld) -> bytes:
    return world.maker.rollout_set(world.maker.offer(11))


# --- header members swapped ---


def test_a_swapped_algorithm_is_refused(world: BoardWorld, genuine: bytes) -> None:
    """An Ed25519 key's signature under the name of P-256, of the same 64 bytes."""
    header, unprotected, payload, signature = sign1(genuine)
    assert SIGNATURE_BYTES[Algorithm.ESP256] == len(signature)
    swapped = packed(({**header, 1: int(Algorithm.ESP256)}, unprotected, payload, signature))
    assert refused(world, swapped) == "bad-signature"
    with without(Defence.ROLE_KEYS):
        world.accept(swapped)


def test_a_swapped_kid_is_refused(world: BoardWorld, genuine: bytes) -> None:
    """The signature of one key under the name of another that may post this."""
    header, unprotected, payload, signature = sign1(genuine)
    other = world.maker.keys[Role.RELEASE][0].public_key.thumbprint()
    release = sign1(world.maker.release_publish(12))
    assert refused(world, packed(({**header, 4: other}, unprotected, payload, signature))) == (
        "unknown-key"
    )
    named = packed(({**release[0], 4: other}, {}, release[2], signature))
    assert refused(world, named) == "bad-signature"
    assert believed_unsigned(world, named)


def test_a_swapped_content_type_is_refused(world: BoardWorld) -> None:
    """A floor's and a withdrawal's signers are the same; its bytes are not taken for the other."""
    header, unprotected, payload, signature = sign1(world.maker.release_publish(12))
    for kind in ("rollout.set", "release.withdraw", "release.floor", "advisory.publish"):
        content_type = f"application/vnd.fieldpost.{kind}+cbor"
        swapped = packed(({**header, 3: content_type}, unprotected, payload, signature))
        assert refused(world, swapped) in ("malformed", "bad-signature", "wrong-issuer")


def test_a_payload_of_one_kind_signed_as_another_is_refused(world: BoardWorld) -> None:
    """Two kinds whose payloads look alike to a careless reader, both by the care key."""
    statement = decode_post(world.maker.rollout_set()).statement
    for kind in ("fleet.summary", "release.floor"):
        post = world.maker.post(
            kind, statement.subject, statement.payload, world.maker.quorum(Role.ROLLOUT)
        )
        assert refused(world, post) == "malformed"


def test_a_signature_made_alone_does_not_count_beside_another(world: BoardWorld) -> None:
    """COSE_Sign1 and COSE_Sign sign different structures; neither is taken for the other."""
    post = decode_post(world.maker.rollout_set())
    with_another = decode_post(
        world.maker.post("x.y", "s", b"\xa0", world.maker.keys[Role.ROOT][:2])
    )
    (own,) = post.signatures
    stranger = with_another.signatures[0]
    both = sorted((own, stranger), key=lambda signature: signature.kid)
    assert refused(world, Post(post.statement, tuple(both)).encode()) in (
        "unknown-key",
        "bad-signature",
    )


# --- second forms ---


def second_forms(entry: bytes) -> dict[str, bytes]:
    """Other bytes that a lenient reader takes for the very same signed post."""
    value: Any = cbor.decode(entry)
    protected, _, payload, signature = value.value
    plain = cbor.encode(value)
    length = len(payload).to_bytes(4, "big")
    short = cbor.encode(payload)
    return {
        "unprotected header": cbor.encode(
            cbor.Tag(value.number, (protected, {-1: b"decoration"}, payload, signature))
        ),
        "trailing bytes": plain + b"\x00",
        "long length": plain.replace(short, b"\x5a" + length + payload, 1),
        "untagged": cbor.encode(value.value),
        "wrapped twice": cbor.encode(cbor.Tag(61, value)),
    }


@pytest.mark.parametrize(
    "form", ["unprotected header", "trailing bytes", "long length", "untagged", "wrapped twice"]
)
def test_nobody_gives_a_link_a_second_digest(form: str) -> None:
    """Whoever could would fork a maker's chain with a link that the maker did sign."""
    world = BoardWorld.with_class()
    link = maker_set(world.maker, contact="security@acme.example")
    second = second_forms(link)[form]
    assert sha256(second).digest() != sha256(link).digest()
    assert refused(world, second) == "malformed"

    def lenient(data: bytes) -> Post:
        assert data == second
        return decode_post(link)

    batch = apply_batch(world.state, [second], time=world.time + 60, decode=lenient)
    assert isinstance(batch.outcomes[0], Included)
    forked = batch.state.map.value(map_keys.link(map_keys.maker(world.maker.id)))
    world.accept(link)
    assert world.value(map_keys.link(map_keys.maker(world.maker.id))) != forked


def test_a_post_with_duplicate_keys_says_only_one_thing(world: BoardWorld) -> None:
    """First wins here, last wins there: a signer's way to show two readers two rollouts."""
    header, unprotected, payload, signature = sign1(world.maker.rollout_set(interval_s=3_600))
    protected = cbor.encode(header)
    assert payload.endswith(b"\x05\x19\x0e\x10")
    assert payload[0] == 0xA5
    twice = b"\xa6" + payload[1:] + b"\x05\x19\x0e\x11"
    entry = cbor.encode(cbor.Tag(18, (protected, unprotected, twice, signature)))
    assert refused(world, entry) == "malformed"
    with pytest.raises(Malformed):
        cbor.decode(twice)
    with without(Defence.MAP_KEYS):
        decoded: Any = cbor.decode(twice)
    assert decoded[5] == 3_601


def test_a_payload_in_a_second_form_is_refused_also_by_a_lenient_decoder(
    world: BoardWorld,
) -> None:
    """Behind the strict decoder stands the rule that a payload is what its record encodes to."""
    statement = decode_post(world.maker.rollout_set(interval_s=3_600)).statement
    twice = b"\xa6" + statement.payload[1:] + b"\x05\x19\x0e\x10"
    post = world.maker.post(
        statement.kind, statement.subject, twice, world.maker.quorum(Role.ROLLOUT)
    )
    with without(Defence.MAP_KEYS):
        assert refused(world, post) == "malformed"


# --- bombs ---


def deep(levels: int) -> bytes:
    return b"\x81" * levels + b"\x00"


def decode_bundle_of(data: bytes) -> None:
    board = PaperBoard()
    Device(board).check_in(data)


READERS: dict[str, Callable[[bytes], object]] = {
    "cbor": cbor.decode,
    "post": decode_post,
    "envelope": decode_envelope,
    "check-in": decode_bundle_of,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_depth_bomb_is_malformed_and_stops_nobody(reader: str) -> None:
    bomb = deep(MAX_CHECKIN_BYTES - 10)
    with pytest.raises((Malformed, Untrusted)):
        READERS[reader](bomb)


def test_control_without_the_limit_a_depth_bomb_ends_the_reader() -> None:
    bomb = deep(60_000)
    with pytest.raises(Malformed):
        cbor.decode(bomb)
    with pytest.raises(RecursionError):
        cbor.decode(bomb, max_depth=60_001)


@pytest.mark.parametrize("major", [2, 3, 4, 5], ids=["bytes", "text", "array", "map"])
@pytest.mark.parametrize("reader", READERS)
def test_a_length_bomb_costs_no_memory(reader: str, major: int) -> None:
    """Nine bytes that announce 2^63 - 1 items."""
    bomb = bytes([major << 5 | 27]) + (2**63 - 1).to_bytes(8, "big")
    with pytest.raises((Malformed, Untrusted)):
        READERS[reader](bomb)
    with pytest.raises((Malformed, Untrusted)):
        READERS[reader](b"\x82" + bomb)


def test_a_bomb_among_good_posts_costs_the_good_ones_nothing(world: BoardWorld) -> None:
    good = world.maker.rollout_set(world.maker.offer(11))
    outcomes = world.apply([deep(60_000), b"\x9b" + b"\xff" * 8, good]).outcomes
    assert [type(outcome) for outcome in outcomes] == [Refused, Refused, Included]


def test_a_bundle_that_is_too_large_is_not_parsed() -> None:
    board = PaperBoard()
    device = Device(board)
    with pytest.raises(Malformed, match="at most"):
        device.check_in(bytes(MAX_CHECKIN_BYTES + 1))


def test_a_bundles_unsigned_decoration_changes_nothing(world: BoardWorld) -> None:
    """A bundle has no place for anything that the cosigners did not vouch for."""
    board = PaperBoard()
    board.offer(board.release(11))
    device = Device(board)
    value: Any = cbor.decode(board.bundle())
    for decorated in ([*value, b"more"], [2, *value[1:]], {0: value}):
        with pytest.raises(Malformed):
            device.check_in(cbor.encode(decorated))
    assert replace(device.belief, root=None) == device.belief
