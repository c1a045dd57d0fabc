# SPDX-License-Identifier: Apache-2.0
"""`fieldpost device check`: what can be proven of one device, for whoever buys or audits it.

Exit codes: 0 everything asked is proven, 1 something is proven to be otherwise, 3 something cannot
be proven. That a unit *is* the device is only proven when it signs a challenge: ids are no secret.
"""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Final

import click

from fieldpost.checkin.belief import believe
from fieldpost.cli.advisory import read_advisories
from fieldpost.cli.board_access import Board
from fieldpost.cli.board_memory import own_urls
from fieldpost.cli.console import json_option, moment, note, show
from fieldpost.cli.device_proof import Place, find_place, fleet_option, read_device_status
from fieldpost.cli.hashed_serials import HashedSerials
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.options import HexId, board_option, home_options, open_home
from fieldpost.cli.proven import ProvenBoard
from fieldpost.errors import Malformed, Misconfigured, NotFound, Untrusted
from fieldpost.identity.challenge import verify_challenge
from fieldpost.identity.leaf import format_device_id
from fieldpost.identity.status import DeviceStatus
from fieldpost.records import map_keys
from fieldpost.records.counters import ReleaseCounters
from fieldpost.records.device_class import ClassRecord, decode_class_record
from fieldpost.records.head import decode_head
from fieldpost.records.limits import FULL_THRESHOLD
from fieldpost.records.release import decode_release_record

YES: Final = 0
NO: Final = 1
UNPROVEN: Final = 3
_DAY: Final = 86_400
_WORDS: Final = {YES: "yes", NO: "no", UNPROVEN: "unproven"}


@dataclass(slots=True)
class Findings:
    """Answers to what was asked, and what else was learnt."""

    answers: dict[str, int] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)

    def answer(self, question: str, code: int, **facts: object) -> None:
        """Note an answer with what it rests on."""
        self.answers[question] = code
        self.facts |= {name: fact for name, fact in facts.items() if fact is not None}

    @property
    def code(self) -> int:
        """What the command exits with."""
        found = set(self.answers.values())
        return NO if NO in found else UNPROVEN if UNPROVEN in found else YES


