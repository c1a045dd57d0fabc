# SPDX-License-Identifier: Apache-2.0
"""Why a CometBFT ended, read from what it said last. Pure.

A death that is `final` would be met again after every restart, or must not be tried again: the
program stays down until somebody acted. `is_failure` finds those after which the process runs on
and does nothing: consensus stopped, or block sync that blames its peers for its own fault.
"""

import re
from dataclasses import dataclass
from typing import Final

READ_BYTES: Final = 65_536
"""How much of the last output says enough."""

APP_HASH: Final = "app-hash"


@dataclass(frozen=True, slots=True)
class Death:
    """A stable word, what it means and what to do, and the line that told it."""

    reason: str
    advice: str
    final: bool
    line: str = ""

    def __str__(self) -> str:
        return f"{self.advice} ({self.line})" if self.line else self.advice


# What peers call themselves may stand in a line of the log, so a sign that halts is looked for
# where CometBFT alone writes: at a message's place in its line, or in output that is no log line.
_SAYS: Final = r"^E\[[^\]\n]*\] "
_RAW: Final = r"^(?![A-Z]\[)[^\n]*"
# Block sync says so of blocks whose commit it verified: two thirds of the validators signed them.
_OTHER_HASH: Final = (
    _SAYS + r'CONSENSUS FAILURE!!!\s+module=consensus err="[^"\n]*wrong Block\.Header\.AppHash'
    "|" + _SAYS + r'Error in validation\s+module=blocksync [^"\n]*err="wrong Block\.Header\.AppHash'
    "|" + _RAW + r"does not match (AppHash after replay|app's AppHash)"
)
_EARLY: Final = (
    rf"({_SAYS}CONSENSUS FAILURE!!!\s+module=consensus err=\"|^panic: )"
    r"[^\"\n]*is too far in the future"
)
# The first that fits; certain signs before those that come along with others.
_SIGNS: Final[tuple[tuple[str, Death], ...]] = (
    (
        _OTHER_HASH,
        Death(
            APP_HASH,
            "this operator computes another board than the others agreed on, so it signs nothing "
            "more: compare program versions, then see docs/operations/cluster.md",
            final=True,
        ),
    ),
    (
        _RAW + r"(is higher than core|too far below block store base)",
        Death(
            "folders-differ",
            "the board's data and CometBFT's do not belong together, as after one of them alone "
            "was restored: restore both from one backup, or wipe both and let peers fill them",
            final=True,
        ),
    ),
    (
        _RAW + r"(priv_validator_state\.json|Error reading PrivValidator)",
        Death(
            "validator-state",
            "CometBFT cannot read its validator key, or what that key signed last: see "
            "docs/operations/cluster.md before anything is put in its place",
            final=True,
        ),
    ),
    (
        _EARLY,
        Death(
            "clock-behind",
            "this machine's clock is more than a minute behind those of the other operators, whose "
            "blocks CometBFT therefore refuses: set it right; it goes on by itself",
            final=False,
        ),
    ),
    (
        r"no space left on device",
        Death("disk-full", "the disk is full: make room", final=False),
    ),
    (
        r"address already in use",
        Death(
            "port-taken",
            "another program has the port: stop it, or set cometbft.p2p_listen or "
            "cometbft.rpc_listen to another",
            final=False,
        ),
    ),
    (
        r"resource temporarily unavailable",
        Death(
            "in-use",
            "another CometBFT runs on this data: stop it (its end is awaited)",
            final=False,
        ),
    ),
    (
        r"connection terminated\. Did the application crash",
        Death("app-lost", "CometBFT lost its connection to this program", final=False),
    ),
    (
        _SAYS + r"CONSENSUS FAILURE!!!",
        Death("consensus", "CometBFT stopped its consensus; it is started again", final=False),
    ),
)
_FAILURES: Final = re.compile(
    rf"({_SAYS}CONSENSUS FAILURE!!!|{_OTHER_HASH})[^\n]*\n".encode(), re.MULTILINE
)
# CometBFT says so only of votes whose signatures it verified.
_DOUBLED: Final = re.compile(
    (
        _SAYS + r'failed to process message\s+module=consensus [^"\n]*'
        r'err="conflicting votes from validator ([0-9A-F]{40})"'
    ).encode(),
    re.MULTILINE,
)
_MOST_LINE: Final = 300


def tail_of(output: bytes) -> bytes:
    """As much of the end of an output as is read, in whole lines."""
    if len(output) <= READ_BYTES:
        return output
    return output[-READ_BYTES:].partition(b"\n")[2]


def is_failure(output: bytes) -> bool:
    """Whether a process that said this does no work any more, although it runs."""
    return _FAILURES.search(output) is not None


def doubled(output: bytes) -> frozenset[str]:
    """Addresses of validators whose key voted twice for one round: somebody has a copy of it."""
    return frozenset(address.decode() for address in _DOUBLED.findall(output))


def explain_death(output: bytes, status: int) -> Death:
    """Why it ended, from its last output and its exit status (negative: the signal)."""
    text = tail_of(output).decode(errors="replace")
    for pattern, death in _SIGNS:
        if found := re.search(pattern, text, re.MULTILINE):
            start = text.rfind("\n", 0, found.start()) + 1
            end = text.find("\n", found.end())
            line = text[start : end if end >= 0 else None].strip()[:_MOST_LINE]
            return Death(death.reason, death.advice, death.final, line)
    how = f"signal {-status}" if status < 0 else f"exit code {status}"
    last = text.strip().rpartition("\n")[2][:_MOST_LINE]
    return Death("ended", f"CometBFT ended with {how}", final=False, line=last)
