# SPDX-License-Identifier: Apache-2.0
"""Step 4: who cosigned a checkpoint, and what time they vouch for (docs/spec/check-in.md).

    ≥ ⌊2n/3⌋ + 1 of the board record's n operators, one vote each, whatever keys they hold
    and ≥ w of the maker's witnesses

T is the largest t such that the cosignatures with timestamp ≥ t satisfy both.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from fieldpost.checkin.freshness import MAX_AHEAD_S
from fieldpost.errors import Untrusted
from fieldpost.keys import Algorithm, PublicKey, verify_signature
from fieldpost.records.board import BoardRecord
from fieldpost.records.policy import DevicePolicy
from fieldpost.tlog.cosignature import MAX_TIMESTAMP, Cosignature, cosigned_message
from fieldpost.tlog.note import ALGORITHMS, VerifierKey
from fieldpost.tlog.policy import threshold_timestamp
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint


@dataclass(frozen=True, slots=True)
class Cosigner:
    """A key, in both its forms, and for whom it speaks.

    `members` are pairs: 0 and the number of an operator, 1 and the number of a witness.
    """

    key: VerifierKey
    public_key: PublicKey
    members: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigners:
    """Who may cosign under a board record and a policy, and how many of them it takes.

    Made once for as long as the records stay the same (`views`).
    """

    by_id: Mapping[bytes, tuple[Cosigner, ...]]
    operators_needed: int
    witnesses_needed: int


def cosigners_of(
    board: BoardRecord, policy: DevicePolicy, algorithms: Collection[Algorithm]
) -> Cosigners:
    """The keys of operators and witnesses that are of an algorithm which the device verifies."""
    operators = [operator.cosigner_keys for operator in board.operators]
    witnesses: list[tuple[VerifierKey, ...]] = [(key,) for key in policy.witnesses]
    speaks_for: dict[VerifierKey, tuple[tuple[int, int], ...]] = {}
    for group, members in enumerate((operators, witnesses)):
        for number, keys in enumerate(members):
            for key in keys:
                if ALGORITHMS[key.type] in algorithms:
                    speaks_for[key] = (*speaks_for.get(key, ()), (group, number))
    # Ids are distinct within a record, but an operator's may equal a witness's: four bytes are
    # quickly ground, and neither may put the other out of action.
    by_id: dict[bytes, tuple[Cosigner, ...]] = {}
    for key, pairs in speaks_for.items():
        cosigner = Cosigner(key, key.public_key, pairs)
        by_id[key.key_id] = (*by_id.get(key.key_id, ()), cosigner)
    return Cosigners(
        by_id=by_id,
        operators_needed=board.quorum,
        witnesses_needed=policy.witnesses_needed,
    )


def verify_quorum(
    checkpoint: Checkpoint,
    cosignatures: Iterable[Cosignature],
    *,
    cosigners: Cosigners,
    clock: int | None,
) -> int:
    """T in Unix seconds, if operators and witnesses suffice.

    Key ids that are unknown, or of an algorithm that the device does not verify, are ignored.
    Timestamps over 10 min ahead of `clock` (None: there is none), and 0, do not count. Raises
    Untrusted("bad-signature") for a bad one of a known key, counted or not, and "no-quorum".
    """
    latest_that_counts = MAX_TIMESTAMP if clock is None else clock + MAX_AHEAD_S
    text = format_checkpoint(checkpoint)
    # One timestamp for every member who has any: the latest of its keys.
    times: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for cosignature in cosignatures:
        candidates = cosigners.by_id.get(cosignature.key_id)
        if candidates is None:
            continue
        members = _verify_one(checkpoint, text, cosignature, candidates)
        if cosignature.timestamp <= latest_that_counts:
            for group, number in members:
                if cosignature.timestamp > times[group].get(number, 0):
                    times[group][number] = cosignature.timestamp
    operators, witnesses = times
    timestamp = threshold_timestamp(
        [
            (cosigners.operators_needed, operators.values()),
            (cosigners.witnesses_needed, witnesses.values()),
        ]
    )
    if timestamp is None:
        raise Untrusted(
            "no-quorum",
            f"{len(operators)} of {cosigners.operators_needed} operators and "
            f"{len(witnesses)} of {cosigners.witnesses_needed} witnesses",
        )
    return timestamp


def only_known(
    cosignatures: tuple[Cosignature, ...], cosigners: Cosigners
) -> tuple[Cosignature, ...]:
    """Those by known key ids, each once; the same tuple where it holds no others.

    Cosignatures of strangers are ignored, so whoever delivers a bundle can add any bytes as
    theirs; nothing of that is kept.
    """
    different = cosigners.by_id.keys() & [cosignature.key_id for cosignature in cosignatures]
    if len(different) == len(cosignatures):
        return cosignatures
    kept = dict.fromkeys(one for one in cosignatures if one.key_id in cosigners.by_id)
    return cosignatures if len(kept) == len(cosignatures) else tuple(kept)


def _verify_one(
    checkpoint: Checkpoint, text: str, cosignature: Cosignature, candidates: Iterable[Cosigner]
) -> tuple[tuple[int, int], ...]:
    """For whom that of the keys of its id speaks that signed. Raises Untrusted("bad-signature")."""
    failure: Untrusted | None = None
    for one in candidates:
        message = cosigned_message(one.key, checkpoint, cosignature.timestamp, text=text)
        try:
            verify_signature(one.public_key, message, cosignature.signature)
        except Untrusted as error:
            failure = error
        else:
            return one.members
    raise failure or Untrusted("bad-signature")
