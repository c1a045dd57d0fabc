# SPDX-License-Identifier: Apache-2.0
"""Heads that devices reported to a fleet service, against the history that is known.

A device is shown what nobody else may see, and its next report says which head it verified. One
that does not fit is evidence if the board's cosignatures are with it, else a suspicion: the word of
a device, or of whoever has its key. Heads beyond the known size are judged once it is reached.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.checkin.comparing import Fit, History, Verdict, compare_reported
from fieldpost.client.fleet_heads import ReportedHead, fetch_heads
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Malformed
from fieldpost.tlog.treehead import Checkpoint
from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.memory import Memory

MOST_AHEAD: Final = 256
_SILENCE_S: Final = 5.0
_TOTAL_S: Final = 15.0


@dataclass(slots=True)
class Heard:
    """What listening came to."""

    alarms: int = 0
    misbehaviour: bool = False


class FleetHeads:
    """One fleet service. Raises Misconfigured for what is no URL."""

    def __init__(self, url: str) -> None:
        self.http = HttpClient(url, timeout_s=_SILENCE_S, total_s=_TOTAL_S)
        self._place = f"fleet {self.http.base_url}"
        # Rows that were ahead; a restart reads them again from the oldest of them on.
        self._ahead: dict[int, ReportedHead] = {}
        self._read_to: int | None = None

    def close(self) -> None:
        """Give the connection back."""
        self.http.close()

    def listen(
        self,
        history: History,
        memory: Memory,
        now: int,
        paths: Sequence[str],
        keep: Callable[[bytes], Path],
    ) -> Heard:
        """Judge what is new, and what was ahead. Raises Unavailable, as `fetch_heads`."""
        if self._read_to is None:
            self._read_to = int(memory.meta(self._place) or 0)
        new = fetch_heads(self.http, self._read_to)
        heard, alarms = Heard(), []
        for head in [*self._ahead.values(), *new]:
            verdict = _judge(head, history)
            self._ahead.pop(head.number, None)
            if verdict.fit is Fit.AHEAD and len(self._ahead) < MOST_AHEAD:
                self._ahead[head.number] = head
            if verdict.fit is Fit.OTHER:
                alarms.append(_alarm(head, verdict, history, now, keep))
                heard.misbehaviour |= verdict.evidence is not None
        if new:
            self._read_to = new[-1].number
        with memory.transaction():
            heard.alarms = len(memory.raise_alarms(alarms, paths))
            memory.set_meta(self._place, str(min([self._read_to, *(n - 1 for n in self._ahead)])))
        return heard


def _judge(head: ReportedHead, history: History) -> Verdict:
    try:
        seen = Checkpoint(history.origin, head.size, head.root)
    except Malformed:
        return Verdict(Fit.NOISE)
    return compare_reported(seen, head.cosignatures, history)


def _alarm(
    head: ReportedHead,
    verdict: Verdict,
    history: History,
    now: int,
    keep: Callable[[bytes], Path],
) -> Alarm:
    facts: dict[str, object] = {
        "size": head.size,
        "root": head.root.hex(),
        "device": head.device,
        "authors": list(verdict.authors),
    }
    words = f"a device verified a head of size {head.size} that is not of this history"
    if verdict.evidence is not None:
        facts["evidence"] = str(keep(verdict.evidence.encode()))
        words += f"; it was cosigned by {', '.join(verdict.authors)}: judge {facts['evidence']}"
    return Alarm(
        kind="split-view" if verdict.evidence is not None else "head-of-device",
        board=history.board,
        text=words,
        at=now,
        about=f"device head {head.size} {head.root.hex()}",
        facts=facts,
    )
