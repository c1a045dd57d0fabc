# SPDX-License-Identifier: Apache-2.0
"""Chains of links: the board's and a maker's, as devices follow them, and broken ones."""

from hashlib import sha256
from typing import Any

from fieldpost.posts.envelope import decode_post
from fieldpost.records import map_keys
from fieldpost.records.maker import Role
from vectors.sections.changes import changed, flipped
from vectors.sections.world import board, board_link, link_entry, maker_link, new_roots


def make() -> dict[str, Any]:
    """The file's content."""
    return {
        "about": "A record and its link digest before, entries, the digest where they must end;"
        " after: the record there, or the reason.",
        "spec": "docs/spec/check-in.md",
        "board": _board(),
        "maker": _maker(),
    }


def _digest(entry: bytes) -> bytes:
    return sha256(entry).digest()


def _case(
    name: str, entries: list[bytes], reason: str | None, after: bytes, until: bytes | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "entries": [entry.hex() for entry in entries],
        "until": (_digest(entries[-1]) if until is None else until).hex(),
        "after": after.hex() if reason is None else None,
        "reason": reason,
    }


def _board() -> dict[str, Any]:
    world = board()
    before = world.value(map_keys.board())
    assert before is not None
    good = board_link(world)
    record = world.board_record

    def encoded(link: bytes) -> bytes:
        return decode_post(link).statement.payload

    second = board_link(world, epoch=2, previous=_digest(good), epoch_s=15)
    few = board_link(world, signers=2)
    skipped = board_link(world, epoch=2)
    unknown = board_link(world, previous=bytes(32))
    other = board_link(world, operators=record.operators[:1])
    return {
        "board": world.board,
        "record": before.hex(),
        "link": _digest(world.genesis).hex(),
        "cases": [
            _case("no links, already there", [], None, before, _digest(world.genesis)),
            _case("one link by three of four", [good], None, encoded(good)),
            _case("two links", [good, second], None, encoded(second)),
            _case(
                "what follows the digest is ignored",
                [good, second],
                None,
                encoded(good),
                _digest(good),
            ),
            _case("fewer operators", [other], None, encoded(other)),
            _case("nothing given", [], "missing-links", b"", _digest(good)),
            _case("the end is missing", [good], "missing-links", b"", _digest(second)),
            _case("two of four", [few], "link-threshold", b""),
            _case("an epoch is skipped", [skipped], "bad-link", b""),
            _case("after another link", [unknown], "bad-link", b""),
            _case("the wrong way round", [second, good], "bad-link", b""),
            _case("a bit of a signature", [flipped(good)], "bad-signature", b""),
            _case(
                "for another board",
                [changed(good, (0, 15, 3), "board.example/1#" + "00" * 16)],
                "bad-signature",
                b"",
            ),
            _case("a maker's link", [maker_link(world)], "link-threshold", b""),
        ],
    }


def _maker() -> dict[str, Any]:
    world = board()
    maker = world.maker
    before = world.value(map_keys.maker(maker.id))
    assert before is not None
    register = link_entry(world, "maker.register")
    good = maker_link(world)
    old, new = maker.keys[Role.ROOT], new_roots()
    second = maker_link(world, signers=new, epoch=2, previous=_digest(good), name="acme devices")

    def encoded(link: bytes) -> bytes:
        return decode_post(link).statement.payload

    return {
        "maker": maker.id.hex(),
        "record": before.hex(),
        "link": _digest(register).hex(),
        "cases": [
            _case("all root keys replaced", [good], None, encoded(good)),
            _case("and the new ones go on", [good, second], None, encoded(second)),
            _case(
                "only the new keys signed", [maker_link(world, signers=new)], "link-threshold", b""
            ),
            _case(
                "one old key signed",
                [maker_link(world, signers=(old[0], *new))],
                "link-threshold",
                b"",
            ),
            _case(
                "one new key signed",
                [maker_link(world, signers=(old[0], old[1], new[0]))],
                "link-threshold",
                b"",
            ),
            _case("the old keys alone", [maker_link(world, signers=old)], "link-threshold", b""),
            _case(
                "another board's link",
                [maker_link(world, audience="board.example/2#" + "00" * 16)],
                "bad-link",
                b"",
            ),
            _case("an epoch is skipped", [maker_link(world, epoch=2)], "bad-link", b""),
            _case("after another link", [maker_link(world, previous=bytes(32))], "bad-link", b""),
            _case("nothing given", [], "missing-links", b"", _digest(good)),
            _case("the registration is no link to follow", [register], "bad-link", b"", bytes(32)),
        ],
    }
