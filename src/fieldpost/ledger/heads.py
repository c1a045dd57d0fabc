# SPDX-License-Identifier: Apache-2.0
"""Heads that a rule changes: every change raises the change count (docs/spec/check-in.md).

What a head offers is said by `rollout.set`; floors and withdrawals only take offers out, and links
of the maker only move what it stands under. So no head grows but by `rollout.set`, the counts
apart, for which room is kept when that one is judged.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from fieldpost.ledger.codes import Code, refusal
from fieldpost.ledger.context import Reader, Writes
from fieldpost.ledger.reading import read_class
from fieldpost.records import map_keys
from fieldpost.records.counters import Link
from fieldpost.records.fields import Reading
from fieldpost.records.head import Head, Offer, decode_head
from fieldpost.records.limits import MAX_HEAD_BYTES

# A count that takes as many bytes as counts ever will.
_LARGE: Final = 2**32 - 1


def read_head(read: Reader, class_id: bytes, channel: str) -> Head:
    """The head of a channel that the class has."""
    value = read.value(map_keys.head(class_id, channel))
    assert value is not None  # class.set wrote an empty one for every channel
    return decode_head(value, Reading.LEDGER)


def read_heads(read: Reader, class_id: bytes) -> Iterator[tuple[str, Head]]:
    """(channel, head) for every channel of a class that exists."""
    for channel in read_class(read, class_id).channels:
        yield channel, read_head(read, class_id, channel)


def check_head_size(head: Head) -> None:
    """The head fits small devices, however far its counts grow. Raises Rejected(head-size)."""
    size = len(replace(head, change_count=_LARGE, maker_epoch=_LARGE).encode())
    if size > MAX_HEAD_BYTES:
        raise refusal(Code.HEAD_SIZE, f"up to {size} bytes; at most {MAX_HEAD_BYTES}")


def keep_offers(read: Reader, class_id: bytes, is_kept: Callable[[Offer], bool]) -> Writes:
    """The heads of a class without the offers that are not kept; those that lose none stay."""
    writes: Writes = {}
    for channel, head in read_heads(read, class_id):
        kept = tuple(offer for offer in head.offers if is_kept(offer))
        if kept != head.offers:
            writes |= _changed(class_id, channel, replace(head, offers=kept))
    return writes


def touch_heads(read: Reader, class_id: bytes, sequence: int) -> Writes:
    """The heads that offer a release, with a raised change count and nothing else changed."""
    writes: Writes = {}
    for channel, head in read_heads(read, class_id):
        if any(offer.sequence == sequence for offer in head.offers):
            writes |= _changed(class_id, channel, head)
    return writes


def relink_heads(read: Reader, class_ids: tuple[bytes, ...], link: Link) -> Writes:
    """Every head of the classes under the maker's new link."""
    writes: Writes = {}
    for class_id in class_ids:
        for channel, head in read_heads(read, class_id):
            moved = replace(head, maker_epoch=link.epoch, maker_link=link.digest)
            writes |= _changed(class_id, channel, moved)
    return writes


def _changed(class_id: bytes, channel: str, head: Head) -> Writes:
    raised = replace(head, change_count=head.change_count + 1)
    return {map_keys.head(class_id, channel): raised.encode()}
