# SPDX-License-Identifier: Apache-2.0
"""The witness itself: requests in, cosignatures out, and nothing cosigned that is not on the disk.

    submit ─► examining threads (signatures) ─► writing thread: decide, sign, one commit, answer

All requests that wait are decided one after the other and made durable by one commit, so the check
of the old size and the new record are one step, and many origins share one wait for the disk.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from fieldpost.durable import OS, Disk
from fieldpost.engines.quick_yes import find_quick_yes
from fieldpost.errors import FieldpostError, Misconfigured, NotFound, Unavailable, Untrusted
from fieldpost.journal import tell
from fieldpost.tlog.note import NoteSignature
from fieldpost.tlog.witness import Inconsistent
from fieldpost.watch.witness.boards import FollowedBoard
from fieldpost.watch.witness.clock import WitnessClock
from fieldpost.watch.witness.database import WitnessDb
from fieldpost.watch.witness.evidence import Evidence
from fieldpost.watch.witness.examining import Examined, Examiner
from fieldpost.watch.witness.judging import Cosigned, decide
from fieldpost.watch.witness.keys import WitnessKeys, has_cosigned, note_cosigned
from fieldpost.watch.witness.logs import KnownLog

Lines = tuple[NoteSignature, ...]
Answer = Lines | FieldpostError
Done = Callable[[Answer], None]

MOST_WAITING: Final = 4_096
MOST_IN_BATCH: Final = 512
MOST_EXAMINING: Final = 2
_RETRY_S: Final = 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    body: bytes
    state: bytes | None
    done: Done


def _ignore(_seconds: float) -> None:
    """Nobody observes."""


class WitnessService:
    """One witness over the folder `data`. Safe from any thread; `close` ends its threads.

    `clock` gives Unix seconds, `uptime` seconds since any moment. Raises Misconfigured for a
    database that knows nothing beside keys that cosigned; Unavailable.
    """

    def __init__(
        self,
        data: Path,
        *,
        keys: WitnessKeys,
        logs: Mapping[str, KnownLog],
        boards: Mapping[str, FollowedBoard],
        db: WitnessDb,
        clock: Callable[[], int],
        uptime: Callable[[], float] = time.monotonic,
        observe_commit: Callable[[float], None] = _ignore,
        disk: Disk = OS,
    ) -> None:
        self.keys = keys
        self._data = data
        self._db = db
        self._disk = disk
        self._boards = boards
        self._examiner = Examiner(logs, boards, keys.vkeys(), find_quick_yes())
        self._clock = WitnessClock(clock, uptime)
        self._observe_commit = observe_commit
        self._heads = db.load_heads()
        self._has_cosigned = has_cosigned(data)
        check_remembers(data, self._heads)
        self._origins = {sha256(origin.encode()).hexdigest(): origin for origin in (*logs, *boards)}
        self._evidence = Evidence(data / "evidence", disk=disk)
        self._waiting = 0
        self._counting = threading.Lock()
        self._closed = False
        self._trouble: str | None = None
        self._strange_clock: str | None = None
        self._arrivals: SimpleQueue[_Request | None] = SimpleQueue()
        self._ready: SimpleQueue[tuple[Done, Examined] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._examine_all, name="fieldpost-examine", daemon=True)
            for _ in range(MOST_EXAMINING)
        ]
        self._writer = threading.Thread(
            target=self._write_all, name="fieldpost-cosign", daemon=True
        )
        for thread in (*self._threads, self._writer):
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that were taken and are not answered yet."""
        return self._waiting

    @property
    def origins(self) -> int:
        """How many logs and boards are witnessed."""
        return len(self._origins)

    @property
    def evidence_kept(self) -> int:
        """Pairs of signed heads that exclude each other and are kept here."""
        return self._evidence.count

    def submit(self, body: bytes, state: bytes | None, done: Done) -> None:
        """Take an add-checkpoint request; `done` is called once, on whatever thread.

        `state`: for a board, the encoded state proof. The answer is the cosignature lines, all
        durable by then; or Malformed (400), NotFound (404), Untrusted (403), OtherSize (409),
        Inconsistent (422), Unavailable (503).
        """
        with self._counting:
            refusal = None
            if self._closed:
                refusal = "the witness is stopping"
            elif self._waiting >= MOST_WAITING:
                refusal = f"{self._waiting} requests are waiting: try again later"
            else:
                self._waiting += 1
                # Under the lock, so that nothing is queued behind the end.
                self._arrivals.put(_Request(body, state, done))
        if refusal is not None:
            done(Unavailable(refusal, _RETRY_S))

    def add_links(self, origin: str, entries: Sequence[bytes]) -> int:
        """Take links of a board, each proven by those before; the newest epoch known now.

        Raises NotFound for a board that is not followed, Malformed, Untrusted, MissingLinks.
        """
        board = self._boards.get(origin)
        if board is None:
            raise NotFound(f"no board {origin} is followed here")
        fresh = board.learn(entries)
        if fresh:
            self._db.add_links(board.board, fresh)
        return board.epoch

    def epoch_of(self, origin: str) -> int | None:
        """The newest epoch of a board of which the link is known; None for what is no board."""
        board = self._boards.get(origin)
        return None if board is None else board.epoch

    def origin_of(self, digest: str) -> str:
        """The origin with this SHA-256 in hex. Raises NotFound."""
        origin = self._origins.get(digest)
        if origin is None:
            raise NotFound("no log with this hash of its origin is witnessed here")
        return origin

    def note_of(self, digest: str) -> bytes:
        """The newest cosigned checkpoint of the origin with this SHA-256 in hex.

        Raises NotFound, Unavailable.
        """
        return self._db.load_note(self.origin_of(digest))

    def head_of(self, origin: str) -> Cosigned | None:
        """What was cosigned last for an origin."""
        return self._heads.get(origin)

    def check_ready(self) -> None:
        """Check that requests can be answered now. Raises Unavailable that says why not."""
        if not self._writer.is_alive():
            raise Unavailable("the witness stopped: restart it")
        trouble = self._trouble or self._strange_clock
        if trouble is not None:
            raise Unavailable(trouble)

    def close(self) -> None:
        """Answer what was taken, take no more. The database is its owner's to close."""
        with self._counting:
            if self._closed:
                return
            self._closed = True
            for _ in self._threads:
                self._arrivals.put(None)
        for thread in self._threads:
            thread.join()
        self._ready.put(None)
        self._writer.join()

    # --- the examining threads ---

    def _examine_all(self) -> None:
        while (request := self._arrivals.get()) is not None:
            try:
                examined = self._examiner.examine(request.body, request.state)
            except FieldpostError as error:
                if isinstance(error, Untrusted):
                    self._look_for_fork(request.body)
                self._answer(request.done, error)
            except Exception as bug:  # noqa: BLE001 - it costs the request that met it
                tell(_log, "witness-bug", trace=bug)
                self._answer(request.done, Unavailable("an internal error; the log has it"))
            else:
                self._ready.put((request.done, examined))

    def _look_for_fork(self, body: bytes) -> None:
        """Keep evidence of a fork that was refused before, for want of a quorum."""
        try:
            checkpoint, note = self._examiner.open_signed(body)
        except FieldpostError:
            return
        head = self._heads.get(checkpoint.origin)
        if head is not None and head.size == checkpoint.size and head.root != checkpoint.root:
            self._keep_fork(checkpoint.origin, note)

    def _keep_fork(self, origin: str, note: bytes) -> None:
        try:
            here, board = self._db.load_note(origin), self._boards.get(origin)
            self._evidence.keep(origin, here, note, board=board)
        except FieldpostError as error:
            tell(_log, "evidence-not-kept", error=error)

    # --- the writing thread ---

    def _write_all(self) -> None:
        going = True
        while going:
            batch = [self._ready.get()]
            while len(batch) < MOST_IN_BATCH and batch[-1] is not None:
                try:
                    batch.append(self._ready.get_nowait())
                except Empty:
                    break
            going = batch[-1] is not None
            taken = [item for item in batch if item is not None]
            if taken:
                self._settle(taken)

    def _settle(self, batch: Sequence[tuple[Done, Examined]]) -> None:
        changed: dict[str, tuple[Cosigned, bytes]] = {}
        answers: list[tuple[Done, Answer]] = []
        for done, examined in batch:
            try:
                answers.append((done, self._decide(examined, changed)))
            except FieldpostError as error:
                answers.append((done, error))
            except Exception as bug:  # noqa: BLE001 - it costs the request that met it
                tell(_log, "witness-bug", trace=bug)
                answers.append((done, Unavailable("an internal error; the log has it")))
        trouble = self._save(changed)
        for done, answer in answers:
            lost = trouble is not None and not isinstance(answer, FieldpostError)
            self._answer(done, Unavailable(str(trouble), _RETRY_S) if lost else answer)

    def _decide(self, examined: Examined, changed: dict[str, tuple[Cosigned, bytes]]) -> Lines:
        """One request, after those before it in the batch; what it changes is added."""
        checkpoint = examined.admitted.checkpoint
        origin = checkpoint.origin
        last = changed[origin][0] if origin in changed else self._heads.get(origin)
        last = self._remember_own(examined, last, changed)
        timestamp = self._read_clock(last.timestamp if last else 0)
        try:
            head = decide(
                last,
                examined.admitted,
                old_size=examined.old_size,
                proof=examined.proof,
                timestamp=timestamp,
            )
        except Inconsistent:
            if last is not None and last.size == checkpoint.size:
                self._keep_fork(origin, examined.note_with(()))
            raise
        lines = self.keys.cosign(checkpoint, timestamp)
        changed[origin] = head, examined.note_with(lines)
        return lines

    def _read_clock(self, last: int) -> int:
        try:
            now = self._clock.read(last=last)
        except Unavailable as error:
            if str(error) != self._strange_clock:
                tell(_log, "nothing-cosigned", error=error)
            self._strange_clock = str(error)
            raise
        self._strange_clock = None
        return now

    def _remember_own(
        self,
        examined: Examined,
        last: Cosigned | None,
        changed: dict[str, tuple[Cosigned, bytes]],
    ) -> Cosigned | None:
        """Our own signature over more than we know: this database is older than our keys."""
        checkpoint, own_time = examined.admitted.checkpoint, examined.own_time
        if own_time is None or checkpoint.size <= (last.size if last else 0):
            return last
        tell(
            _log,
            "witness-was-behind",
            origin=checkpoint.origin,
            knew=last.size if last else 0,
            signed=checkpoint.size,
        )
        found = Cosigned(
            size=checkpoint.size,
            root=checkpoint.root,
            timestamp=max(own_time, last.timestamp if last else 0),
            place=examined.admitted.place,
        )
        changed[checkpoint.origin] = found, examined.note_with(())
        return found

    def _save(self, changed: Mapping[str, tuple[Cosigned, bytes]]) -> FieldpostError | None:
        """Make the new heads durable; what went wrong."""
        if not changed:
            return None
        began = time.monotonic()
        try:
            self._db.save_heads(changed)
            if not self._has_cosigned:
                note_cosigned(self._data, disk=self._disk)
                self._has_cosigned = True
        except FieldpostError as error:
            # Whether it is on the disk nobody knows: what is there is what counts.
            self._reload()
            if str(error) != self._trouble:
                tell(_log, "nothing-cosigned", error=error)
            self._trouble = str(error)
            return error
        self._observe_commit(time.monotonic() - began)
        self._trouble = None
        self._heads.update({origin: head for origin, (head, _) in changed.items()})
        return None

    def _reload(self) -> None:
        try:
            self._heads = self._db.load_heads()
        except FieldpostError as error:
            tell(_log, "nothing-cosigned", error=error)

    def _answer(self, done: Done, answer: Answer) -> None:
        with self._counting:
            self._waiting -= 1
        try:
            done(answer)
        except Exception as bug:  # noqa: BLE001 - a caller's bug is no reason to stop
            tell(_log, "witness-bug", trace=bug)


def check_remembers(data: Path, heads: Mapping[str, Cosigned]) -> None:
    """Check that keys that cosigned have their memory. Raises Misconfigured, saying what to do."""
    if has_cosigned(data) and not heads:
        raise Misconfigured(
            f"the keys in {data} have cosigned, and the database that says what is gone. With them "
            "alone this witness could cosign a second history: put the database back as it was, "
            "or make a new witness with new keys (`fieldpost witness init` in another folder) and "
            "have policies name that one"
        )
