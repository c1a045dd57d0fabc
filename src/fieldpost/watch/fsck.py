# SPDX-License-Identifier: Apache-2.0
"""The check of a whole board, from anywhere: a node, a mirror, a web server, a folder.

    every entry and tile hashed, every signature verified, every rule applied again, every state
    leaf compared; the checkpoint under the quorum of the board's own record, each of its lines;
    the chains as devices follow them; manifests, artifacts and, in a folder, every other file

Nothing is believed, and what could not be looked at is said. Where the log itself is damaged, every
file of it is named, and so is whatever cannot be judged without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.published import verify_published
from fieldpost.engines.replaying import Replayed, replay_ahead
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import (
    FieldpostError,
    Malformed,
    Misbehaviour,
    NotFound,
    Unavailable,
    Untrusted,
)
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.reading import read_board
from fieldpost.records.board import BoardRecord
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.store.blobs import FileBlobs
from fieldpost.store.log_leftovers import LogEnd, read_end
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.note import VerifierKey, parse_note
from fieldpost.tlog.tiles import FULL_WIDTH, entries_path, tile_at
from fieldpost.tlog.tree import read_compact_range
from fieldpost.tlog.treehead import Checkpoint, parse_checkpoint
from fieldpost.watch.fsck_blobs import ReleaseList, check_site, missing_from
from fieldpost.watch.fsck_chains import ChainCheck
from fieldpost.watch.fsck_damage import Damage, find_damage
from fieldpost.watch.fsck_first_look import COPY_AGAIN
from fieldpost.watch.fsck_folder import FolderCheck, check_note
from fieldpost.watch.fsck_log import EntryTree, LogEntries, LogReading, Read, through_growth
from fieldpost.watch.fsck_report import Finding, Progress, Report, Unchecked

# Told every batch that was judged.
Follow = Callable[[Replayed], None]


ASK_ANOTHER: Final = "tell whoever runs this board, and ask another copy of it"
_UNEXPLAINED: Final = "the log explains it, and the log is damaged"
_NO_END: Final = "the log explains it, and the end of the log cannot be read"


class _Collected:
    """What is remembered of a log's batches for the checks after them."""

    def __init__(self) -> None:
        self.chains = ChainCheck()
        self.releases = ReleaseList()
        self.state: LedgerState | None = None

    def follow(self, replayed: Replayed) -> None:
        self.chains.follow(replayed)
        self.releases.follow(replayed)
        self.state = replayed.batch.state


@dataclass(frozen=True, slots=True)
class _Held:
    """A log that holds; its checkpoint may not."""

    note: bytes
    size: int
    state: LedgerState
    tree: EntryTree
    releases: ReleaseList
    facts: dict[str, object]
    damaged: list[Damage]
    unchecked: list[Unchecked]


@dataclass(frozen=True, slots=True)
class _Broken:
    """A log of which files are damaged; `judged` entries of it were judged before the first."""

    size: int | None
    judged: int
    damaged: list[Damage]

    def report(
        self,
        findings: Sequence[Finding],
        unexplained: Sequence[str],
        unchecked: Sequence[Unchecked] = (),
    ) -> Report:
        facts: dict[str, object] = {} if self.size is None else {"entries": self.size}
        what = (
            f"signatures, rules and states from entry {self.judged} on",
            "who signed the checkpoint",
            *unexplained,
        )
        because = [Unchecked(one, _UNEXPLAINED) for one in what]
        if self.size is None:
            because.insert(0, Unchecked("entries and tiles", "no head says what they should be"))
        return Report(
            facts | {"entries_judged": self.judged},
            _each_once(findings),
            (*because, *unchecked),
        )


def check_log(read: Read, *, progress: Progress) -> Report:
    """Check the log that `read` gives, and no more.

    Raises Malformed and Untrusted where it does not hold and yet no file is damaged; and what
    `read` raises.
    """
    held = _check(through_growth(read), progress=progress)
    named = [Finding(one.path, one.what, COPY_AGAIN) for one in held.damaged]
    alone = Unchecked("manifests and artifacts", "this is a log alone")
    if isinstance(held, _Broken):
        return held.report(named, (), [alone])
    return _report(held, named, [*held.unchecked, alone])


