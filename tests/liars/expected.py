# SPDX-License-Identifier: Apache-2.0
"""What becomes of every lie: the campaign's tests hold it to this, and the page is written from it.

Four operators: one that lies is f, two are f + 1 and still publish nothing, three are a quorum.
"""

from dataclasses import dataclass, replace
from typing import Final

from tests.liars.campaign import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a lie comes to. `alone`, `later`: why the device refused what it was told by the liars
    alone, and after it reached an honest node ("": it did not).

    `deceived`: it took a head for the board's that is not of the true log. `first`, `runs`: the
    release that it runs after either; it began with 2, and 3 is the newest. The others are what
    they say of it, "" for nothing; `evidence`: who has a file that convicts the liars.
    """

    alone: str = ""
    deceived: bool = False
    first: int = 2
    later: str = ""
    runs: int = 3
    monitor: str = ""
    mirror: str = ""
    witness: str = "refused"
    peer: str = ""
    evidence: frozenset[str] = frozenset()


_WATCHERS: Final = frozenset({"monitor", "mirror", "witness"})
# No quorum: nobody believes it, and whoever has the true head holds it against its authors.
_SAME_SIZE: Final = Expected(
    alone="no-quorum",
    monitor="split-view",
    mirror="refused",
    peer="split-view",
    evidence=_WATCHERS,
)
_SMALLER: Final = Expected(
    alone="no-quorum",
    monitor="split-view",
    mirror="refused",
    evidence=frozenset({"monitor", "mirror"}),
)
_WRONG_STATE: Final = Expected(
    deceived=True,
    later="split-view",
    runs=2,
    monitor="split-view, wrong-state",
    mirror="halted",
    peer="split-view",
    evidence=frozenset({"device", *_WATCHERS}),
)

EXPECTED: Final[dict[Case, Expected]] = {
    Case("none"): Expected(first=3, witness="not asked"),
    Case("two-heads", 1): _SAME_SIZE,
    Case("two-heads", 2): _SAME_SIZE,
    Case("two-heads", 3): Expected(
        deceived=True,
        first=3,
        later="split-view",
        monitor="split-view",
        mirror="halted",
        peer="split-view",
        evidence=frozenset({"device", *_WATCHERS}),
    ),
    Case("withheld-post", 1): _SMALLER,
    Case("withheld-post", 2): _SMALLER,
    Case("withheld-post", 3): Expected(
        deceived=True,
        monitor="split-view",
        mirror="halted",
        evidence=frozenset({"monitor", "mirror"}),
    ),
    Case("truncated", 1): Expected(alone="no-quorum", monitor="stale-source"),
    Case("truncated", 2): Expected(alone="no-quorum", monitor="stale-source"),
    Case("truncated", 3): Expected(monitor="went-back", evidence=frozenset({"monitor"})),
    Case("wrong-state", 1): _SAME_SIZE,
    Case("wrong-state", 2): _SAME_SIZE,
    Case("wrong-state", 3): replace(_WRONG_STATE, alone="manifest-threshold"),
    Case("old-release", 1): _SAME_SIZE,
    Case("old-release", 2): _SAME_SIZE,
    Case("old-release", 3): replace(_WRONG_STATE, alone="wrong-sequence"),
    # The invented lines convict nobody, and keep nobody from being convicted by a true one.
    Case("forged"): replace(_SAME_SIZE, alone="bad-signature"),
    Case("other-board"): Expected(alone="board-fork", mirror="refused"),
    Case("stale"): Expected(witness="not asked"),
    Case("missing-files"): Expected(first=3, mirror="refused", witness="not asked"),
    Case("endless"): Expected(
        alone="unavailable", mirror="refused", witness="not asked", peer="unavailable"
    ),
    Case("slow"): Expected(
        alone="unavailable", mirror="refused", witness="not asked", peer="unavailable"
    ),
    Case("silent"): Expected(
        alone="unavailable", mirror="refused", witness="not asked", peer="unavailable"
    ),
}
# One of each kind, for every run of the tests; `make liars` tells them all.
SHORT: Final = (
    Case("two-heads", 1),
    Case("withheld-post", 2),
    Case("two-heads", 3),
    Case("wrong-state", 3),
    Case("old-release", 3),
    Case("forged"),
)
