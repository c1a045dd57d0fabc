# SPDX-License-Identifier: Apache-2.0
"""The lies of a board's member, by name: what each shows, and whose signatures are under it.

    shown = LIES["two-heads"].build(true, note)

A lie that signs is told with the keys of as many members as take part in it. One of four can be
seen and ignored; a quorum of them publishes what it likes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from fieldpost.testing import liar_histories as histories
from fieldpost.testing.liar_histories import History


class Manner(Enum):
    """How a body comes."""

    WHOLE = "whole"
    ENDLESS = "endless"
    DRIPPING = "dripping"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a lie comes to. `history` None: whatever the node behind it answers.

    It is cosigned anew by the members that take part, unless it has a `note`: a head that somebody
    else signed. `invents` cosignatures of everybody else. `files`: forged manifests and images by
    digest in hex. `lacks_log`: no file of the log is given beside the checkpoint.
    """

    history: History | None = None
    note: bytes | None = None
    invents: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)
    lacks_log: bool = False
    manner: Manner = Manner.WHOLE


@dataclass(frozen=True, slots=True)
class Lie:
    """One lie. `build` makes it of the true history and its checkpoint, for so many members.

    `signs`: the more members, the worse. Each number of them tells another one, so that none is
    mistaken for the lie of those before.
    """

    meaning: str
    build: Callable[[History, bytes, int], Shown]
    signs: bool = True


# So that a forgery is another head than the lie that its author signs.
_OTHERS: Final = 10


def _wrong_state(true: History, _: bytes, members: int) -> Shown:
    forgery, offer = histories.forge_release(true)
    history = histories.wrong_state(true, offer, changes=members)
    return Shown(history=history, files=forgery.files)


def _old_release(true: History, _: bytes, members: int) -> Shown:
    offer = histories.oldest_release(true)
    return Shown(history=histories.wrong_state(true, offer, changes=members))


def _forged(true: History, _: bytes, members: int) -> Shown:
    forgery, offer = histories.forge_release(true)
    history = histories.wrong_state(true, offer, changes=members + _OTHERS)
    return Shown(history=history, invents=True, files=forgery.files)


def _other_board(true: History, *_: object) -> Shown:
    history, note = histories.another_board(true)
    return Shown(history=history, note=note)


LIES: Final[Mapping[str, Lie]] = {
    "none": Lie("the control: passes everything on", lambda *_: Shown(), signs=False),
    "two-heads": Lie(
        "signs a second head of the newest size: the same posts, a second later",
        lambda true, _, members: Shown(history=histories.another_time(true, seconds=members)),
    ),
    "withheld-post": Lie(
        "signs a history without the maker's newest post",
        lambda true, _, members: Shown(history=histories.left_out(true, seconds=members)),
    ),
    "truncated": Lie(
        "signs an older size anew, and shows a log that ends there",
        lambda true, *_: Shown(history=histories.before_last_batch(true)[0]),
    ),
    "wrong-state": Lie(
        "signs a state that no rule makes: it offers a release that the maker never signed",
        _wrong_state,
    ),
    "old-release": Lie(
        "signs a state that no rule makes: it offers the oldest release under a new sequence",
        _old_release,
    ),
    "forged": Lie(
        "serves a state of its own under invented cosignatures of the others", _forged, signs=False
    ),
    "other-board": Lie(
        "serves the chain of a board of its own, under the same origin",
        _other_board,
        signs=False,
    ),
    "stale": Lie(
        "serves what was true when it began, with everybody's cosignatures of then",
        lambda true, note, _: Shown(history=true, note=note),
        signs=False,
    ),
    "missing-files": Lie(
        "shows the newest head, and no file of the log",
        lambda *_: Shown(lacks_log=True),
        signs=False,
    ),
    "endless": Lie("answers without end", lambda *_: Shown(manner=Manner.ENDLESS), signs=False),
    "slow": Lie("answers a byte at a time", lambda *_: Shown(manner=Manner.DRIPPING), signs=False),
    "silent": Lie(
        "takes requests and says nothing", lambda *_: Shown(manner=Manner.SILENT), signs=False
    ),
}
