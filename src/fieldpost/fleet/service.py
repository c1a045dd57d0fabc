# SPDX-License-Identifier: Apache-2.0
"""The use cases of a fleet: leaves come in, devices find their proof, reports are counted.

It needs the board's lots, however they are read and verified, and no operator's rights. Nothing is
acknowledged before it is on the disk. "Confirmed" means a report that was signed after the new
image had booted and was confirmed; nothing else counts as updated.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Conflict, Malformed, Unavailable, Untrusted
from fieldpost.fleet.ahead import Incoming, VerifiedAhead, VerifyMany, verify_none
from fieldpost.fleet.board import FleetBoard
from fieldpost.fleet.database import FleetDb
from fieldpost.fleet.devices import Seen
from fieldpost.fleet.ends import End, Period
from fieldpost.fleet.evidence import judge_evidence
from fieldpost.fleet.heads import HEADS_AT_ONCE
from fieldpost.fleet.reports import ENDS, judge_report
from fieldpost.fleet.writer import Writer
from fieldpost.identity.leaf import decode_leaf, scan_leaf
from fieldpost.identity.leaves import decode_leaves, most_leaves_bytes
from fieldpost.identity.lot import LotTree
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import signer_of
from fieldpost.identity.status import DeviceStatus, page_number, read_status
from fieldpost.records.lot import LotRecord
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tree import CompactRange

_TREES_KEPT: Final = 4
_WEIGHT: Final = (
    DeviceStatus.VALID,
    DeviceStatus.SUSPENDED,
    DeviceStatus.DECOMMISSIONED,
    DeviceStatus.REVOKED,
)


class FleetService:
    """One fleet database for one board.

    `lots` reads the board, verified. `clock` gives whole Unix seconds. `verify` is asked ahead for
    the signatures of reports that wait together.
    """

    def __init__(
        self,
        path: Path,
        *,
        board: str,
        lots: FleetBoard,
        clock: Callable[[], int],
        verify: VerifyMany = verify_none,
    ) -> None:
        self.board = board
        self._lots = lots
        self._clock = clock
        self._database = FleetDb(path)
        self._ahead = VerifiedAhead(self._database, verify)
        self._writer = Writer(self._database, ahead=self._ahead.prepare)
        self._trees: OrderedDict[bytes, LotTree] = OrderedDict()
        self._trees_lock = Lock()
        self._counting = Lock()
        self._large = Lock()
        self._judging = Lock()

    def close(self) -> None:
        """Finish what was taken in, then close the database."""
        self._writer.close()
        self._database.close()

    # --- lots ---

    def most_leaves_bytes(self, lot: bytes) -> int:
        """How long the leaves of a lot can be. Raises NotFound for one that is not on the board."""
        return most_leaves_bytes(self._lots.read(lot).record.count)

    def store_leaves(self, lot: bytes, pieces: Iterable[bytes]) -> None:
        """Take a lot's leaves, a CBOR array of byte strings, if they make the posted root.

        `pieces` are its bytes, read several times over and never held together; until they have
        made the root, this needs no memory that grows with them.

        Raises NotFound for a lot that is not on the board, Malformed, and
        Untrusted("wrong-root" | "wrong-class").
        """
        posted = self._lots.read(lot)
        record = posted.record
        leaves = decode_leaves(pieces, count=record.count)
        if CompactRange.empty().extend(map(leaf_hash, leaves)).root() != record.root:
            raise Untrusted("wrong-root", "these leaves do not make the root that was posted")
        # Anybody may send again what a maker sent: one lot at a time, and each once.
        with self._large:
            if self.has_leaves(lot):
                return
            devices = list(_devices(pieces, record))
            self._writer.submit(
                lambda: self._database.save_lot(
                    lot=lot,
                    class_id=record.class_id,
                    root=record.root,
                    entry=posted.entry,
                    devices=devices,
                    leaves=decode_leaves(pieces, count=record.count),
                )
            ).result()

    def lot_view(self, lot: bytes) -> dict[str, object]:
        """What the board says of a lot, as JSON, and whether its leaves are here."""
        posted = self._lots.read(lot)
        record = posted.record
        return {
            "lot": lot.hex(),
            "class": record.class_id.hex(),
            "count": record.count,
            "root": record.root.hex(),
            "entry": posted.entry,
            "leaves_stored": self.has_leaves(lot),
        }

    def has_leaves(self, lot: bytes) -> bool:
        """Whether a lot's leaves are here."""
        return self._database.has_lot(lot)

    def device_proof(self, device: bytes) -> bytes:
        """CBOR [lot id, index, count, leaf, [path…]] of a device. Raises NotFound."""
        place = self._database.find_place(device)
        tree = self._tree(place.lot)
        path = list(tree.path(place.index))
        return cbor.encode([place.lot, place.index, tree.count, place.leaf, path])

    def _tree(self, lot: bytes) -> LotTree:
        tree = self._kept_tree(lot)
        if tree is not None:
            return tree
        # Many ask at once for the tree of a million; it is built once.
        with self._large:
            tree = self._kept_tree(lot)
            if tree is None:
                tree = LotTree.build(self._database.leaves(lot))
                self._keep_tree(lot, tree)
            return tree

    def _kept_tree(self, lot: bytes) -> LotTree | None:
        with self._trees_lock:
            tree = self._trees.get(lot)
            if tree is not None:
                self._trees.move_to_end(lot)
            return tree

    def _keep_tree(self, lot: bytes, tree: LotTree) -> None:
        with self._trees_lock:
            self._trees[lot] = tree
            self._trees.move_to_end(lot)
            while len(self._trees) > _TREES_KEPT:
                self._trees.popitem(last=False)

    # --- reports ---

    def take_report(self, data: bytes) -> Future[None]:
        """Verify and store a report; the future is done when it is on the disk.

        The future raises as `judge_report`; this call itself Malformed and Unavailable.
        """
        kid = signer_of(data)
        return self._writer.submit(lambda: self._take(kid, data), Incoming(kid, data))

    def _take(self, device: bytes, data: bytes) -> None:
        at_hand = self._database.at_hand
        place = at_hand.place(device)
        places = at_hand.other_places(device)
        if place is not None:
            places.append((place.lot, place.index))
        judged = judge_report(
            data,
            place=place,
            status=self._status(places),
            seen=at_hand.seen(device),
            board=self.board,
            suspect=lambda why: self._database.mark_clone(device, why, self._clock()),
            check_signature=self._ahead.check_signature,
        )
        if judged is None:
            return
        report = judged.report
        seen = Seen(
            class_id=judged.class_id,
            boot=report.boot_count,
            counter=report.counter,
            outcome=report.outcome.value,
            running=judged.running,
            received=self._clock(),
            report=data,
            past=judged.past,
            size=None if report.head is None else report.head[0],
        )
        at_hand.save_seen(device, seen)
        at_hand.save_head(report, seen.received)
        if judged.sequence is not None:
            at_hand.save_result(
                class_id=judged.class_id,
                sequence=judged.sequence,
                device=device,
                outcome=report.outcome.value,
            )
            at_hand.save_end(
                End(
                    device=device,
                    sequence=judged.sequence,
                    outcome=report.outcome.value,
                    report=data,
                ),
                class_id=judged.class_id,
                received=seen.received,
            )

    def _status(self, places: list[tuple[bytes, int]]) -> DeviceStatus:
        """A status counts for the key wherever it appears: the one that weighs most."""
        found = [
            read_status(self._lots.status_page(lot, page_number(index)), index)
            for lot, index in places
        ]
        return max(found, key=_WEIGHT.index, default=DeviceStatus.VALID)

    def heads_view(self, after: int) -> list[dict[str, object]]:
        """Heads that devices verified, as JSON, at most a thousand after a number."""
        found = self._database.heads(after, HEADS_AT_ONCE)
        return [head.view(number, received) for number, head, received in found]

    def take_evidence(self, data: bytes) -> None:
        """Verify and store evidence of a split view; on the disk when this returns.

        Raises Malformed, Untrusted where it proves nothing about this board, Unavailable.
        """
        # Whoever sends it costs a chain of signatures: one at a time, and nobody waits in line.
        if not self._judging.acquire(blocking=False):
            raise Unavailable("other evidence is being judged; send the same bytes again", 5)
        try:
            kept = judge_evidence(data, board=self.board, links=self._lots.links)
        finally:
            self._judging.release()
        received = self._clock()
        self._writer.submit(lambda: self._database.save_evidence(kept, received)).result()

    def evidence_view(self, after: int) -> list[dict[str, object]]:
        """Kept evidence as JSON, at most 16 files after a number."""
        return self._database.evidence(after)

    def device_view(self, device: bytes) -> dict[str, object]:
        """What board and fleet know of one device, as JSON. Raises NotFound."""
        place = self._database.find_place(device)
        seen = self._database.find_seen(device)
        return {
            "device": device.hex(),
            "lot": place.lot.hex(),
            "index": place.index,
            "class": decode_leaf(place.leaf).class_id.hex(),
            "status": self._status(self._database.places(device)).name.lower(),
            "clone_suspected": self._database.clone_reason(device),
            "newest_report": None
            if seen is None
            else {
                "boot": seen.boot,
                "counter": seen.counter,
                "outcome": seen.outcome,
                "running": seen.running,
                "received": seen.received,
            },
        }

    def summary(self, class_id: bytes) -> dict[str, object]:
        """How a class's devices fare, as JSON: per release, and in all."""
        devices = self._database.device_count(class_id)
        releases: dict[str, dict[str, int]] = {}
        for sequence, outcome, count in self._database.result_counts(class_id):
            _row(releases, sequence)[outcome] = count
        for sequence, count in self._database.running_counts(class_id):
            _row(releases, sequence)["running"] = count
        return {
            "class": class_id.hex(),
            "devices": devices,
            "releases": releases,
            "stale": self._database.outcome_count(class_id, Outcome.STALE.value),
            "clone_suspected": self._database.clone_count(class_id),
            "never_seen": max(0, devices - self._database.seen_count(class_id)),
        }

    # --- periods ---

    def period_view(self, class_id: bytes, start: int | None, end: int | None) -> dict[str, object]:
        """What a `fleet.summary` of a class would say, as JSON.

        The period is [start, end) in Unix seconds; from the first kept report on, and until now,
        where they are None. Raises Malformed, Conflict for a period that is not over.
        """
        since, until = self._bounds(class_id, start, end)
        period = self._period(class_id, since, until)
        return _period_facts(period, class_id, since, until) | {
            "outcomes": {
                str(sequence): [counts.confirmed, counts.failed, counts.reverted]
                for sequence, counts in period.outcomes().items()
            }
        }

    def period_proofs(
        self, class_id: bytes, device: bytes, start: int | None, end: int | None
    ) -> dict[str, object]:
        """The kept reports of one device in a period, each with its path, as JSON.

        Raises as `period_view`.
        """
        since, until = self._bounds(class_id, start, end)
        period = self._period(class_id, since, until)
        return _period_facts(period, class_id, since, until) | {
            "shown": [
                {
                    "index": shown.index,
                    "report": shown.end.report.hex(),
                    "path": [step.hex() for step in shown.path],
                }
                for shown in period.shown(device)
            ]
        }

    def _period(self, class_id: bytes, start: int, end: int) -> Period:
        # What was taken in before the period ended is on the disk after this.
        self._writer.submit(lambda: None).result()
        with self._counting:
            return Period.of(self._database.ends(class_id, start, end))

    def _bounds(self, class_id: bytes, start: int | None, end: int | None) -> tuple[int, int]:
        now = self._clock()
        until = now if end is None else end
        since = self._database.first_end(class_id) if start is None else start
        if since is None:
            # Nothing is kept: any period is as empty as this one.
            since = until - 1
        if until > now:
            raise Conflict(f"the period ends at {until}, and it is {now}: reports may still come")
        if not 0 <= since < until:
            raise Malformed(f"a period begins before it ends, not {since}…{until}")
        return since, until


def _period_facts(period: Period, class_id: bytes, start: int, end: int) -> dict[str, object]:
    return {
        "class": class_id.hex(),
        "from": start,
        "to": end,
        "reports": len(period.ends),
        "root": period.tree.root().hex(),
    }


def _row(releases: dict[str, dict[str, int]], sequence: int) -> dict[str, int]:
    nothing = {end.value: 0 for end in sorted(ENDS)} | {"running": 0}
    return releases.setdefault(str(sequence), nothing)


def _devices(pieces: Iterable[bytes], record: LotRecord) -> Iterator[bytes]:
    """The device ids of a lot's leaves, in order. Raises Malformed, Untrusted("wrong-class")."""
    for leaf in decode_leaves(pieces, count=record.count):
        device, class_id = scan_leaf(leaf)
        if class_id != record.class_id:
            raise Untrusted("wrong-class", "a leaf is of another class than its lot")
        yield device
