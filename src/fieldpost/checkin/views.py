# SPDX-License-Identifier: Apache-2.0
"""Board and maker records as devices read them, parsed once for as long as they stay the same.

A record changes a few times in a device's life and is asked for at every step of every check-in;
parsing it anew took longer than all signatures of a check-in together. The views are immutable in
use: nobody writes to a record that was decoded.
"""

from functools import lru_cache
from typing import Final

from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.fields import Reading
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
