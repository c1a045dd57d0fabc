# SPDX-License-Identifier: Apache-2.0
"""The writer of a board, opened again from the disk where its last work failed.

So that memory never runs ahead of what is durable. On a full disk that may have to wait: the rest
of a batch whose log succeeded is its part of state.db, which can take hundreds of megabytes, more
than any reserve holds. Heads do not wait for it. They are those of the size before the batch, of
which no file changed, and all their room is their own: the reserve is for them alone.
"""

from collections.abc import Callable

from fieldpost.engines.head_reserve import HeadReserve
from fieldpost.engines.recovery import Watch
from fieldpost.engines.writer import BoardWriter
from fieldpost.errors import Misconfigured, Unavailable


class SoundWriter:
    """For whoever may write, one at a time. `open_` opens the board as `open_board` does.

    `now` is the writer as it is, for readers; `is_broken` is set by whoever begins what may leave
    it so. `unfinished` says why a batch still waits for room; None if none does.
    """

    now: BoardWriter

    def __init__(self, open_: Callable[..., BoardWriter], reserve: HeadReserve) -> None:
        self._open = open_
        self._reserve = reserve
        self.is_broken = False
        self._may_be_behind = True
        self.unfinished: str | None = None

    def open_first(self, watch: Watch | None, behind: str | None) -> BoardWriter:
        """The first writer; `behind` says why the log may lack its end.

        There is no head without it, so it gets what is kept for them. Raises as `open_board`.
        """
        self.is_broken = False  # whatever grew is seen now
        try:
            self.now = self._reserve.carry(
                lambda: self._open(watch=watch, behind=behind is not None)
            )
        except Misconfigured as error:
            if behind is None:
                raise
            raise Misconfigured(f"{error}; {behind}") from error
        self._may_be_behind = behind is not None
        return self.now

    def sound(self, *, behind: bool) -> BoardWriter:
        """The writer for a batch. Raises as `open_board`, DiskFull while there is no room."""
        if self.is_broken:
            # A large board takes seconds to open, and would be opened for nothing each second.
            self._reserve.check_again()
            old, self.now = self.now, self._open(behind=behind)
            self.is_broken, self._may_be_behind = False, behind
            old.close()
        self.unfinished = None
        return self.now

    def for_heads(self, *, behind: bool) -> BoardWriter:
        """The writer for heads: on a disk too full for `sound`, the one that a batch broke.

        Not if that was opened while the log may have lacked its end, and has signed nothing since:
        it may stand for less than its keys have signed, and must never cosign that again.
        """
        try:
            return self.sound(behind=behind)
        except Unavailable as error:
            is_old = self._may_be_behind and not self.now.signed_size
            if is_old or not self._reserve.is_for_room(error):
                raise
            self._reserve.tell_full(error)
            self.unfinished = str(error)
            return self.now
