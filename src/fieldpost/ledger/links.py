# SPDX-License-Identifier: Apache-2.0
"""Chains of links: each replaces a whole record and names the one before by its entry's digest.

Links carry an epoch instead of a nonce, so that no lower key can delay a key ceremony
(docs/spec/posts.md).
"""

from typing import Final

from fieldpost import cbor
from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Context, Reader, Writes
from fieldpost.ledger.reading import find_link
from fieldpost.posts.envelope import Post
from fieldpost.records import map_keys
from fieldpost.records.counters import Link

# Asked for every post of a batch, of which hardly any is one.
_LINKS: Final = frozenset({"genesis", "board.set", "maker.register", "maker.set", "class.set"})


def extend_chain(
    read: Reader, post: Post, ctx: Context, *, record_key: bytes, epoch: int, previous: bytes | None
) -> Writes:
    """The writes of a link: its payload as the record, and [epoch, digest] as the last link.

    Raises Rejected: `taken` (epoch 0 again), `epoch`, `previous-link`.
    """
    _check_place(find_link(read, record_key), epoch, previous)
    return {
        record_key: post.statement.payload,
        map_keys.link(record_key): Link(epoch, ctx.entry_digest).encode(),
    }


def _check_place(last: Link | None, epoch: int, previous: bytes | None) -> None:
    if last is None:
        if epoch != 0:
            raise refusal(Code.EPOCH, f"epoch {epoch} of a chain that does not exist; begin with 0")
    elif epoch == 0:
        raise refusal(Code.TAKEN, "the record exists; a change carries the next epoch")
    elif epoch != last.epoch + 1:
        raise refusal(Code.EPOCH, f"epoch {epoch}; the next one is {last.epoch + 1}")
    elif previous != last.digest:
        raise refusal(Code.PREVIOUS_LINK, f"the link of epoch {last.epoch} is {last.digest.hex()}")


def linked_record(post: Post) -> tuple[bytes, int] | None:
    """(map key of the record, epoch) if an **accepted** post is a link, else None.

    For indexes that answer "the links since epoch e"; says nothing about posts that were refused.
    A registration that carries a chain is no link itself: its links are label 10 of its record.
    """
    if post.statement.kind not in _LINKS:
        return None
    subject = post.statement.subject
    match post.statement.kind:
        case "genesis" | "board.set":
            record_key, label = map_keys.board(), 2
        case "maker.register" | "maker.set":
            record_key, label = map_keys.maker(bytes.fromhex(subject)), 1
        case _:
            record_key, label = map_keys.device_class(bytes.fromhex(subject)), 1
    match cbor.decode(post.statement.payload):
        case dict(record):
            if post.statement.kind == "maker.register" and 10 in record:
                return None
            epoch = record[label]
            assert isinstance(epoch, int)
            return record_key, epoch
    raise AssertionError("an accepted link whose payload is no map")
