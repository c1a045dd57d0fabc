# SPDX-License-Identifier: Apache-2.0
"""The embedded engine: one process, one operator, many posts for one wait on the disk.

One thread owns ledger, log and state database. It takes what the intake has checked, writes it as
one batch, publishes it and answers; while nothing comes it cosigns the unchanged size again
whenever the board's epoch is over. After a failure of the disk the board is opened again before
the next batch, so that memory never runs ahead of what is durable.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, DiskFull
from fieldpost.engines.base import Answer, CommittedHead, Cosignable, PublishedHead, Receipt
from fieldpost.engines.clock_guard import ClockGuard
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.engines.head_reserve import HeadReserve
from fieldpost.engines.intake import Collected, Done, Intake, Waiting, resolving
from fieldpost.engines.operator_keys import OperatorKeys
from fieldpost.engines.publication import Publication
from fieldpost.engines.reading import PublishedLog, PublishedReads, read_links
from fieldpost.engines.recovery import MakeCosigner, Watch, open_board
from fieldpost.engines.sound_writer import SoundWriter
from fieldpost.engines.tail import Caught
from fieldpost.engines.verification import Memory
from fieldpost.engines.writer import BoardWriter, GivenAway
from fieldpost.errors import FieldpostError, Rejected, Unavailable
from fieldpost.journal import tell
from fieldpost.ledger.batch import Refused
from fieldpost.ledger.context import Reader
from fieldpost.ledger.reading import read_board
from fieldpost.records import map_keys
from fieldpost.records.policy import DevicePolicy
from fieldpost.tlog.note import NoteSignature

MOST_WAITING: Final = 8_192
_TICK_S: Final = 1.0
_RETRY_S: Final = 1
_ASK_S: Final = 10.0
_GIVEN_AWAY_S: Final = 60

_log = logging.getLogger(__name__)


def _whole_seconds() -> int:
    return int(time.time())


class EmbeddedEngine(PublishedReads):
    """An `Engine` over the data directory `data`, in which `create_board` made a board.

    `clock` gives Unix seconds, `uptime` seconds since any moment, `watch` follows a rebuild.
    While `ask_mirrors` says that the node may be behind, what was published is shown, no post is
    taken and nothing is signed; it is asked again every 10 s. `reserve_bytes` of the disk are kept
    for heads. Raises Misconfigured and Unavailable as `open_board` does, what `ask_mirrors` raises,
    and Misconfigured if another process has the directory.

    Where the board's record demands witnesses, `add_cosignatures` publishes: whoever asks them
    hears of each size by `subscribe_committed`.
    """

    def __init__(
        self,
        data: Path,
        *,
        clock: Callable[[], int] = _whole_seconds,
        uptime: Callable[[], float] = time.monotonic,
        make_cosigner: MakeCosigner = OperatorKeys.local_cosigner,
        most_waiting: int = MOST_WAITING,
        watch: Watch | None = None,
        ask_mirrors: Callable[[], Caught] | None = None,
        reserve_bytes: int = 0,
        disk: Disk = OS,
    ) -> None:
        self._clock = ClockGuard(clock, uptime)
        self._publication = Publication(uptime)
        self._closing = False
        # Held by whoever writes: the engine's thread, or a caller of `refresh`.
        self._writing = threading.Lock()
        self._trouble: str | None = None
        self._ask_mirrors = ask_mirrors
        self._behind: str | None = None
        self._asked = float("-inf")
        self._uptime = uptime
        self._observe_commit: Callable[[float], None] = lambda _: None
        self._directory = DirectoryLock(data)
        self.reserve = HeadReserve(data, reserve_bytes, disk=disk)
        open_ = partial(open_board, data, make_cosigner=make_cosigner, disk=disk)
        self._board = SoundWriter(open_, self.reserve)
        try:
            self._catch_up()
            self._board.open_first(watch, self._behind)
            self._begin()
            self.reserve.restore(uptime())
        except BaseException:
            self._directory.release()
            raise
        self._intake = Intake(self._glance, most_waiting=most_waiting)
        self._thread = threading.Thread(target=self._run, name="fieldpost-engine", daemon=True)
        self._thread.start()

    @property
    def _writer(self) -> BoardWriter:
        return self._board.now

    @property
    def board(self) -> str:
        """See Engine."""
        return self._writer.state.board

    def submit(self, entry: bytes) -> Future[Receipt]:
        """See Engine."""
        future: Future[Receipt] = Future()
        # What was taken is written, whether or not somebody still waits for the answer.
        future.set_running_or_notify_cancel()
        self.submit_many([entry], resolving(future))
        return future

    def submit_many(self, entries: Sequence[bytes], done: Done) -> None:
        """See Engine."""
        if self._behind is not None:
            done([Unavailable(self._behind, int(_ASK_S))] * len(entries))
        else:
            self._intake.submit(entries, done)

    def published(self, policy: DevicePolicy | None = None) -> PublishedHead:
        """See Engine."""
        return self._publication.find(policy)

    @property
    def _head(self) -> PublishedHead:
        return self._publication.find()

    @property
    def cosignable(self) -> Cosignable:
        """See WritingEngine."""
        return self

    def committed(self) -> CommittedHead:
        """See Cosignable."""
        found = self._publication.committed
        if found is None:
            raise Unavailable("nothing is signed yet", _RETRY_S)
        return found

    def subscribe_committed(self, callback: Callable[[CommittedHead], None]) -> None:
        """See Cosignable."""
        self._publication.cosigners.append(callback)

    def committed_links(self, since: int, *, most_bytes: int) -> list[bytes]:
        """See Cosignable."""
        writer, size = self._writer, self.committed().checkpoint.size
        signed = PublishedLog(writer.log, writer.db, size)
        return read_links(signed, map_keys.board(), since, most_bytes=most_bytes)

    def add_cosignatures(self, size: int, lines: Sequence[NoteSignature]) -> PublishedHead:
        """See Engine."""
        with self._writing:
            writer = self._board.for_heads(behind=self._behind is not None)
            add = self._publication.add_cosignatures
            head = self.reserve.carry(lambda: add(writer, size, lines))
        # Not under the lock: whoever hears of it may come back.
        self._intake.answer(self._publication.release())
        return head

    def cosigned(self, size: int) -> bytes:
        """See Engine."""
        return self._publication.note_of(size)

    def when_cosigned(self, size: int, call: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG002 - the port's
        """See Engine: no other operator waits for this one."""
        call()
        return lambda: None

    def check_ready(self) -> None:
        """See Engine."""
        if not self._thread.is_alive():
            raise Unavailable("the engine stopped: restart the node")
        trouble = self._behind or self._trouble or self._board.unfinished
        if trouble is not None:
            raise Unavailable(trouble)
        self.reserve.check_whole()
        self._publication.check()

    @property
    def waiting(self) -> int:
        """See Engine."""
        return self._intake.waiting

    def observe(self, *, commit: Callable[[float], None], publish: Callable[[float], None]) -> None:
        """See Engine."""
        self._observe_commit, self._publication.observe = commit, publish

    def subscribe(self, callback: Callable[[PublishedHead], None]) -> None:
        """See Engine."""
        self._publication.subscribers.append(callback)

    @property
    def published_log(self) -> PublishedLog:
        """See PublishedReads."""
        return PublishedLog(self._writer.log, self._writer.db, self._head.size)

    def refresh(self, now: int) -> PublishedHead:
        """Sign again, at `now` (Unix seconds), if the newest size was signed an epoch ago.

        The engine does so itself; this is for those who keep their own time. Raises Unavailable.
        """
        self._refresh(now)
        return self._head

    def _refresh(self, now: int) -> None:
        with self._writing:
            self._check_not_behind()
            self.reserve.restore(self._uptime())
            writer = self._board.for_heads(behind=False)
            epoch_s = read_board(writer.state.map).epoch_s
            if writer.state.size > writer.signed_size or now - (writer.signed_at or 0) >= epoch_s:
                self._publish(writer, now)

    def _publish(self, writer: BoardWriter, now: int) -> None:
        self.reserve.carry(lambda: self._publication.publish(writer, now))

    def accept_clock(self) -> None:
        """Somebody looked at the clock that the engine refuses to write by, and it is right."""
        self._clock.accept()

    def close(self) -> None:
        """See Engine. May be called again."""
        self._closing = True
        self._publication.room.set()
        self._intake.close()
        self._thread.join()
        self._intake.join()
        with self._writing:
            self._writer.close()
            self._directory.release()

    def _glance(self) -> Reader:
        # The writer may be another one by then.
        return self._writer.glance()

    def _run(self) -> None:
        try:
            while not self._intake.is_drained:
                if self._publication.room.wait(_TICK_S) or self._closing:
                    self._take_batch()
                self._tick()
            self._intake.abandon(
                f"the node stops; the post is in the log and not published: "
                f"{self._publication.missing}"
            )
        except BaseException:
            self._intake.abandon("the engine stopped: restart the node")
            raise

    def _take_batch(self) -> None:
        batch = self._intake.collect(most_s=_TICK_S)
        if batch.posts:
            self._intake.answer(self._settle(batch))
            with self._writing:
                self._writer.tidy()

    def _catch_up(self) -> None:
        """Ask the mirrors whether this node may write; what they had is on the disk then."""
        if self._ask_mirrors is None:
            return
        self._asked = self._uptime()
        caught = self._ask_mirrors()
        self._board.is_broken |= caught.grew
        if caught.behind is not None and caught.behind != self._behind:
            tell(_log, "no-posts-taken", error=caught.behind)
        self._behind = caught.behind

    def _check_not_behind(self) -> None:
        if self._behind is not None:
            raise Unavailable(self._behind, int(_ASK_S))

    def _tick(self) -> None:
        if self._behind is not None and self._uptime() - self._asked >= _ASK_S:
            self._ask_again()
        if self._behind is not None:
            return
        self._intake.answer(self._publication.release())
        try:
            self._refresh(self._clock.read(last=self._writer.state.last.time))
            self._trouble = None
        except FieldpostError as error:
            # Tried again every second, told once.
            if str(error) != self._trouble:
                tell(_log, "head-not-refreshed", error=error)
            self._trouble = str(error)

    def _ask_again(self) -> None:
        try:
            with self._writing:
                self._catch_up()
        except FieldpostError as error:
            if str(error) != self._behind:
                tell(_log, "no-posts-taken", error=error)
            self._behind = str(error)

    def _settle(self, batch: Collected) -> list[tuple[Waiting, Answer]]:
        """Write a batch; an answer for each of it."""
        with self._writing:
            try:
                return self._write(batch)
            except GivenAway as error:
                if str(error) != self._trouble:
                    tell(_log, "board-given-away", error=error)
                self._trouble = str(error)
                answer = Unavailable(str(error), _GIVEN_AWAY_S)
            except DiskFull as error:
                answer = error
                # That a batch was not begun, or that one waits for room, the reserve tells, once.
                if self._board.is_broken and self._board.unfinished is None:
                    tell(_log, "batch-not-written", posts=len(batch.posts), error=error)
            except FieldpostError as error:
                self._trouble = str(error)
                tell(_log, "batch-not-written", posts=len(batch.posts), error=error)
                answer = Unavailable(str(error), _RETRY_S)
            except Exception as bug:  # noqa: BLE001 - it costs the batch that met it, not the node
                tell(_log, "batch-not-written", posts=len(batch.posts), error="a bug", trace=bug)
                self._board.is_broken = True
                answer = Unavailable("an internal error; the node's log has it", _RETRY_S)
            return [(waiting, answer) for waiting in batch.posts]

    def _write(self, batch: Collected) -> list[tuple[Waiting, Answer]]:
        writer = self._board.sound(behind=self._behind is not None)
        now = self._clock.read(last=writer.state.last.time)
        posts = {waiting.read.digest: waiting.read for waiting in batch.posts}
        answers: dict[bytes, Answer] = dict(writer.find_receipts(list(posts)))
        fresh = [read for digest, read in posts.items() if digest not in answers]
        if fresh:
            # Before anything is begun: a board that others write now is not opened again for it.
            writer.check_ours()
            self.reserve.check_room(sum(len(read.entry) for read in fresh))
            memory = Memory(fresh, batch.valid)
            outcomes = self._commit(writer, [read.entry for read in fresh], memory, now)
            for read, outcome in zip(fresh, outcomes, strict=True):
                answers[read.digest] = outcome
        if writer.state.size > writer.signed_size:
            self._publish(writer, now)
        return self._publication.sort(
            [(waiting, answers[waiting.read.digest]) for waiting in batch.posts]
        )

    def _commit(
        self, writer: BoardWriter, entries: Sequence[bytes], memory: Memory, now: int
    ) -> list[Answer]:
        # Until the whole of it succeeded nobody knows how much of it is on the disk.
        self._board.is_broken = True
        began = time.monotonic()
        outcomes = writer.commit(
            entries, time=now, check_signature=memory.check_signature, decode=memory.decode
        )
        self._board.is_broken = False
        self._observe_commit(time.monotonic() - began)
        return [
            Rejected(outcome.code, outcome.name, outcome.detail)
            if isinstance(outcome, Refused)
            else Receipt(outcome.index, writer.log.size)
            for outcome in outcomes
        ]

    def _begin(self) -> None:
        """Publish the newest size, or begin with the old ones where that cannot be signed."""
        writer = self._writer
        self._publication.heads = writer.heads
        try:
            self._check_not_behind()
            self._publish(writer, self._clock.read(last=writer.state.last.time))
        except Unavailable as error:
            if writer.heads is None:
                writer.close()
                raise
            tell(_log, "begins-with-old-head", error=error)
        except BaseException:
            writer.close()
            raise
