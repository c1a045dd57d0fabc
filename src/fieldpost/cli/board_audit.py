# SPDX-License-Identifier: Apache-2.0
"""A board replayed from its log, from anywhere; and a data folder compared with that."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldpost.cli.board_access import policy_of
from fieldpost.cli.console import moment, progress
from fieldpost.cli.data_audit import DataAudit, Finding, check_note, record_of
from fieldpost.cli.log_audit import Read, read_log
from fieldpost.errors import Malformed, Untrusted
from fieldpost.ledger.batch import Batch, LedgerState
from fieldpost.ledger.replay import replay_batches
from fieldpost.records.identifiers import board_id
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.store.log_leftovers import entries_behind
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.tree import CompactRange
from fieldpost.tlog.treehead import parse_checkpoint

# Told the state before a batch, and the batch.
Follow = Callable[[LedgerState | None, Batch], None]


@dataclass(frozen=True, slots=True)
class Verified:
    """A log that holds: its entries, the state after them, its note, and facts for people."""

    entries: list[bytes]
    state: LedgerState
    note: bytes
    facts: dict[str, object]


def verify_log(read: Read, *, as_json: bool, follow: Follow = lambda *_: None) -> Verified:
    """Replay the log that `read` gives, and check its checkpoint by the board's own record.

    Raises Malformed and Untrusted, which name the file.
    """
    note = read("checkpoint")
    try:
        claimed = parse_checkpoint(parse_note(note).text)
    except Malformed as error:
        raise Malformed(f"checkpoint is damaged: {error}") from error
    if claimed.size == 0:
        raise Malformed("the log is empty; a board begins with its genesis")
    entries = read_log(read, claimed, as_json=as_json)
    with progress("applying every rule again", claimed.size, as_json=as_json) as advance:
        state = _replay(None, _counted(entries, advance), follow)
    if state is None:
        raise Untrusted("incomplete-log", "a log begins with genesis")
    return Verified(entries, state, note, _facts(entries, state, note))


def verify_data(
    data: Path, read: Read, *, as_json: bool
) -> tuple[dict[str, object], list[Finding]]:
    """Verify a data folder: facts, and every file that is damaged. `read` gives its log.

    Raises Malformed and Untrusted, which name the file, where the log itself does not hold.
    """
    audit = DataAudit(data)
    try:
        found = verify_log(read, as_json=as_json, follow=audit.follow)
        leaves = map(leaf_hash, found.entries)
        range_ = CompactRange.empty().extend(leaves)
        try:
            check_note(found.note, record_of(found.state), range_)
        except (Malformed, Untrusted) as error:
            raise Untrusted("bad-signature", f"checkpoint is damaged: {error}") from error
        behind = entries_behind(data / "log", len(found.entries))
        whole = _whole(behind)
        state = _replay(found.state, iter(behind[:whole]), audit.follow) or found.state
        with progress("comparing every other file", 1, as_json=as_json) as advance:
            findings = list(audit.findings([*found.entries, *behind], state))
            advance(1)
        unpublished = {"unpublished_entries": len(behind)} if behind else {}
        return found.facts | unpublished, findings
    finally:
        audit.close()


def _replay(
    state: LedgerState | None, entries: Iterator[bytes], follow: Follow
) -> LedgerState | None:
    for batch in replay_batches(state, entries):
        follow(state, batch)
        state = batch.state
    return state


def _whole(entries: Sequence[bytes]) -> int:
    """How many of the entries are in batches that were finished."""
    count = len(entries)
    while count and not is_state_leaf(entries[count - 1]):
        count -= 1
    return count


def _facts(entries: Sequence[bytes], state: LedgerState, note: bytes) -> dict[str, object]:
    record = record_of(state)
    try:
        checkpoint, times = policy_of(record).verify(note, origin=record.origin)
    except Untrusted as error:
        raise Untrusted(error.reason, f"checkpoint does not hold: {error.detail}") from error
    return {
        "board": board_id(record.origin, leaf_hash(entries[0])),
        "entries": checkpoint.size,
        "posts": sum(not is_state_leaf(entry) for entry in entries),
        "root": checkpoint.root.hex(),
        "keys_in_state": len(state.map),
        "map_root": state.map.root.hex(),
        "solo": record.is_solo,
        "cosigned_at": [moment(time) for time in times.values()],
    }


def _counted(entries: Sequence[bytes], advance: Callable[[int], None]) -> Iterator[bytes]:
    for entry in entries:
        yield entry
        advance(1)
