# SPDX-License-Identifier: Apache-2.0
"""A device's work for one check-in, beside the signature checks in it: one thread, no disk.

Thirteen check-ins, one an hour, as a device makes them: each proves a larger tree, at a later time,
by other cosignatures, and is judged by what the one before left behind. All are of the size that a
large board gives: two offers, about 20 steps of map path, 12 hashes of edge, 3 cosignatures. What a
running agent remembers is remembered, which is the records and the head while they stay the same;
what it has at a first or a changed one is measured too.

Each check-in and its signatures alone are done in turns, in processor time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from benchmarks.measure import Result
from fieldpost.checkin import views
from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.manifests import verify_release
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.keys import PublicKey, verify_signature
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.limits import FULL_THRESHOLD, MAX_PROOF_BYTES
from fieldpost.records.maker import Role
from fieldpost.testing.bundles import PaperBoard
from fieldpost.tlog.cosignature import cosigned_message

_BAR = 1.3
_KEYS = 100_000
# Indexes of state leaves with twelve ones: as many hashes of edge as a large log has in the middle.
_ONES = 12
_COVERED: Final = tuple(n for n in range(4_000, 8_191) if n.bit_count() == _ONES)
_TURNS = 250

Check = tuple[PublicKey, bytes, bytes]


@dataclass(frozen=True, slots=True)
class CheckIn:
    """What a device believed before, what it got, when, and what its cosignatures are judged by."""

    belief: Belief
    data: bytes
    key: bytes
    now: int
    checks: tuple[Check, ...]

    def verify(self) -> Verified:
        """The device's work."""
        return verify_bundle(self.belief, self.data, key=self.key, now=self.now)

    def check_signatures(self) -> None:
        """The part of it that nobody can save."""
        for key, message, signature in self.checks:
            verify_signature(key, message, signature)


def results() -> Iterator[Result]:
    """Nearly every check-in; those that show another head; the first one; a new release's."""
    values = {sha256(b"%d" % n).digest(): bytes(90) for n in range(_KEYS)}
    hours = _hours(PaperBoard(operators=1, witnesses=2, values=values), changes=False)
    sizes = [len(hour.data) for hour in hours]
    what = f"check-in verified, {min(sizes):,} bytes, edge of {_ONES}, 3 cosignatures"
    yield _compare(what, hours, CheckIn.verify, bar=_BAR)
    board = PaperBoard(operators=1, witnesses=2, values=values)
    changing = _hours(board, changes=True)
    yield _compare("  where the head is another one", changing, CheckIn.verify, before=_forget_head)
    what = "  the first one after a start"
    yield _compare(what, hours, CheckIn.verify, before=_forget_everything)
    yield _compare_release(board, changing)


def _hours(board: PaperBoard, *, changes: bool) -> tuple[CheckIn, ...]:
    """Check-ins by a device that believes each; `changes` says whether a rollout goes on."""
    belief, _ = believe(board.provisioning())
    offer, older = board.release(11, threshold=0), board.release(10)
    board.offer(offer, older)
    hours: list[CheckIn] = []
    for hour, covered in enumerate(_COVERED, start=1):
        board.time += 3_600
        if changes:
            threshold = FULL_THRESHOLD * hour // len(_COVERED)
            offers = (replace(offer, threshold=threshold), older)
            change_count = board.head.change_count + 1
            board.head = replace(board.head, offers=offers, change_count=change_count)
        # A state leaf stands before what comes now.
        board.seal(b"%d" % n for n in range(covered - board.checkpoint.size))
        data = board.bundle()
        one = CheckIn(belief, data, board.head_key, board.time, _checks(board, data))
        belief = one.verify().belief
        hours.append(one)
    return tuple(hours)


def _checks(board: PaperBoard, data: bytes) -> tuple[Check, ...]:
    """What the cosignatures of a bundle are judged by, prepared."""
    bundle = decode_bundle(data, most_bytes=MAX_PROOF_BYTES)
    keys = {key.key_id: key for op in board.board_record.operators for key in op.cosigner_keys}
    keys |= {witness.key.key_id: witness.key for witness in board.board_record.witnesses}
    return tuple(
        (
            keys[one.key_id].public_key,
            cosigned_message(keys[one.key_id], board.checkpoint, one.timestamp),
            one.signature,
        )
        for one in bundle.cosignatures
    )


def _compare_release(board: PaperBoard, hours: Sequence[CheckIn]) -> Result:
    """A head that offers a new release, and that release's manifest."""
    envelope = board.envelope(11)
    data = envelope.encode()

    def everything(one: CheckIn) -> None:
        verified = one.verify()
        assert verified.head is not None
        verify_release(
            data,
            verified.head.offers[0],
            maker=verified.belief.maker_view(),
            maker_id=verified.belief.maker,
            class_id=board.class_id,
            limits=DeviceLimits(),
        )

    release = board.maker_record.keys_of(Role.RELEASE).keys[0].key
    message = b"the same work for a signature of another text"
    more = (release, message, board.keys.release[0].sign(message))
    with_it = [replace(one, checks=(*one.checks, more)) for one in hours]
    what = "  and its release's manifest, 4 signatures"
    return _compare(what, with_it, everything, before=_forget_head)


def _forget_head() -> None:
    """As where the head is another one."""
    views.view_head.cache_clear()


def _forget_everything() -> None:
    """As at the start of a program; what it imports is there."""
    for view in (views.view_head, views.view_cosigners, views.view_board, views.view_maker):
        view.cache_clear()


def _compare(
    what: str,
    hours: Sequence[CheckIn],
    ours: Callable[[CheckIn], object],
    *,
    bar: float | None = None,
    before: Callable[[], None] = lambda: None,
) -> Result:
    """One beside the other; `bar` is how many times the floor it may take."""
    least, floor = [float("inf")] * len(hours), [float("inf")] * len(hours)
    for _ in range(_TURNS):
        for at, one in enumerate(hours):
            before()
            # Whatever else runs on the machine only ever adds: the least of many is nearest to
            # truth. One at a time, so that nothing is warm that would not be.
            least[at] = min(least[at], _us(ours, one))
            floor[at] = min(floor[at], _us(CheckIn.check_signatures, one))
    mean, mean_floor = sum(least) / len(hours), sum(floor) / len(hours)
    return Result(
        what=what,
        unit="µs",
        ours=mean,
        bar=None if bar is None else bar * mean_floor,
        at_most=True,
        against="of its signatures alone",
        theirs=mean_floor,
    )


def _us(work: Callable[[CheckIn], object], one: CheckIn) -> float:
    """Processor time of one, in µs."""
    began = time.process_time_ns()
    work(one)
    return (time.process_time_ns() - began) / 1e3
