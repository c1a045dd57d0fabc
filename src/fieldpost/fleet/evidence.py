# SPDX-License-Identifier: Apache-2.0
"""Evidence that devices hand over: two heads that their board's keys signed, and that exclude each
other (docs/spec/evidence.md).

It proves itself, so nobody need say who brings it; only whoever has keys of the board can make any,
and even they fill no disk. It is kept without the board's links, which any node has.
"""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from fieldpost.checkin.evidence import SplitView, decode_evidence, verify_evidence
from fieldpost.errors import Malformed, Untrusted

MOST_SENT_BYTES: Final = 131_072
MOST_EVIDENCE_KEPT: Final = 64
EVIDENCE_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """A file as it is kept, and the two heads by which it is told from others."""

    heads: bytes
    data: bytes


def judge_evidence(
    data: bytes, *, board: str, links: Callable[[], Sequence[bytes]]
) -> KeptEvidence:
    """What is to be kept of a file about `board`, whose links `links` gives.

    Raises Malformed, Untrusted("wrong-board"), and what `links` and `verify_evidence` raise.
    """
    if len(data) > MOST_SENT_BYTES:
        raise Malformed(f"evidence of {len(data)} bytes; at most {MOST_SENT_BYTES} are taken here")
    evidence = replace(decode_evidence(data), links=())
    if evidence.board != board:
        raise Untrusted("wrong-board", f"this is evidence about {evidence.board}")
    verify_evidence(evidence, links=links())
    return KeptEvidence(_heads(evidence), evidence.encode())


def _heads(evidence: SplitView) -> bytes:
    """The same for one pair of heads, whoever cosigned them when."""
    texts = (note.partition(b"\n\n")[0] for note in (evidence.first, evidence.second))
    return sha256(b"\n\n".join(sorted(texts))).digest()


def keep_evidence(connection: sqlite3.Connection, kept: KeptEvidence, received: int) -> None:
    """Keep a file, unless its heads are known; where many lie, they say enough."""
    connection.execute(
        "INSERT OR IGNORE INTO evidence (heads, received, data) SELECT ?1, ?2, ?3 "
        "WHERE (SELECT COUNT(*) FROM evidence) < ?4",
        (kept.heads, received, kept.data, MOST_EVIDENCE_KEPT),
    )


def read_evidence(connection: sqlite3.Connection, after: int) -> list[dict[str, object]]:
    """Kept files after a number, in order, in the JSON form."""
    rows = connection.execute(
        "SELECT number, received, data FROM evidence WHERE number > ? ORDER BY number LIMIT ?",
        (after, EVIDENCE_AT_ONCE),
    )
    return [
        {"number": number, "received": received, "evidence": data.hex()}
        for number, received, data in rows
    ]
