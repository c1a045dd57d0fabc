# SPDX-License-Identifier: Apache-2.0
"""A rule version 2 that exists for tests alone, to show how a board changes its rules.

    world = BoardWorld(versions=TEST_VERSIONS)
    world.accept(board_set(world, rule_version=2))

Version 2 has a kind more (`test.note`: a maker's root leaves a text) and a kind less (`blob.gone`).
"""

from typing import Final

from fieldpost.ledger.authority import Reach, check_role
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.reading import check_claims, read_maker
from fieldpost.ledger.rules import RULES, Rules, Versions
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.maker import Role


def decide_test_note(read: Reader, post: Post, ctx: Context) -> Writes:
    """A text that a maker's root signed, beside its record. Raises Rejected."""
    maker = read_maker(read, bytes.fromhex(post.statement.issuer))
    check_claims(post, issuer=maker.id.hex(), subject=subjects.of_maker(maker.id))
    check_role(post, ctx, maker, Role.ROOT, Reach(class_id=maker.id))
    return {note_key(maker.id): post.statement.payload}


def note_key(maker_id: bytes) -> bytes:
    """Where `test.note` writes: beside everything that version 1 knows."""
    return map_keys.link(map_keys.link(map_keys.maker(maker_id)))


_VERSION_2: Final[Rules] = {
    **{kind: rule for kind, rule in RULES.items() if kind != "blob.gone"},
    "test.note": decide_test_note,
}
TEST_VERSIONS: Final[Versions] = {1: RULES, 2: _VERSION_2}