@click.command(name="check")
@click.argument("device", type=HexId(32))
@click.option(
    "--provisioning",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What its devices trust: names board, witnesses and how old news may be.",
)
@click.option("--board-id", help="The board that you trust, instead: its full id.")
@click.option("--channel", default="stable", show_default=True, help="Channel that it follows.")
@click.option("--running", type=click.IntRange(0), help="The release that it says it runs.")
@click.option("--challenge", help="What you asked the unit to sign, in hex: chosen anew, by you.")
@click.option("--proof", help="What `fieldpost agent prove` answered, in hex.")
@click.option(
    "--serials",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The file of `fieldpost lot enrol --hash-serials`, or its line of this device.",
)
@click.option("--max-age-days", type=float, help="Oldest proof you accept.  [default: 7]")
@fleet_option
@board_option
@home_options
@json_option
def check(
    *,
    device: bytes,
    provisioning: Path | None,
    board_id: str | None,
    channel: str,
    running: int | None,
    challenge: str | None,
    proof: str | None,
    serials: Path | None,
    max_age_days: float | None,
    fleet_url: str | None,
    board_urls: tuple[str, ...],
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    r"""Check DEVICE (its id, 64 hex digits): enrolled? valid? supported? up to date?

    Every answer is proven under the board's quorum, here and now; the node is not believed. Exits
    with 0 if all is well, 1 if something is proven not to be, 3 if something cannot be proven.

    \b
    fieldpost device check DEVICE --provisioning bulb.provisioning --running 3
    fieldpost device check DEVICE --board URL --board-id 'board.example/1#12ab…'
    fieldpost device challenge
    fieldpost device check DEVICE --provisioning FILE --challenge HEX --proof HEX
    """
    if (challenge is None) != (proof is None):
        raise Misconfigured("--challenge and --proof go together; `fieldpost device challenge`")
    now = int(time())
    proven, max_age_s = _trusted(
        provisioning, board_id, board_urls, open_home(home, passphrase_file), now
    )
    if max_age_days is not None:
        max_age_s = round(max_age_days * _DAY)
    findings = Findings({}, {"device": format_device_id(device), "board": proven.id})
    try:
        place = find_place(proven, device, fleet_url=fleet_url)
    except NotFound as error:
        findings.answer("enrolled", UNPROVEN, why=str(error))
    else:
        known = HashedSerials() if serials is None else HashedSerials.load(serials)
        findings.facts["serial"] = known.serial_of(place.leaf) or "hashed"
        _judge(proven, place, findings, channel=channel, running=running, now=now)
        if challenge is not None and proof is not None:
            _judge_unit(proven, place, findings, challenge=_octets(challenge), proof=_octets(proof))
    _judge_age(proven, findings, now=now, max_age_s=max_age_s)
    if proof is None:
        findings.facts["genuine"] = "not asked: an id can be copied; let the unit sign a challenge"
    elif "genuine" not in findings.answers:
        findings.answer("genuine", UNPROVEN)
    answers = {name: _WORDS[code] for name, code in findings.answers.items()}
    words = {YES: "Proven", NO: "Proven, and not well", UNPROVEN: "Not all of it can be proven"}
    show(answers | findings.facts, as_json=as_json, title=words[findings.code])
    click.get_current_context().exit(findings.code)


def _trusted(
    provisioning: Path | None,
    board_id: str | None,
    board_urls: tuple[str, ...],
    maker: MakerHome,
    now: int,
) -> tuple[ProvenBoard, int]:
    """The board that the caller trusts, and how old its proofs may be in seconds."""
    if provisioning is not None:
        belief, record = believe(provisioning.read_bytes())
        if board_id not in (None, belief.board):
            raise Misconfigured(f"{provisioning} is of {belief.board}, not {board_id}")
        board = Board(*(board_urls or record.urls))
        trusted = ProvenBoard(board, belief.board, now=now, policy=belief.policy)
        return trusted, belief.policy.max_age_s
    if board_id is None and (maker.path / "maker.json").exists():
        settings = maker.settings()
        board_id, board_urls = settings.board, board_urls or own_urls(maker)
    if board_id is None or not board_urls:
        raise Misconfigured(
            "which board do you trust? give --provisioning FILE, or --board URL with --board-id ID"
        )
    return ProvenBoard(Board(*board_urls), board_id, now=now), 7 * _DAY


def _judge(
    proven: ProvenBoard,
    place: Place,
    findings: Findings,
    *,
    channel: str,
    running: int | None,
    now: int,
) -> None:
    findings.answer("enrolled", YES, lot=place.lot.id.hex(), index=place.index)
    status = read_device_status(proven, place)
    findings.answer(
        "valid", YES if status is DeviceStatus.VALID else NO, status=status.name.lower()
    )
    value = proven.value(map_keys.device_class(place.lot.class_id))
    if value is None:
        raise Untrusted("unknown-class", "the board proves that the lot's class does not exist")
    class_ = decode_class_record(value)
    supported = YES if class_.support_end >= now else NO
    findings.answer(
        "supported",
        supported,
        maker=class_.maker.hex(),
        **{"class": class_.name},
        support_end=moment(class_.support_end),
    )
    _judge_release(proven, class_, findings, channel=channel, running=running)


def _judge_release(
    proven: ProvenBoard,
    class_: ClassRecord,
    findings: Findings,
    *,
    channel: str,
    running: int | None,
) -> None:
    value = proven.value(map_keys.head(class_.id, channel))
    if value is None:
        raise NotFound(f"the class has no channel {channel}; it has {list(class_.channels)}")
    full = [
        offer.sequence
        for offer in decode_head(value).offers
        if offer.threshold == FULL_THRESHOLD and not offer.lots
    ]
    newest = max(full, default=None)
    findings.facts["newest_for_all"] = newest
    if running is None:
        return
    against = [
        f"advisory {advisory.number} ({advisory.severity.name.lower()}) affects it"
        for advisory in read_advisories(proven, class_.id)
        if advisory.is_affected(running)
    ]
    if newest is not None and running < newest:
        against.append(f"release {newest} is offered to all")
    against += _of_release(proven, class_.id, running)
    findings.answer("newest_secure_release", NO if against else YES, against=against or None)


def _of_release(proven: ProvenBoard, class_id: bytes, running: int) -> list[str]:
    value = proven.value(map_keys.release(class_id, running))
    counted = proven.value(map_keys.release_counters(class_id, running))
    if value is None or counted is None:
        return [f"release {running} was never published"]
    decode_release_record(value)
    reason = ReleaseCounters.decode(counted).withdrawn
    return [] if reason is None else [f"it was withdrawn: {reason}"]


def _judge_unit(
    proven: ProvenBoard, place: Place, findings: Findings, *, challenge: bytes, proof: bytes
) -> None:
    """Whether the unit that answered holds the key that stands in the lot."""
    try:
        verify_challenge(proof, challenge=challenge, board=proven.id, key=place.leaf.key)
    except (Malformed, Untrusted) as error:
        # A bad answer shows that this one was not the unit's, not that there is no such unit.
        findings.answer("genuine", UNPROVEN, genuine_because=str(error))
    else:
        findings.answer("genuine", YES)


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise Malformed(f"{text[:16]!r} is not hex") from None


@click.command(name="challenge")
@json_option
def challenge_unit(*, as_json: bool) -> None:
    r"""Choose a challenge for a unit to sign. Use each one once.

    \b
    fieldpost device challenge
    """
    chosen = secrets.token_hex(32)
    show({"challenge": chosen}, as_json=as_json, title="Challenge")
    note(
        f"next, on the unit: fieldpost agent prove --home DEVICE --challenge {chosen}",
        as_json=as_json,
    )


def _judge_age(proven: ProvenBoard, findings: Findings, *, now: int, max_age_s: int) -> None:
    if proven.timestamp is None:
        return
    fresh = proven.timestamp >= now - max_age_s
    findings.answer("fresh", YES if fresh else UNPROVEN, proven_at=moment(proven.timestamp))


commands = (check, challenge_unit)
