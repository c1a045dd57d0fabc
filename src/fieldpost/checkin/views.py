# SPDX-License-Identifier: Apache-2.0
"""What devices read at every check-in and what seldom changes: parsed once while it is the same.

A record changes a few times in a device's life and is asked for at every step of every check-in;
parsing it anew took longer than all signatures of a check-in together. A channel's head changes
with its releases, while check-ins come every hour. The views are immutable in use: nobody writes
to what was decoded.
"""

from functools import lru_cache
from typing import Final

from fieldpost.checkin.quorum import Cosigners, cosigners_of
from fieldpost.keys import Algorithm
from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.fields import Reading
from fieldpost.records.head import Head, decode_head
from fieldpost.records.maker import MakerRecord, decode_maker_record

# Old and new of both, and a monitor's handful of makers.
_KEPT: Final = 16


@lru_cache(maxsize=_KEPT)
def view_board(record: bytes) -> BoardRecord:
    """The board record. Raises Malformed or Untrusted("unsupported")."""
    return decode_board_record(record, Reading.DEVICE)


@lru_cache(maxsize=_KEPT)
def view_maker(record: bytes) -> MakerRecord:
    """The maker record. Raises Malformed or Untrusted("unsupported")."""
    return decode_maker_record(record, Reading.DEVICE)


@lru_cache(maxsize=_KEPT)
def view_cosigners(
    board_record: bytes, maker_record: bytes, algorithms: frozenset[Algorithm]
) -> Cosigners:
    """Who may cosign under these records. Raises Malformed or Untrusted("unsupported")."""
    return cosigners_of(view_board(board_record), view_maker(maker_record).policy, algorithms)


@lru_cache(maxsize=_KEPT)
def view_head(value: bytes) -> Head:
    """The head of a channel. Raises Malformed or Untrusted("unsupported")."""
    return decode_head(value, Reading.DEVICE)