def check_url(http: HttpClient, read: Read, *, progress: Progress, blobs: bool = True) -> Report:
    """`check_log` for a node or mirror, and what it serves of every release, unless told not to."""
    held = _check(through_growth(read), progress=progress)
    damaged = [
        Finding(f"{http.base_url}/log/{one.path}", one.what, ASK_ANOTHER) for one in held.damaged
    ]
    inside = Unchecked("databases and keys", "only the node's own folder shows them")
    if isinstance(held, _Broken):
        return held.report(damaged, ["manifests and artifacts"], [inside])
    unchecked = [*held.unchecked, inside]
    if not blobs:
        unchecked.append(Unchecked("manifests and artifacts", "left out, as you said"))
    else:
        for one in check_site(http, held.releases, held.state, progress=progress):
            if isinstance(one, Finding):
                damaged.append(one)
            else:
                unchecked.append(one)
    return _report(held, damaged, unchecked)


def check_folder(data: Path, read: Read, *, progress: Progress) -> Report:
    """Check the folder of a node, mirror or backup, every file. `read` gives its log.

    Raises as `check_log`.
    """
    folder = FolderCheck(data)
    read = through_growth(read)
    try:
        held = _check(
            read,
            progress=progress,
            follow=folder.follow,
            marked=folder.marked(),
            is_ours=folder.have_signed,
        )
        damaged = [Finding(str(data / "log" / d.path), d.what, COPY_AGAIN) for d in held.damaged]
        if isinstance(held, _Broken):
            with progress("checking what proves itself", 1) as advance:
                damaged += folder.findings_alone()
                advance(1)
            return held.report(damaged, [*folder.unexplained()], [*folder.absent()])
        if not damaged:
            range_ = read_compact_range(held.tree, size=held.size)
            try:
                check_note(held.note, read_board(held.state.map), range_)
            except (Malformed, Untrusted) as error:
                what = f"it is damaged: {error}"
                damaged.append(Finding(str(data / "log" / "checkpoint"), what, COPY_AGAIN))
        end, state = _judge_end(data / "log", held, folder.follow)
        unchecked = [*held.unchecked]
        with progress("comparing every other file", 1) as advance:
            if end.unread:
                damaged += folder.findings_alone(end)
                unchecked += [Unchecked(one, _NO_END) for one in folder.unexplained()]
            else:
                entries = LogEntries(read, held.size, end.entries)
                damaged += folder.findings(entries, state, published=held.state)
            advance(1)
        unpublished = {"unpublished_entries": len(end.entries)} if end.entries else {}
        unchecked += missing_from(FileBlobs(data / "blobs"), held.releases, held.state)
        return _report(held, damaged, [*unchecked, *folder.absent()], **unpublished)
    finally:
        folder.close()


