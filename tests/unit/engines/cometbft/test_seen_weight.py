# SPDX-License-Identifier: Apache-2.0
"""What a node remembers of posts is bounded by what it takes, with the records that came ahead."""

from fieldpost.engines.cometbft.seen import SeenPosts
from fieldpost.engines.verification import ReadPost, read_post
from fieldpost.ledger.payloads import decode_ahead
from fieldpost.posts.envelope import Post
from fieldpost.posts.kinds import DECODERS
from tests.unit.ledger.every_kind import every_kind

LIVE = every_kind()["device.status"]


def read(*, ahead: bool) -> ReadPost:
    found = read_post(LIVE.entry, LIVE.state.map)
    assert isinstance(found.post, Post)
    if ahead:
        record = decode_ahead("device.status", found.post.statement.payload)
        found.post.records[DECODERS["device.status"]] = record
    return found


def test_a_record_counts_and_is_let_go_with_its_post() -> None:
    seen = SeenPosts()
    seen.remember([read(ahead=False)], [])
    plain = seen._bytes
    assert plain == len(LIVE.entry)
    seen.remember([read(ahead=True)], [])
    assert seen._bytes > plain
    seen.forget([read(ahead=True).digest])
    assert seen._bytes == 0
    seen.close()
