# SPDX-License-Identifier: Apache-2.0
"""One look at a board: ask every source, follow what fits, judge what is new, compare the rest.

    ask        every source for its checkpoint
    follow     what is published and larger: verified and replayed (`watch.mirror_follow`)
    judge      the new entries, in one pass for all makers
    compare    every head that was shown with the history on this disk
    conclude   what lasts begins or ends: blind, stale, unproven, two histories

Nothing that a source says is believed before it was verified, and no source can keep the others
from being looked at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost.checkin.comparing import Fit, History, Verdict, compare
from fieldpost.checkin.evidence import board_records
from fieldpost.checkin.quorum import cosigners_of, verify_quorum
from fieldpost.durable import OS, Disk, make_dirs, write_file
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import (
    FieldpostError,
    Malformed,
    Misbehaviour,
    Misconfigured,
    Unavailable,
    Untrusted,
)
from fieldpost.keys import Algorithm
from fieldpost.records.board import BoardRecord
from fieldpost.records.identifiers import origin_of
from fieldpost.records.policy import DevicePolicy
from fieldpost.tlog.cosignature import Cosignature, parse_cosignature
from fieldpost.tlog.hashing import Hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.tree import HashReader
from fieldpost.tlog.treehead import parse_checkpoint
from fieldpost.watch.mirror_copy import BoardCopy
from fieldpost.watch.mirror_follow import BoardFollower
from fieldpost.watch.monitor.asking import Eye, Eyes
from fieldpost.watch.monitor.conditions import Conditions
from fieldpost.watch.monitor.going_back import tell_going_back
from fieldpost.watch.monitor.gossip import FleetHeads
from fieldpost.watch.monitor.memory import Memory
from fieldpost.watch.monitor.passing import Makers, Pass, judge_history, judge_new

MOST_EVIDENCE: Final = 64
_EVERY: Final = frozenset(Algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """After how many seconds something is alarming. `ask_s`: how long a source may take."""

    stale_s: int
    blind_s: int
    ask_s: float = 10.0


@dataclass(slots=True, kw_only=True)
class Look:
    """What one look came to. `seen`: some source showed the head that is here, published."""

    alarms: int = 0
    misbehaviour: bool = False
    seen: bool = False
    troubles: list[str] = field(default_factory=list)


class Looking:
    """Looks at one board. For one thread; `clock` gives Unix seconds, `paths` owe every alarm."""

    def __init__(
        self,
        *,
        copy: BoardCopy,
        memory: Memory,
        eyes: Eyes,
        verifiers: Verifiers,
        makers: Makers,
        patience: Patience,
        clock: Callable[[], int],
        paths: Sequence[str],
        fleets: Sequence[FleetHeads] = (),
        board: str | None = None,
        go_on: Callable[[], bool] = lambda: True,
        disk: Disk = OS,
    ) -> None:
        self.copy = copy
        self.makers = makers
        self._memory = memory
        self._eyes = eyes
        self.patience = patience
        self._clock = clock
        self._paths = paths
        self.fleets = fleets
        self._go_on = go_on
        self._disk = disk
        self._wanted = board
        self._follower = BoardFollower(copy, verifiers, board=board, go_on=go_on)
        self._verdicts: dict[tuple[str, bytes], Verdict] = {}
        self._records: tuple[int, list[BoardRecord]] = (0, [])
        self.posts = 0

    @property
    def board(self) -> str:
        """The board id, or what is known of it before anything was seen."""
        return self.copy.state.board if self.copy.state else self._wanted or "not seen yet"

    def look(self) -> Look:
        """Look once. Raises Unavailable where this disk or database fails."""
        look = Look()
        self._eyes.ask()
        # Who failed before comes last, so that a slow liar holds up the honest ones once.
        for eye in sorted(self._eyes.all, key=lambda one: (one.failures, -_shown_size(one))):
            self._follow(eye, look)
        if self.copy.head is not None:
            self._judge(look)
            self._compare(look)
            self._listen(look)
        look.troubles += [str(eye.error) for eye in self._eyes.all if eye.error is not None]
        self._conclude(look)
        return look

    def behind(self) -> bool:
        """Whether a published head was shown that is not on this disk yet."""
        return any(
            _shown_size(eye) > self.copy.published_size
            for eye in self._eyes.all
            if eye.answered and eye.failures == 0
        )

    # --- following ---

    def _follow(self, eye: Eye, look: Look) -> None:
        if eye.note is None or not eye.answered or self._eyes.is_resting(eye):
            return
        if _shown_size(eye) < self.copy.published_size:
            return
        before = self.copy.log.size
        try:
            self._follower.step(self._eyes.files_of(eye), eye.note)
        except Misbehaviour as error:
            self._eyes.failed(eye, error)
            look.misbehaviour = True
        except Misconfigured as error:
            # Of the disk, or rules that this program does not know: no source can help.
            self._eyes.failed(eye, error)
        except FieldpostError as error:
            if isinstance(error, Unavailable) and self.copy.log.size > before:
                # Time ran out on the way, and what came is on the disk: the next look goes on.
                eye.error = error
                self._eyes.went_well(eye)
            else:
                self._eyes.failed(eye, error)
        else:
            self._eyes.went_well(eye)

    # --- judging ---

    def _judge(self, look: Look) -> None:
        pass_ = Pass(self.board, self.makers, self._clock)
        log, size = self.copy.log, self.copy.published_size
        self._welcome(look)
        look.alarms += judge_new(log, size, self._memory, pass_, self._paths, go_on=self._go_on)
        self.posts += pass_.posts

    def _welcome(self, look: Look) -> None:
        """Read the history of makers that were not watched before."""
        expected, known = self.makers.expected, self.makers.known
        newcomers = [one.maker for one in expected.values() if one.maker not in known]
        if not newcomers:
            return
        only = Makers({maker.hex(): expected[maker.hex()] for maker in newcomers}, known)
        for maker in newcomers:
            only.begin(maker, expected[maker.hex()].size or self.copy.published_size)
        history = Pass(self.board, only, self._clock)
        look.alarms += judge_history(self.copy.log, self._memory, history, newcomers, self._paths)

    # --- comparing ---

    def history(self) -> History | None:
        """What is known, to compare heads with; None before anything was judged."""
        head = self.copy.head
        links = self._memory.links()
        if head is None or not links:
            return None
        if self._records[0] != len(links):
            self._records = len(links), board_records(self.board, links)
        return History(
            board=self.board,
            origin=origin_of(self.board),
            size=head.size,
            note=head.note,
            records=self._records[1],
            links=links,
            log=_Published(self.copy),
        )

    def _compare(self, look: Look) -> None:
        history = self.history()
        if history is None:
            return
        known = {}
        for eye in self._eyes.all:
            if eye.note is None or not eye.answered:
                continue
            key = eye.name, eye.note
            verdict = self._verdicts.get(key)
            if verdict is None or verdict.fit in (Fit.AHEAD, Fit.UNPROVEN):
                verdict = compare(eye.note, history, self._eyes.tiles_of(eye))
            known[key] = verdict
            if verdict.fit is Fit.NOISE:
                look.troubles.append(f"{eye.name}: {verdict.detail}")
            if verdict.fit is Fit.KNOWN and verdict.head is not None:
                look.seen |= verdict.head.size == history.size and self._time_of(eye.note) > 0
        self._verdicts = known

    def _time_of(self, note: bytes) -> int:
        """T of a note under the board's record; 0 where its quorum did not sign."""
        record = self.copy.record
        assert record is not None
        try:
            head = parse_note(note)
            return verify_quorum(
                parse_checkpoint(head.text),
                _cosignatures(note),
                cosigners=cosigners_of(record, _witnesses_of(self.board, record), _EVERY),
                clock=self._clock(),
            )
        except (Untrusted, Malformed):
            return 0

    def _listen(self, look: Look) -> None:
        """Judge the heads that devices reported to fleet services."""
        history = self.history()
        if history is None:
            return
        for fleet in self.fleets:
            try:
                heard = fleet.listen(history, self._memory, self._clock(), self._paths, self._keep)
            except FieldpostError as error:
                look.troubles.append(str(error))
                continue
            look.alarms += heard.alarms
            look.misbehaviour |= heard.misbehaviour

    # --- concluding ---

    def _conclude(self, look: Look) -> None:
        now = self._clock()
        with self._memory.transaction():
            if look.seen or self._memory.meta("seen") is None:
                self._memory.set_meta("seen", str(now))
            conditions = Conditions(self._memory, self.board, self._paths, now)
            self._conclude_board(look, conditions, now)
            for eye in self._eyes.all:
                self._conclude_source(eye, look, conditions, now)
            look.alarms += conditions.raised

    def _conclude_board(self, look: Look, conditions: Conditions, now: int) -> None:
        seen = int(self._memory.meta("seen") or now)
        reasons = "; ".join(look.troubles) or "no source shows the published head"
        is_blind = not look.seen and now - seen > self.patience.blind_s
        conditions.set(
            "blind", "blind", is_blind, f"nothing was seen for {now - seen} s: {reasons}"
        )
        head = self.copy.head
        if head is None:
            return
        if look.seen:
            age = now - head.timestamp
            conditions.set(
                "stale-board",
                "stale-board",
                age > self.patience.stale_s,
                f"the newest head is {age} s old: size {head.size}",
                {"size": head.size, "cosigned_at": head.timestamp},
            )
        wrong = [
            eye.error
            for eye in self._eyes.all
            if isinstance(eye.error, Misbehaviour) and len(eye.error.evidence) == 1
        ]
        if wrong or look.seen:
            detail = f"{wrong[0]}" if wrong else "the published head follows from the rules"
            conditions.set("wrong-state", "wrong-state", bool(wrong), detail, {"size": head.size})

    def _conclude_source(self, eye: Eye, look: Look, conditions: Conditions, now: int) -> None:
        verdict = self._verdicts.get((eye.name, eye.note or b""))
        if verdict is None or not eye.answered:
            return
        facts: dict[str, object] = {"source": eye.name, "authors": list(verdict.authors)}
        if verdict.head is not None:
            facts |= {"size": verdict.head.size, "root": verdict.head.root.hex()}
        is_other = verdict.fit is Fit.OTHER
        name = f"split-view {eye.name}"
        if verdict.evidence is not None:
            look.misbehaviour = True
            # A fork that goes on is the same fork, with ever new times.
            if not conditions.holds(name):
                facts["evidence"] = str(self._keep(verdict.evidence.encode()))
        authors = ", ".join(verdict.authors)
        said = (
            f"{eye.name} shows a head of another history, signed by {authors}; "
            f"judge {facts.get('evidence')}"
            if is_other
            else f"{eye.name} shows the known history"
        )
        if verdict.fit is not Fit.NOISE:
            conditions.set(name, "split-view", is_other, said, facts)
        words = f"{eye.name}: {verdict.detail or 'its head is proven'}"
        conditions.set(
            f"unproven {eye.name}",
            "unproven-head",
            verdict.fit is Fit.UNPROVEN,
            words,
            facts,
            after_s=self.patience.blind_s,
        )
        if verdict.fit is Fit.KNOWN and eye.note is not None and self._time_of(eye.note):
            look.misbehaviour |= tell_going_back(
                eye.name, eye.note, self.history(), conditions, self._keep
            )
        if verdict.fit is Fit.KNOWN and eye.note is not None and look.seen:
            board_age = now - (self.copy.head.timestamp if self.copy.head else now)
            age = now - self._time_of(eye.note)
            stale = age > self.patience.stale_s >= board_age
            words = f"{eye.name} shows size {facts.get('size')}, older than others"
            conditions.set(f"stale {eye.name}", "stale-source", stale, words, facts)

    def _keep(self, evidence: bytes, kind: str = "split-view") -> Path:
        """Write evidence, named by its digest; where many lie, they say enough."""
        folder = self.copy.data / "evidence"
        path = folder / f"{kind}-{sha256(evidence).hexdigest()[:16]}.evidence"
        make_dirs(folder, disk=self._disk)
        kept = sorted(folder.glob("*.evidence"))
        if path in kept:
            return path
        if len(kept) >= MOST_EVIDENCE:
            return kept[0]
        write_file(path, evidence, disk=self._disk)
        return path


class _Published:
    """The published part of a copy as `comparing` reads it."""

    def __init__(self, copy: BoardCopy) -> None:
        self._copy = copy

    def root_at(self, size: int) -> Hash:
        """The root at a size up to the log's."""
        return self._copy.range_at(size).root()

    def hash_reader(self) -> HashReader:
        """Every hash of the published tree."""
        return self._copy.log.hash_reader()


def _shown_size(eye: Eye) -> int:
    try:
        return parse_checkpoint(parse_note(eye.note or b"").text).size
    except Malformed:
        return 0


def _cosignatures(note: bytes) -> list[Cosignature]:
    found = []
    for line in parse_note(note).signatures:
        try:
            found.append(parse_cosignature(line))
        except Malformed:
            continue  # a log's signature, which has no time
    return found


def _witnesses_of(board: str, record: BoardRecord) -> DevicePolicy:
    return DevicePolicy(
        board=board,
        urls=(),
        board_epoch=0,
        board_link=b"",
        least_size=0,
        witnesses=tuple(witness.key for witness in record.witnesses),
        witnesses_needed=record.witnesses_needed,
    )
