# SPDX-License-Identifier: Apache-2.0
"""A source whose head is old, and was cosigned by a quorum after a newer one.

Devices take it for fresh, and hear of nothing that was posted since. An operator alone may have had
its clock set back between the two; more than f of them lie, or share one machine.
"""

from collections.abc import Callable
from pathlib import Path

from fieldpost.checkin.comparing import History
from fieldpost.checkin.went_back import WentBack, who_went_back
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.treehead import parse_checkpoint
from fieldpost.watch.monitor.conditions import Conditions

# Writes evidence of a kind; where it is.
Keep = Callable[[bytes, str], Path]


def tell_going_back(
    source: str, note: bytes, history: History | None, conditions: Conditions, keep: Keep
) -> bool:
    """Alarm if more than f operators cosigned `note` later than the newest head; whether they did.

    `note` is of the known history, at most its size, and its cosignatures are a quorum's.
    """
    name, kind = f"went-back {source}", "went-back"
    if history is None:
        return False
    size = parse_checkpoint(parse_note(note).text).size
    authors = _operators(note, history) if size < history.size else []
    record = history.records[-1]
    went_back = len(authors) > len(record.operators) - record.quorum
    facts: dict[str, object] = {"source": source, "size": size}
    words = f"{source} shows what was cosigned last"
    if went_back:
        facts["authors"] = authors
        if not conditions.holds(name):
            evidence = WentBack(
                board=history.board, links=tuple(history.links), older=note, newer=history.note
            )
            facts["evidence"] = str(keep(evidence.encode(), kind))
        words = (
            f"{source} shows size {size}, which {', '.join(authors)} cosigned after size "
            f"{history.size}; judge {facts.get('evidence')}"
        )
    conditions.set(name, kind, went_back, words, facts)
    return went_back


def _operators(note: bytes, history: History) -> list[str]:
    signers = who_went_back(note, history.note, history.records)
    return sorted({f"operator {one.name}" for one in signers if one.role == "operator"})
