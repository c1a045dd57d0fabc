# SPDX-License-Identifier: Apache-2.0
"""Step 4: who cosigned a checkpoint, and what time they vouch for (docs/spec/check-in.md).

    ≥ ⌊2n/3⌋ + 1 of the board record's n operators, one vote each, whatever keys they hold
    and ≥ w of the maker's witnesses

T is the largest t such that the cosignatures with timestamp ≥ t satisfy both.
"""

from collections.abc import Collection, Iterable

from fieldpost.checkin.freshness import MAX_AHEAD_S
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm
from fieldpost.records.board import BoardRecord
from fieldpost.records.policy import DevicePolicy
from fieldpost.tlog.cosignature import Cosignature, verify_cosignature
from fieldpost.tlog.note import ALGORITHMS, VerifierKey
from fieldpost.tlog.policy import threshold_timestamp
from fieldpost.tlog.treehead import Checkpoint


def verify_quorum(
    checkpoint: Checkpoint,
    cosignatures: Iterable[Cosignature],
    *,
    board: BoardRecord,
    policy: DevicePolicy,
    clock: int | None,
    algorithms: Collection[Algorithm],
) -> int:
    """T in Unix seconds, if operators and witnesses suffice.

    Key ids that are unknown, or of an algorithm that the device does not verify, are ignored.
    Timestamps over 10 min ahead of `clock` (None: there is none), and 0, do not count. Raises
    Untrusted("bad-signature") for a bad one of a known key, counted or not, and "no-quorum".
    """
    operators = [operator.cosigner_keys for operator in board.operators]
    witnesses = [(key,) for key in policy.witnesses]
    known = known_cosigners(board, policy, algorithms)
    times = _verify_known(checkpoint, cosignatures, known, clock)
    timestamp = threshold_timestamp(
        [
            (board.quorum, _times_of(operators, times)),
            (policy.witnesses_needed, _times_of(witnesses, times)),
        ]
    )
    if timestamp is None:
        raise Untrusted(
            "no-quorum",
            f"{len(_times_of(operators, times))} of {board.quorum} operators and "
            f"{len(_times_of(witnesses, times))} of {policy.witnesses_needed} witnesses",
        )
    return timestamp


def known_cosigners(
    board: BoardRecord, policy: DevicePolicy, algorithms: Collection[Algorithm]
) -> Collection[VerifierKey]:
    """Every operator's and witness's key of an algorithm that the device verifies, once."""
    everybody = [key for operator in board.operators for key in operator.cosigner_keys]
    everybody += policy.witnesses
    return dict.fromkeys(key for key in everybody if ALGORITHMS[key.type] in algorithms)


def _verify_known(
    checkpoint: Checkpoint,
    cosignatures: Iterable[Cosignature],
    known: Collection[VerifierKey],
    clock: int | None,
) -> dict[VerifierKey, int]:
    """The latest timestamp of each known key that counts."""
    by_id: dict[bytes, list[VerifierKey]] = {}
    for key in known:
        by_id.setdefault(key.key_id, []).append(key)
    times: dict[VerifierKey, int] = {}
    for cosignature in cosignatures:
        candidates = by_id.get(cosignature.key_id)
        if candidates is None:
            continue
        key = _verify_one(checkpoint, cosignature, candidates)
        timestamp = cosignature.timestamp
        ahead = clock is not None and timestamp > clock + MAX_AHEAD_S
        if timestamp > times.get(key, 0) and not ahead:
            times[key] = timestamp
    return times


def _verify_one(
    checkpoint: Checkpoint, cosignature: Cosignature, candidates: Iterable[VerifierKey]
) -> VerifierKey:
    """Which of the keys of that id signed. Raises Untrusted("bad-signature")."""
    # Ids are distinct within a record, but an operator's may equal a witness's: four bytes are
    # quickly ground, and neither may put the other out of action.
    failure: Untrusted | None = None
    for key in candidates:
        try:
            verify_cosignature(key, checkpoint, cosignature, counted=False)
        except Untrusted as error:
            failure = error
        else:
            return key
    raise failure or Untrusted("bad-signature")


def _times_of(members: Iterable[Iterable[VerifierKey]], times: dict[VerifierKey, int]) -> list[int]:
    """One timestamp for every member who has any: the latest of its keys."""
    found = [[times[key] for key in keys if key in times] for keys in members]
    return [max(latest) for latest in found if latest]
