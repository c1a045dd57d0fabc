# SPDX-License-Identifier: Apache-2.0
"""Check-ins: what a device believed, bundle and clock; what it believes then, or why not."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.bundle import decode_bundle, encode_bundle
from fieldpost.checkin.verify import verify_bundle
from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.cosignature import cosign
from vectors.sections.changes import changed, flipped
from vectors.sections.next_states import moved_head, next_bundle
from vectors.sections.world import (
    board,
    board_link,
    bundle,
    head_key,
    link_entry,
    maker_link,
    provisioning_entry,
)

MOST = 73_727


def _belief(belief: Belief) -> dict[str, Any]:
    return {
        "board": belief.board,
        "board_record": belief.board_record.hex(),
        "board_link": belief.board_link.hex(),
        "maker": belief.maker.hex(),
        "maker_record": belief.maker_record.hex(),
        "maker_link": belief.maker_link.hex(),
        "size": belief.size,
        "root": None if belief.root is None else belief.root.hex(),
        "timestamp": belief.timestamp,
    }


class _Cases:
    """The list that grows."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def add(
        self,
        name: str,
        belief: Belief,
        data: bytes,
        reason: str | None,
        *,
        key: bytes,
        now: int | None = None,
        least_time: int = 0,
        head: bool = True,
        board_links: tuple[bytes, ...] = (),
        maker_links: tuple[bytes, ...] = (),
        genuine: bool = False,
    ) -> None:
        case: dict[str, Any] = {
            "name": name,
            "before": _belief(belief),
            "bundle": data.hex(),
            "key": key.hex(),
            "head": head,
            "now": now,
            "least_time": least_time,
            "board_links": [link.hex() for link in board_links],
            "maker_links": [link.hex() for link in maker_links],
            "reason": reason,
            "after": None,
        }
        if reason == "not-newer":
            case["genuine"] = genuine
        if reason is None:
            # The verdict is the generator's word; the fields after are read off the library.
            verified = verify_bundle(
                belief,
                data,
                key=key,
                now=now,
                least_time=least_time,
                head=head,
                board_links=board_links,
                maker_links=maker_links,
                most_bytes=MOST,
            )
            case["after"] = _belief(verified.belief) | {
                "t": verified.timestamp,
                "stale": verified.stale,
                "moved": verified.moved,
                "moved_board": verified.moved_board,
                "value": None if verified.value is None else verified.value.hex(),
            }
        self.made.append(case)


def make() -> dict[str, Any]:
    """The file's content."""
    world = board()
    first, _ = believe(provisioning_entry(world))
    cases = _Cases()
    _sound(cases, world, first)
    _broken(cases, world, first)
    _older(cases, world, first)
    _quorum(cases, world, first)
    _chains(cases, world, first)
    return {
        "about": "Steps 1 to 7. before: what the device believes; key: the map key it asks for;"
        " after: what it believes then (reason null); genuine: whether a quorum signed what is"
        " not-newer.",
        "spec": "docs/spec/check-in.md",
        "provisioning": {
            "entry": provisioning_entry(world).hex(),
            "believed": _belief(first),
        },
        "cases": cases.made,
    }


def _sound(cases: _Cases, world: BoardWorld, first: Belief) -> None:
    data, key, now = bundle(world), head_key(world), world.time
    seen = verify_bundle(first, data, key=key, now=None).belief
    max_age = first.policy.max_age_s
    cases.add("the first check-in", first, data, None, key=key, now=now)
    cases.add("without a clock", first, data, None, key=key)
    cases.add("the same again", seen, data, None, key=key, now=now)
    again = bundle(world, timestamp=world.time + 60)
    cases.add("the same size, cosigned again later", seen, again, None, key=key, now=now + 60)
    cases.add("as old as max_age", first, data, None, key=key, now=now + max_age)
    cases.add(
        "a second older than max_age: stale", first, data, None, key=key, now=now + max_age + 1
    )
    cases.add(
        "a clock below the least time is no clock",
        first,
        data,
        None,
        key=key,
        now=5,
        least_time=1_700_000_000,
    )
    record = map_keys.maker(world.maker.id)
    cases.add("a record, no head", first, bundle(world, record), None, key=record, head=False)
    nothing = map_keys.status(bytes(16), 0)
    cases.add("absence", first, bundle(world, nothing), None, key=nothing, head=False)


