# SPDX-License-Identifier: Apache-2.0
"""The replicated engine: one operator of a board that several run.

    submit ─► intake (read, verify) ─► bundles ─► CometBFT ─► blocks ─► replica ─► published

CometBFT runs beside it and talks to it over a Unix socket in the data directory. A fault of the
disk stops both: the replica is opened again from what is durable, and CometBFT started again, which
replays what is missing. What was published stays readable meanwhile.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from fieldpost.durable import OS, Disk, remove_leftovers
from fieldpost.engines.base import Cosignable, PublishedHead, Receipt
from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.clock_guard import ClockGuard
from fieldpost.engines.cometbft.abci import AbciServer
from fieldpost.engines.cometbft.application import Application
from fieldpost.engines.cometbft.base_log import place_base
from fieldpost.engines.cometbft.genesis import Genesis
from fieldpost.engines.cometbft.publishing import Publisher
from fieldpost.engines.cometbft.replica import Replica, open_replica
from fieldpost.engines.cometbft.restoring import FetchLog
from fieldpost.engines.cometbft.seen import SeenPosts
from fieldpost.engines.cometbft.sending import Ordering, Sending
from fieldpost.engines.cometbft.snapshots import Snapshots
from fieldpost.engines.cometbft.witnessed import Witnessed
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.engines.head_reserve import HeadReserve
from fieldpost.engines.intake import Done, Intake, resolving
from fieldpost.engines.operator_keys import check_keys
from fieldpost.engines.published import PublishedHeads
from fieldpost.engines.reading import PublishedLog, PublishedReads
from fieldpost.engines.recovery import load_heads
from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import FieldpostError, Misconfigured, Unavailable
from fieldpost.journal import tell
from fieldpost.records.identifiers import origin_of
from fieldpost.records.policy import DevicePolicy
from fieldpost.statemap import StateMap
from fieldpost.tlog.note import NoteSignature

SOCKET: Final = "abci.sock"
MOST_WAITING: Final = 8_192
_TICK_S: Final = 1.0
_RETRY_S: Final = 2
_LEAST_PAUSE_S: Final = 1.0
_MOST_PAUSE_S: Final = 30.0

_log = logging.getLogger(__name__)


class CometEngine(PublishedReads):
    """An `Engine` over the data directory `data`, which holds an operator's keys.

    `make_ordering` is given the path of the socket. `clock` gives Unix seconds, `uptime` seconds
    since any moment. Raises Misconfigured, saying what to do, and Unavailable.
    """

    def __init__(
        self,
        data: Path,
        *,
        genesis: Genesis,
        make_ordering: Callable[[Path], Ordering],
        clock: Callable[[], int],
        fetch_log: FetchLog,
        snapshots: Snapshots,
        uptime: Callable[[], float] = time.monotonic,
        most_waiting: int = MOST_WAITING,
        disk: Disk = OS,
    ) -> None:
        self._data = data
        self._disk = disk
        self._uptime = uptime
        self._clock = ClockGuard(clock, uptime)
        self._subscribers: list[Callable[[PublishedHead], None]] = []
        self._observe_commit: Callable[[float], None] = lambda _: None
        self._observe_publish: Callable[[float], None] = lambda _: None
        self._seen = SeenPosts()
        self._snapshots = snapshots
        self._fetch_log = fetch_log
        self._fault: str | None = None
        self._fatal: str | None = None
        self._closing = threading.Event()
        # Nothing is kept for heads: CometBFT ends on a full disk, and the other operators go on.
        self.reserve = HeadReserve(data, 0)
        self._before_close: list[Callable[[], None]] = []
        self._directory = DirectoryLock(data)
        try:
            check_keys(keys_directory(data))
            remove_leftovers(keys_directory(data), disk=disk)
            self._base = place_base(data, genesis, disk=disk)
            self._mark = SignedMark(keys_directory(data), disk=disk)
            self._replica = self._open()
            self._intake = Intake(lambda: self._replica.state.map, most_waiting=most_waiting)
            self._ordering = make_ordering(data / SOCKET)
            self._sending = Sending(
                self._intake,
                self._ordering,
                self._seen,
                replica=lambda: self._replica,
                published=lambda: self._publisher.heads,
                uptime=uptime,
            )
            self._publisher: Publisher = self._start_publisher()
            self._server = self._serve()
            self._ordering.start()
        except BaseException:
            self._directory.release()
            raise
        self._thread = threading.Thread(target=self._run, name="fieldpost-engine", daemon=True)
        self._thread.start()

    # --- the port ---

    @property
    def board(self) -> str:
        """See Engine."""
        return self._base.board

    def submit(self, entry: bytes) -> Future[Receipt]:
        """See Engine."""
        future: Future[Receipt] = Future()
        future.set_running_or_notify_cancel()
        self.submit_many([entry], resolving(future))
        return future

    def submit_many(self, entries: Sequence[bytes], done: Done) -> None:
        """See Engine."""
        self._intake.submit(entries, done)

    def published(self, policy: DevicePolicy | None = None) -> PublishedHead:
        """See Engine. Raises Unavailable until this node has caught up once."""
        heads = self._heads
        return heads.newest if policy is None else heads.satisfying(policy)

    @property
    def _heads(self) -> PublishedHeads:
        heads = self._publisher.heads
        if heads is None:
            raise Unavailable(
                f"this node has no published head yet (it computed {self._replica.state.size} "
                "entries): it catches up, or too few operators answer",
                _RETRY_S,
            )
        return heads

    def add_cosignatures(self, size: int, lines: Sequence[NoteSignature]) -> PublishedHead:
        """See Engine."""
        return self._publisher.add_lines(size, tuple(lines))

    def cosigned(self, size: int) -> bytes:
        """See Engine."""
        return self._publisher.note_of(size)

    def when_cosigned(self, size: int, call: Callable[[], None]) -> Callable[[], None]:
        """See Engine."""
        return self._publisher.waits.add(size, call)

    @property
    def cosignable(self) -> Cosignable:
        """See WritingEngine."""
        return Witnessed(self._publisher, lambda: self._replica)

    @property
    def newest_map(self) -> StateMap:
        """The state of the last block that is durable here, published or not."""
        return self._replica.state.map

    def before_close(self, callback: Callable[[], None]) -> None:
        """Call `callback` first of all when this engine is closed."""
        self._before_close.append(callback)

    @property
    def publisher(self) -> Publisher:
        """Where the lines of other operators go."""
        return self._publisher

    def check_ready(self) -> None:
        """See Engine."""
        if not self._thread.is_alive():
            raise Unavailable("the engine stopped: restart the node")
        trouble = self._fatal or self._fault or self._ordering.trouble or self._publisher.trouble
        if trouble := trouble or self._sending.trouble():
            raise Unavailable(trouble)
        self.published()

    @property
    def waiting(self) -> int:
        """See Engine."""
        return self._intake.waiting

    def observe(self, *, commit: Callable[[float], None], publish: Callable[[float], None]) -> None:
        """See Engine. Publishing takes as long as the other operators do."""
        self._observe_commit, self._observe_publish = commit, publish

    def subscribe(self, callback: Callable[[PublishedHead], None]) -> None:
        """See Engine."""
        self._subscribers.append(callback)

    @property
    def published_log(self) -> PublishedLog:
        """See PublishedReads."""
        return PublishedLog(self._replica.log, self._replica.db, self._heads.newest.size)

    def close(self) -> None:
        """See Engine. May be called again."""
        for callback in self._before_close:
            callback()
        self._intake.close()
        self._thread.join()
        # What CometBFT has may still come into a block: whoever asks again is told.
        self._intake.abandon("the node is stopping: send the same bytes again, here or elsewhere")
        self._intake.join()
        self._closing.set()
        self._ordering.stop()
        self._server.close()
        self._publisher.close()
        self._replica.close()
        self._directory.release()

    # --- blocks ---

    def _open(self) -> Replica:
        replica = open_replica(self._data, self._base, disk=self._disk)
        try:
            if replica.log.size >= self._mark.size:
                self._mark.check_log(replica.log)
        except BaseException:
            replica.close()
            raise
        return replica

    def _start_publisher(self) -> Publisher:
        return Publisher(
            self._data,
            board=self.board,
            mark=self._mark,
            clock=self._clock,
            heads=load_heads(self._replica.log, self._replica.db, self._replica.state),
            show=self._show,
            published=self._tell,
        )

    def _serve(self) -> AbciServer:
        self._publisher.resume(self._replica.computed(origin_of(self.board)))
        application = Application(
            self._replica,
            self._base,
            origin=origin_of(self.board),
            seen=self._seen,
            keep=self._keep,
            agree=self._publisher.agree,
            settled=self._sending.settle,
            snapshots=self._snapshots,
            fetch_log=self._fetch_log,
        )
        return AbciServer(self._data / SOCKET, application.handlers, fatal=self._stop_on)

    def _keep(self) -> int:
        heads = self._publisher.heads
        return heads.oldest_size if heads else 0

    def _show(self, note: bytes, older: dict[int, bytes]) -> None:
        if older != self._replica.db.heads():
            self._replica.db.save_heads(older)
        self._replica.log.write_checkpoint(note)

    def _tell(self, head: PublishedHead) -> None:
        """A head was published, by the publisher's thread."""
        self._sending.published(head.size)
        for callback in self._subscribers:
            try:
                callback(head)
            except Exception as bug:  # noqa: BLE001 - a reader's bug is no reason to stop writing
                tell(_log, "subscriber-failed", trace=bug)

    # --- posts ---

    def _run(self) -> None:
        pause, height = _LEAST_PAUSE_S, 0
        try:
            while not self._intake.is_drained:
                batch = self._intake.collect(most_s=_TICK_S)
                self._ordering.look_after()
                # Whoever posts is told at once to turn to another operator, instead of waiting
                # for a CometBFT that is known not to answer.
                trouble = self._fatal or self._fault or self._ordering.trouble
                if batch.posts:
                    self._sending.send(batch, trouble=trouble)
                self._sending.look_after(trouble=trouble)
                if self._fault is not None and self._fatal is None:
                    height = self._replica.height
                    pause = self._begin_again(pause)
                elif self._replica.height > height:
                    # Only a block that got through says that the fault is over.
                    pause = _LEAST_PAUSE_S
        except BaseException:
            self._intake.abandon("the engine stopped: restart the node")
            raise

    # --- faults ---

    def _stop_on(self, why: str) -> None:
        """A request of CometBFT failed: nobody knows how much of it is on the disk."""
        if self._fault is None:
            self._fault = why

    def _begin_again(self, pause: float) -> float:
        """Open the replica again from the disk and start CometBFT again; the next pause."""
        self._ordering.stop()
        self._server.close()
        if self._closing.wait(pause):
            return pause
        try:
            replica = self._open()
        except Misconfigured as error:
            self._fatal = str(error)
            tell(_log, "engine-stopped", error=error)
            return pause
        except FieldpostError as error:
            tell(_log, "engine-begins-again", error=error)
            return min(pause * 2, _MOST_PAUSE_S)
        tell(_log, "engine-begins-again", error=self._fault)
        old, self._replica = self._replica, replica
        old.close()
        self._server = self._serve()
        self._fault = None
        self._ordering.start()
        return min(pause * 2, _MOST_PAUSE_S)
