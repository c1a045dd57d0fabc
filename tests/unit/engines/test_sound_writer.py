# SPDX-License-Identifier: Apache-2.0
"""Who signs heads while the rest of a batch waits for room: who stands for all of the log."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fieldpost.durable import DiskFull
from fieldpost.engines.head_reserve import HeadReserve
from fieldpost.engines.sound_writer import SoundWriter
from fieldpost.engines.writer import BoardWriter


class FullAgain(HeadReserve):
    """A disk with room only while it is said to have some."""

    has_room = True

    def check_again(self) -> None:
        if not self.has_room:
            raise DiskFull("the disk is full")


class Opened:
    """Opens writers that have signed nothing, and a board that is whole or may lack its end."""

    def __init__(self, folder: Path, *, behind: str | None) -> None:
        self.writers: list[BoardWriter] = []
        self.reserve = FullAgain(folder, 0)
        self.board = SoundWriter(self.open, self.reserve)
        self.board.open_first(None, behind)

    def open(self, **_how: object) -> BoardWriter:
        made = SimpleNamespace(signed_size=0, close=lambda: None)
        self.writers.append(cast(BoardWriter, made))
        return self.writers[-1]

    def break_on_a_full_disk(self) -> None:
        self.board.is_broken = True
        self.reserve.has_room = False


def test_a_writer_that_was_opened_again_and_broke_before_it_signed_goes_on_with_heads(
    tmp_path: Path,
) -> None:
    opened = Opened(tmp_path, behind=None)
    opened.board.is_broken = True
    second = opened.board.sound(behind=False)
    opened.break_on_a_full_disk()
    assert opened.board.for_heads(behind=False) is second is opened.writers[1]
    assert opened.board.unfinished is not None


def test_a_writer_of_a_log_that_may_lack_its_end_signs_no_head_for_want_of_room(
    tmp_path: Path,
) -> None:
    opened = Opened(tmp_path, behind="mirrors know more")
    opened.break_on_a_full_disk()
    with pytest.raises(DiskFull):
        opened.board.for_heads(behind=False)
    opened.reserve.has_room = True
    assert opened.board.for_heads(behind=False) is opened.writers[1]
    opened.break_on_a_full_disk()
    assert opened.board.for_heads(behind=False) is opened.writers[1]
