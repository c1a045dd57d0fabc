# SPDX-License-Identifier: Apache-2.0
"""One post in a maker's name against what the maker expects: alarms, or none. Pure.

Posts are those of a log that was verified and replayed, so every signature and rule holds already:
what is judged here is whether the maker meant it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from fieldpost.posts.envelope import Post
from fieldpost.posts.release import decode_release_withdraw
from fieldpost.posts.rollout import decode_rollout_set
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record
from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.expectations import DAYS, Expected

LINKS = frozenset({"maker.register", "maker.set"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a monitor remembers of one maker. `roles` says of each key (kid) what it may do now.

    Posts before entry `since` are history: they say who the maker is, and alarm nobody. `first`
    are the keys that it had there; None while `since` has not come.
    """

    since: int
    name: str | None = None
    epoch: int | None = None
    roles: dict[bytes, str] = field(default_factory=dict)
    first: frozenset[bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A post where it stands: entry `index` of `board`'s log, in a batch of Unix time `time`."""

    post: Post
    index: int
    time: int
    board: str


def judge(
    posted: Posted, watched: Watched, expected: Expected, *, now: int
) -> tuple[Watched, list[Alarm]]:
    """What is remembered after a post in the maker's name, and the alarms that it raises at `now`.

    Raises Malformed for a payload that no ledger accepts.
    """
    statement = posted.post.statement
    is_history = posted.index < watched.since
    if not is_history and watched.first is None:
        watched = replace(watched, first=frozenset(watched.roles))
    if statement.kind in LINKS:
        record = decode_maker_record(statement.payload)
        after = _with_record(watched, record)
    else:
        record, after = None, watched
    if is_history:
        return after, []
    found = [*_of_signers(posted, watched, after, expected)]
    if record is not None:
        found += _of_record(watched, after, record, expected)
    found += _of_content(posted, expected)
    return after, [_alarm(posted, after, expected, one, now=now) for one in found]


@dataclass(frozen=True, slots=True)
class _Found:
    """Something to tell, `about` which part of the post."""

    kind: str
    about: str
    text: str
    facts: dict[str, object]


def _alarm(
    posted: Posted, watched: Watched, expected: Expected, found: _Found, *, now: int
) -> Alarm:
    statement = posted.post.statement
    return Alarm(
        kind=found.kind,
        board=posted.board,
        maker=expected.maker.hex(),
        maker_name=watched.name or expected.name,
        text=found.text,
        at=now,
        about=f"{posted.index}/{found.about}" if found.about else str(posted.index),
        facts={
            "post": statement.kind,
            "subject": statement.subject,
            "entry": posted.index,
            "posted_at": posted.time,
            "signers": [signature.kid.hex() for signature in posted.post.signatures],
        }
        | found.facts,
    )


def _with_record(watched: Watched, record: MakerRecord) -> Watched:
    roles = {kid: role.name.lower() for role in Role for kid in record.keys_of(role).by_kid()}
    return replace(watched, name=record.name, epoch=record.epoch, roles=roles)


def _expected_keys(watched: Watched, expected: Expected) -> frozenset[bytes]:
    if expected.keys is not None:
        return expected.keys
    return watched.first or frozenset()


def _of_signers(
    posted: Posted, before: Watched, after: Watched, expected: Expected
) -> Iterator[_Found]:
    statement = posted.post.statement
    known = _expected_keys(before, expected)
    # A new key signs the link that brings it, to show that somebody has it: told as a new key.
    new = after.roles.keys() - before.roles.keys()
    kids = [signature.kid for signature in posted.post.signatures]
    strange = [kid for kid in kids if kid not in known and kid not in new]
    reasons: list[str] = []
    if strange and statement.kind != "maker.register":
        names = ", ".join(f"{before.roles.get(kid, 'unknown')} key {kid.hex()}" for kid in strange)
        reasons.append(f"signed by a key that is not expected ({names})")
    if not expected.is_expected_time(posted.time):
        reasons.append(f"posted at a time that is not expected ({_words_of(posted.time)})")
    if expected.kinds is not None and statement.kind not in expected.kinds:
        reasons.append("of a kind that is not expected")
    if reasons:
        text = f"{statement.kind} about {statement.subject}: {'; '.join(reasons)}"
        yield _Found("unexpected-post", "", text, {"reasons": reasons})


def _of_record(
    before: Watched, after: Watched, record: MakerRecord, expected: Expected
) -> Iterator[_Found]:
    known = _expected_keys(before, expected)
    for kid, role in sorted(after.roles.items()):
        if kid not in before.roles and kid not in known:
            text = f"a new {role} key, {kid.hex()}, in the maker's record of epoch {record.epoch}"
            yield _Found("new-key", kid.hex(), text, {"kid": kid.hex(), "role": role})
    if expected.epoch is None or record.epoch > expected.epoch:
        gone = sorted(kid.hex() for kid in before.roles.keys() - after.roles.keys())
        text = (
            f"the maker's record is now of epoch {record.epoch}, for devices of board "
            f"{record.policy.board}"
        )
        facts: dict[str, object] = {
            "epoch": record.epoch,
            "policy_board": record.policy.board,
            "removed_keys": gone,
        }
        yield _Found("new-record", "", text, facts)


def _of_content(posted: Posted, expected: Expected) -> Iterator[_Found]:
    statement = posted.post.statement
    match statement.kind:
        case "rollout.set":
            rollout = decode_rollout_set(statement.payload)
            for offer in rollout.offers:
                percent = offer.threshold / 2**32 * 100
                place = rollout.class_id, rollout.channel, offer.sequence
                if expected.is_expected_offer(*place, percent):
                    continue
                text = (
                    f"channel {rollout.channel} of class {rollout.class_id.hex()} offers release "
                    f"{offer.sequence} to {percent:g}% of devices"
                )
                facts: dict[str, object] = {
                    "class": rollout.class_id.hex(),
                    "channel": rollout.channel,
                    "sequence": offer.sequence,
                    "percent": round(percent, 6),
                    "lots": [lot.hex() for lot in offer.lots],
                }
                yield _Found("rollout", str(offer.sequence), text, facts)
        case "release.withdraw":
            gone = decode_release_withdraw(statement.payload)
            text = (
                f"release {gone.sequence} of class {gone.class_id.hex()} was withdrawn: "
                f"{gone.reason}"
            )
            facts = {
                "class": gone.class_id.hex(),
                "sequence": gone.sequence,
                "reason": gone.reason,
            }
            yield _Found("withdrawn-release", "", text, facts)
        case "lot.enrol":
            lot = decode_lot_record(statement.payload)
            if expected.lots is None or lot.id not in expected.lots:
                text = f"lot {lot.id.hex()}: {lot.count} devices of class {lot.class_id.hex()}"
                facts = {"lot": lot.id.hex(), "class": lot.class_id.hex(), "count": lot.count}
                yield _Found("new-lot", "", text, facts)
        case _:
            pass


def _words_of(seconds: int) -> str:
    minute = seconds // 60 % (24 * 60)
    day = DAYS[(seconds // 86_400 + 3) % 7]  # 1970 began on a Thursday
    return f"{day} {minute // 60:02}:{minute % 60:02} UTC"
