# SPDX-License-Identifier: Apache-2.0
"""The check of a whole board, from anywhere: a node, a mirror, a web server, a folder.

    every entry and tile hashed, every signature verified, every rule applied again, every state
    leaf compared; the checkpoint under the quorum of the board's own record, each of its lines;
    the chains as devices follow them; manifests, artifacts and, in a folder, every other file

Nothing is believed, and what could not be looked at is said.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldpost.client.transport import HttpClient
from fieldpost.engines.published import verify_published
from fieldpost.engines.replaying import Replayed, replay_ahead
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import FieldpostError, Malformed, Untrusted
from fieldpost.ledger.batch import LedgerState
from fieldpost.ledger.reading import read_board
from fieldpost.records.board import BoardRecord
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.store.blobs import FileBlobs
from fieldpost.store.log_leftovers import entries_behind
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.note import VerifierKey, parse_note
from fieldpost.tlog.tree import read_compact_range
from fieldpost.tlog.treehead import parse_checkpoint
from fieldpost.watch.fsck_blobs import ReleaseList, check_site, missing_from
from fieldpost.watch.fsck_chains import ChainCheck
from fieldpost.watch.fsck_folder import FolderCheck, check_note
from fieldpost.watch.fsck_log import EntryTree, LogEntries, LogReading, Read
from fieldpost.watch.fsck_report import Finding, Progress, Report, Unchecked

# Told every batch that was judged.
Follow = Callable[[Replayed], None]


class _Collected:
    """What is remembered of a log's batches for the checks after them."""

    def __init__(self) -> None:
        self.chains = ChainCheck()
        self.releases = ReleaseList()

    def follow(self, replayed: Replayed) -> None:
        self.chains.follow(replayed)
        self.releases.follow(replayed)


@dataclass(frozen=True, slots=True)
class _Held:
    """A log that holds."""

    note: bytes
    size: int
    state: LedgerState
    tree: EntryTree
    releases: ReleaseList
    facts: dict[str, object]
    unchecked: list[Unchecked]


def check_log(read: Read, *, progress: Progress) -> Report:
    """Check the log that `read` gives, and no more. Raises Malformed and Untrusted, which name
    the file, where it does not hold; and what `read` raises."""
    held = _check(read, progress=progress)
    unchecked = [*held.unchecked, Unchecked("manifests and artifacts", "this is a log alone")]
    return _report(held, (), unchecked)


def check_url(http: HttpClient, read: Read, *, progress: Progress, blobs: bool = True) -> Report:
    """`check_log` for a node or mirror, and what it serves of every release, unless told not to."""
    held = _check(read, progress=progress)
    unchecked = [
        *held.unchecked,
        Unchecked("databases and keys", "only the node's own folder shows them"),
    ]
    damaged: list[Finding] = []
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

    Raises Malformed and Untrusted, which name the file, where the log itself does not hold.
    """
    folder = FolderCheck(data)
    try:
        held = _check(read, progress=progress, follow=folder.follow)
        range_ = read_compact_range(held.tree, size=held.size)
        try:
            check_note(held.note, read_board(held.state.map), range_)
        except (Malformed, Untrusted) as error:
            raise Untrusted("bad-signature", f"checkpoint is damaged: {error}") from error
        behind = entries_behind(data / "log", held.size)
        state = held.state
        with Verifying() as verifiers:
            for replayed in replay_ahead(state, iter(behind[: _whole(behind)]), verifiers):
                folder.follow(replayed)
                state = replayed.batch.state
        with progress("comparing every other file", 1) as advance:
            damaged = list(folder.findings(LogEntries(read, held.size, behind), state))
            advance(1)
        unpublished = {"unpublished_entries": len(behind)} if behind else {}
        unchecked = [
            *held.unchecked,
            *missing_from(FileBlobs(data / "blobs"), held.releases, held.state),
            *folder.absent(),
        ]
        return _report(held, damaged, unchecked, **unpublished)
    finally:
        folder.close()


class Verifying:
    """Verifying processes for the time of a block."""

    def __enter__(self) -> Verifiers:
        self._verifiers = Verifiers(answer_s=60.0)
        return self._verifiers

    def __exit__(self, *_: object) -> None:
        self._verifiers.close()


def _check(read: Read, *, progress: Progress, follow: Follow = lambda _: None) -> _Held:
    note = read("checkpoint")
    try:
        claimed = parse_checkpoint(parse_note(note).text)
    except Malformed as error:
        raise Malformed(f"checkpoint is damaged: {error}") from error
    if claimed.size == 0:
        raise Malformed("the log is empty; a board begins with its genesis")
    reading = LogReading(read, claimed)
    collected = _Collected()
    state: LedgerState | None = None
    bar = progress("hashing every entry, applying every rule", claimed.size)
    with bar as advance, Verifying() as verifiers:
        entries = reading.entries(advance)
        try:
            for replayed in replay_ahead(None, entries, verifiers):
                follow(replayed)
                collected.follow(replayed)
                state = replayed.batch.state
        except FieldpostError:
            _name_damage(reading, entries)
            raise
    tree = reading.finish()
    if state is None:
        raise Untrusted("incomplete-log", "a log begins with genesis")
    for wrong in collected.chains.wrong(state):
        raise Untrusted("bad-link", wrong)
    return _hold(note, state, tree, collected)


def _name_damage(reading: LogReading, entries: Iterator[bytes]) -> None:
    """What the rules refuse may be a damaged file: read on, and say which. Raises as `finish`."""
    if not reading.is_broken:
        for _ in entries:
            pass
    if not reading.is_broken:
        reading.finish()


def _hold(note: bytes, state: LedgerState, tree: EntryTree, collected: _Collected) -> _Held:
    """The checkpoint under the record that the log led to. Raises Untrusted."""
    chains, releases = collected.chains, collected.releases
    record = read_board(state.map)
    try:
        checkpoint = verify_published(note, record)
    except Untrusted as error:
        raise Untrusted(error.reason, f"checkpoint does not hold: {error.detail}") from error
    signatures, unknown = _lines(note, record)
    facts: dict[str, object] = {
        "board": state.board,
        "entries": checkpoint.size,
        "posts": checkpoint.size - chains.leaves,
        "root": checkpoint.root.hex(),
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
    return _Held(note, checkpoint.size, state, tree, releases, facts, unchecked)


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
    return Report(held.facts | more, tuple(damaged), tuple(unchecked))