def _broken(cases: _Cases, world: BoardWorld, first: Belief) -> None:
    data, key = bundle(world), head_key(world)
    whole = decode_bundle(data, most_bytes=MOST)
    leaf = decode_state_leaf(whole.state_leaf)
    beta = map_keys.head(world.maker.class_id("tracker"), "beta")
    cases.add("a proof for another channel", first, data, "bad-proof", key=beta)
    for name, changes, reason in (
        ("another value", {"value": flipped(whole.value or b"")}, "bad-proof"),
        ("absence claimed", {"value": None}, "bad-proof"),
        ("a bit of the path", {"path": flipped(whole.path)}, "bad-proof"),
        (
            "another map root in the leaf",
            {"state_leaf": replace(leaf, map_root=bytes(32)).encode()},
            "bad-proof",
        ),
        (
            "another size in the leaf",
            {"state_leaf": replace(leaf, covered_size=leaf.covered_size + 2).encode()},
            "malformed",
        ),
        ("an edge hash too few", {"edge": whole.edge[:-1]}, "malformed"),
        ("a bit of the edge", {"edge": (flipped(whole.edge[0]), *whole.edge[1:])}, "bad-signature"),
        (
            "a later time in the leaf",
            {"state_leaf": replace(leaf, time=leaf.time + 1).encode()},
            "bad-signature",
        ),
    ):
        cases.add(name, first, encode_bundle(replace(whole, **changes)), reason, key=key)
    for name, place, new in (
        ("version 2", (0,), 2),
        ("version true", (0,), True),
        ("a key id of five bytes", (5, 0, 0), bytes(5)),
        ("a timestamp that is true", (5, 0, 1), True),
        ("a signature of 63 bytes", (5, 0, 2), bytes(63)),
        ("the state leaf not wrapped", (3,), ["fieldpost/state"]),
    ):
        cases.add(name, first, changed(data, place, new), "malformed", key=key)
    cases.add("cut off", first, data[:-1], "malformed", key=key)
    cases.add("a page of a captive portal", first, b"<html>", "malformed", key=key)


def _older(cases: _Cases, world: BoardWorld, first: Belief) -> None:
    data, key = bundle(world), head_key(world)
    seen = verify_bundle(first, data, key=key, now=None).belief
    further = replace(seen, size=seen.size + 2)
    cases.add("a smaller size than seen", further, data, "not-newer", key=key, genuine=True)
    for name, signed in (
        ("a smaller size, and nobody signed it", ()),
        ("a smaller size, and two of four operators signed it", world.cosignatures(operators=2)),
    ):
        cases.add(name, further, bundle(world, cosignatures=signed), "not-newer", key=key)
    cases.add(
        "an older T at the same size and root",
        replace(seen, timestamp=seen.timestamp + 1),
        data,
        "not-newer",
        key=key,
        genuine=True,
    )
    cases.add(
        "another root at the same size", replace(seen, root=bytes(32)), data, "split-view", key=key
    )
    forged = decode_bundle(data, most_bytes=MOST)
    unsigned = encode_bundle(replace(forged, cosignatures=()))
    cases.add(
        "another root at the same size, and nobody signed: no alarm",
        replace(seen, root=bytes(32)),
        unsigned,
        "no-quorum",
        key=key,
    )