def _judge_end(log: Path, held: _Held, follow: Follow) -> tuple[LogEnd, LedgerState]:
    """What lies behind the checkpoint by now, and the state after its whole batches."""
    end, state = read_end(log, held.size), held.state
    try:
        with Verifying() as verifiers:
            whole = end.entries[: _whole(end.entries)]
            for replayed in replay_ahead(state, iter(whole), verifiers):
                follow(replayed)
                state = replayed.batch.state
    except (Misbehaviour, Unavailable):
        raise
    except FieldpostError as error:
        size = held.size + len(end.entries)
        last = tile_at(level=0, index=(size - 1) // FULL_WIDTH, size=size)
        end.unread.append((log / entries_path(last), Malformed(f"against the rules: {error}")))
    return end, state


class Verifying:
    """Verifying processes for the time of a block."""

    def __enter__(self) -> Verifiers:
        self._verifiers = Verifiers(answer_s=60.0)
        return self._verifiers

    def __exit__(self, *_: object) -> None:
        self._verifiers.close()


def _check(
    read: Read,
    *,
    progress: Progress,
    follow: Follow = lambda _: None,
    marked: Sequence[Checkpoint] = (),
    is_ours: Callable[[bytes], bool] = lambda _: False,
) -> _Held | _Broken:
    """`marked`: heads that the files may prove where the checkpoint cannot be read, or lies.

    `is_ours` says whether the node's own key signed a checkpoint: then it is no lie.
    """
    try:
        note = read("checkpoint")
        claimed = parse_checkpoint(parse_note(note).text)
    except (Malformed, NotFound, Untrusted) as error:
        what = "it is missing" if isinstance(error, NotFound) else f"it is damaged: {error}"
        damaged = [Damage("checkpoint", what)]
        if not marked:
            return _Broken(None, 0, damaged)
        with progress("looking for every damaged file", 1) as advance:
            head, found = find_damage(read, marked)
            advance(1)
            return _Broken(head.size, 0, damaged + found)
    collected = _Collected()
    try:
        return _hold(note, _judge(read, claimed, collected, follow, progress), collected)
    except (Misbehaviour, Unavailable):
        raise
    except FieldpostError:
        with progress("looking for every damaged file", 1) as advance:
            # The mark was read first, or an old one was put back: what was signed since counts.
            older = claimed.size if is_ours(note) else 0
            later = [one for one in marked if one.size >= older]
            head, damaged = find_damage(read, [claimed, *later])
            advance(1)
        if head is not claimed:
            lies = "it is damaged: the files make what the node signed last"
            damaged.insert(0, Damage("checkpoint", lies))
        if not damaged:
            raise
        judged = collected.state.size if collected.state else 0
        return _Broken(head.size, judged, damaged)


def _judge(
    read: Read,
    claimed: Checkpoint,
    collected: _Collected,
    follow: Follow,
    progress: Progress,
) -> EntryTree:
    """Every entry and tile hashed, every rule applied. Raises Malformed, Untrusted."""
    if claimed.size == 0:
        raise Malformed("the log is empty; a board begins with its genesis")
    reading = LogReading(read, claimed)
    bar = progress("hashing every entry, applying every rule", claimed.size)
    with bar as advance, Verifying() as verifiers:
        for replayed in replay_ahead(None, reading.entries(advance), verifiers):
            follow(replayed)
            collected.follow(replayed)
    return reading.finish()


def _hold(note: bytes, tree: EntryTree, collected: _Collected) -> _Held:
    """The checkpoint under the record that the log led to. Raises Untrusted for the log itself."""
    chains, releases, state = collected.chains, collected.releases, collected.state
    if state is None:
        raise Untrusted("incomplete-log", "a log begins with genesis")
    for wrong in chains.wrong(state):
        raise Untrusted("bad-link", wrong)
    record = read_board(state.map)
    signatures: list[dict[str, object]] = []
    unknown: list[str] = []
    damaged: list[Damage] = []
    try:
        verify_published(note, record)
        signatures, unknown = _lines(note, record)
    except Misbehaviour:
        raise
    except (Malformed, Untrusted) as error:
        damaged.append(Damage("checkpoint", f"it does not hold: {error}"))
    facts: dict[str, object] = {
        "board": state.board,
        "entries": tree.size,
        "posts": tree.size - chains.leaves,
        "root": read_compact_range(tree, size=tree.size).root().hex(),
        "keys_in_state": len(state.map),
        "map_root": state.map.root.hex(),
        "solo": record.is_solo,
        "signatures": signatures,
        "chains": {"board": 1, "makers": chains.makers, "classes": chains.classes},
        "releases": len(releases),
    }
    unchecked = [
        Unchecked(f"the line of {name} in checkpoint", "no record names its key")
        for name in unknown
    ]
    if chains.carried:
        unchecked.append(
            Unchecked(
                f"chains that {chains.carried} makers brought from other boards",
                "as devices follow them; the rules judged them",
            )
        )
    return _Held(note, tree.size, state, tree, releases, facts, damaged, unchecked)


def _lines(note: bytes, record: BoardRecord) -> tuple[list[dict[str, object]], list[str]]:
    """Every line that a key of the record made, and the names on all others."""
    roles: dict[VerifierKey, str] = {}
    for operator in record.operators:
        roles |= dict.fromkeys((operator.log_key, *operator.cosigner_keys), "operator")
    roles |= {witness.key: "witness" for witness in record.witnesses}
    _, verified = open_checkpoint(note, roles, origin=record.origin)
    known = {one.signature for one in verified}
    return [
        {
            "key": f"{one.key.name}+{one.key.key_id.hex()}",
            "role": roles[one.key],
            "time": one.timestamp,
        }
        for one in verified
    ], [line.name for line in parse_note(note).signatures if line not in known]


def _whole(entries: list[bytes]) -> int:
    """How many of the entries are in batches that were finished."""
    count = len(entries)
    while count and not is_state_leaf(entries[count - 1]):
        count -= 1
    return count


def _report(
    held: _Held, damaged: Sequence[Finding], unchecked: Sequence[Unchecked], **more: object
) -> Report:
    return Report(held.facts | more, _each_once(damaged), tuple(unchecked))


def _each_once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """What is no file of its kind is met when files are listed, and again when they are read."""
    return tuple(dict.fromkeys(findings))
