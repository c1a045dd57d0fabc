# SPDX-License-Identifier: Apache-2.0
"""Alarms: what a monitor tells people, each kind under a name that stays.

An alarm's id follows from what it is about, so the same thing found again after a restart is the
same alarm, and whoever receives one twice can tell.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from fieldpost.errors import Malformed


@dataclass(frozen=True, slots=True)
class AlarmKind:
    """What an alarm of this kind means, and what whoever reads it should do first.

    `is_misbehaviour`: signed statements show that somebody who runs the board lied.
    `is_condition`: it lasts until a second alarm, with `over`, says that it is over.
    """

    meaning: str
    next_step: str
    is_misbehaviour: bool = False
    is_condition: bool = False


_ASK: Final = "ask your colleagues; if nobody knows of it, treat the key as stolen"
KINDS: Final[dict[str, AlarmKind]] = {
    "unexpected-post": AlarmKind(
        "A post in the maker's name by a key, at a time or of a kind that is not expected.", _ASK
    ),
    "new-key": AlarmKind(
        "A key that is not expected became one of the maker's.",
        "ask your colleagues; if nobody knows of it, remove it with `fieldpost maker rotate-keys`",
    ),
    "new-record": AlarmKind(
        "The maker's record was replaced: roles, policy or contact are others.", _ASK
    ),
    "rollout": AlarmKind(
        "A channel offers more than is expected.",
        "if nobody meant it: `fieldpost rollout halt`, then look who has the rollout key",
    ),
    "withdrawn-release": AlarmKind(
        "A release was withdrawn; devices are not offered it any more.", _ASK
    ),
    "new-lot": AlarmKind(
        "Devices were enrolled that are not expected.",
        "compare lot and count with what was made; if nobody made it, treat the enrol key as "
        "stolen",
    ),
    "split-view": AlarmKind(
        "Signed heads show two histories of the board.",
        "keep the evidence and show it to others: `fieldpost verify FILE`; ask the operators",
        is_misbehaviour=True,
    ),
    "wrong-state": AlarmKind(
        "The operators published what the board's rules refuse.",
        "nothing of this board after that size is judged; keep the head, ask the operators",
        is_misbehaviour=True,
    ),
    "went-back": AlarmKind(
        "So many operators as lie only together cosigned an older head after a newer one.",
        "devices that ask there do not hear of the newest posts; keep the evidence and show it to "
        "others: `fieldpost verify FILE`; ask the operators",
        is_misbehaviour=True,
    ),
    "unproven-head": AlarmKind(
        "A signed head was shown, and nobody proves that it is of the history that is known.",
        "ask that source's operator for the log's files; it may be damage, or a second history",
        is_condition=True,
    ),
    "head-of-device": AlarmKind(
        "Devices verified a head that the board cannot prove to be of its history.",
        "`fieldpost fleet evidence`; look into the folder `evidence` of such a device",
    ),
    "stale-board": AlarmKind(
        "No source shows a head that the quorum cosigned recently.",
        "ask the operators; devices install nothing once `max_age` of your policy has passed",
        is_condition=True,
    ),
    "stale-source": AlarmKind(
        "One source shows older heads than the others.",
        "devices that ask there do not hear of releases; ask who runs it",
        is_condition=True,
    ),
    "blind": AlarmKind(
        "The monitor cannot see the board, so no other alarm can come.",
        "look at the reason that it gives; name more sources with --board",
        is_condition=True,
    ),
    "too-many": AlarmKind(
        "More alarms wait for this path than it takes; the others are not sent there.",
        "read them all: `fieldpost monitor alarms --data DIR`",
    ),
    "test": AlarmKind("Somebody tested the paths of alarms.", "nothing"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm. `at` is when the monitor raised it, in Unix seconds; `maker` in hex.

    `facts` are JSON values. `about` makes the id together with kind, maker and board.
    """

    kind: str
    board: str
    text: str
    at: int
    maker: str | None = None
    maker_name: str | None = None
    over: bool = False
    about: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no alarm is called {self.kind}")

    @property
    def id(self) -> str:
        """32 hex digits, the same whenever the same thing is found."""
        parts = [self.board, self.kind, self.maker or "", self.about, self.over]
        return sha256(json.dumps(parts).encode()).hexdigest()[:32]

    @property
    def subject(self) -> str:
        """One line for people."""
        whose = f" {self.maker_name or self.maker}" if self.maker else ""
        return f"Fieldpost{whose}: {self.kind}{' is over' if self.over else ''}"

    def value(self) -> dict[str, object]:
        """The JSON form: one line of output, a row of the database, the data of a webhook."""
        known = KINDS[self.kind]
        return {
            "id": self.id,
            "kind": self.kind,
            "over": self.over,
            "at": moment(self.at),
            "board": self.board,
            "maker": self.maker,
            "maker_name": self.maker_name,
            "text": self.text,
            "about": self.about,
            "meaning": known.meaning,
            "next": known.next_step,
            "facts": dict(self.facts),
        }


def read_alarm(text: str) -> Alarm:
    """An alarm from its JSON form. Raises Malformed."""
    try:
        value: dict[str, Any] = json.loads(text)
        return Alarm(
            kind=value["kind"],
            board=value["board"],
            text=value["text"],
            at=int(datetime.fromisoformat(value["at"]).timestamp()),
            maker=value["maker"],
            maker_name=value["maker_name"],
            over=value["over"],
            about=value["about"],
            facts=value["facts"],
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed(f"not an alarm of this program: {error}") from error


def moment(seconds: int) -> str:
    """Unix seconds as RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