def _quorum(cases: _Cases, world: BoardWorld, first: Belief) -> None:
    key, now = head_key(world), world.time
    head = world.checkpoint()

    def by(operators: int, witnesses: int = 1) -> bytes:
        signed = world.cosignatures(operators=operators, witnesses=witnesses)
        return bundle(world, cosignatures=signed)

    cases.add("three of four operators and the witness", first, by(3), None, key=key)
    cases.add("two of four operators", first, by(2), "no-quorum", key=key)
    cases.add("no witness", first, by(4, 0), "no-quorum", key=key)
    everybody = world.cosignatures()
    stranger = replace(everybody[0], key_id=b"\0\0\0\0", signature=bytes(64))
    cases.add(
        "a stranger's bad cosignature is ignored",
        first,
        bundle(world, cosignatures=(*everybody, stranger)),
        None,
        key=key,
    )
    spoilt = replace(everybody[3], signature=flipped(everybody[3].signature))
    cases.add(
        "a bad cosignature of a known key refuses all",
        first,
        bundle(world, cosignatures=(*everybody[:3], spoilt, everybody[4])),
        "bad-signature",
        key=key,
    )
    twice = (everybody[0],) * 3
    cases.add(
        "one operator three times",
        first,
        bundle(world, cosignatures=(*twice, everybody[4])),
        "no-quorum",
        key=key,
    )
    untimed = tuple(
        cosign(head, name=op.cosigner_name, signer=op.cosigner(), timestamp=now + ahead)
        for op, ahead in zip(world.operators, (0, 30, 60, 90), strict=True)
    )
    cases.add(
        "T is the third largest of four, and not above the witness's",
        first,
        bundle(world, cosignatures=(*untimed, everybody[4])),
        None,
        key=key,
        now=now,
    )
    early = bundle(world, timestamp=now + 601)
    cases.add("601 s ahead of the clock", first, early, "no-quorum", key=key, now=now)
    cases.add(
        "600 s ahead of the clock",
        first,
        bundle(world, timestamp=now + 600),
        None,
        key=key,
        now=now,
    )
    cases.add("601 s ahead, and no clock", first, early, None, key=key)


def _chains(cases: _Cases, world: BoardWorld, first: Belief) -> None:
    key = head_key(world)
    seen = verify_bundle(first, bundle(world), key=key, now=None).belief
    link = board_link(world)
    after_link = {"board_epoch": 1, "board_link": sha256(link).digest()}
    moved = next_bundle(world, {}, **after_link)
    cases.add("the board moved on, links given", seen, moved, None, key=key, board_links=(link,))
    cases.add("the board moved on, no links", seen, moved, "missing-links", key=key)
    weak = board_link(world, signers=2)
    forged = next_bundle(world, {}, board_epoch=1, board_link=sha256(weak).digest())
    cases.add(
        "a board link by two of four", seen, forged, "link-threshold", key=key, board_links=(weak,)
    )
    cases.add(
        "another board link at my epoch",
        seen,
        next_bundle(world, {}, board_link=bytes(32)),
        "board-fork",
        key=key,
    )
    ahead = replace(
        seen, board_record=decode_post(link).statement.payload, board_link=sha256(link).digest()
    )
    cases.add("a board epoch below mine", ahead, next_bundle(world, {}), "not-newer", key=key)

    rotation = maker_link(world)
    digest = sha256(rotation).digest()
    rotated = next_bundle(world, moved_head(world, 1, digest))
    cases.add(
        "the maker rotated its keys, links given",
        seen,
        rotated,
        None,
        key=key,
        maker_links=(rotation,),
    )
    cases.add("the maker rotated its keys, no links", seen, rotated, "missing-links", key=key)
    mine = replace(seen, maker_record=decode_post(rotation).statement.payload, maker_link=digest)
    old = sha256(link_entry(world, "maker.register")).digest()
    cases.add(
        "a maker epoch below mine",
        mine,
        next_bundle(world, moved_head(world, 0, old)),
        "maker-rollback",
        key=key,
    )
    cases.add(
        "another maker link at my epoch",
        seen,
        next_bundle(world, moved_head(world, 0, bytes(32))),
        "maker-fork",
        key=key,
    )
    policy = replace(
        world.maker.record().policy, witnesses=(), witnesses_needed=0, max_age_s=86_400
    )
    lax = maker_link(world, policy=policy)
    cases.add(
        "a new policy, passed under the old and the new one",
        seen,
        next_bundle(world, moved_head(world, 1, sha256(lax).digest())),
        None,
        key=key,
        maker_links=(lax,),
    )
    away = replace(
        policy,
        board="board.example/2#" + "77" * 16,
        board_epoch=4,
        board_link=b"\x66" * 32,
        least_size=9,
    )
    leaving = maker_link(world, policy=away)
    cases.add(
        "the maker moves to another board",
        seen,
        next_bundle(world, moved_head(world, 1, sha256(leaving).digest())),
        None,
        key=key,
        maker_links=(leaving,),
    )
    value = world.value(key)
    assert value is not None
    later = {key: changed(value, (6,), 1)}
    cases.add(
        "a critical label of a later head", seen, next_bundle(world, later), "unsupported", key=key
    )
    advisory = {key: changed(value, (-1,), 1)}
    cases.add(
        "an advisory label of a later head", seen, next_bundle(world, advisory), None, key=key
    )
