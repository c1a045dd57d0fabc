# SPDX-License-Identifier: Apache-2.0
"""Whether a lie came to what is expected of it, and whom the evidence convicts."""

from pathlib import Path

from fieldpost.checkin.evidence import is_state_evidence
from tests.e2e.operators import call
from tests.liars.campaign import Case, Outcome
from tests.liars.expected import EXPECTED
from tests.liars.rig import OPERATORS, Rig


def judge(rig: Rig, case: Case, found: Outcome) -> None:
    """Whether it came as expected, and every evidence file convicts liars and nobody else."""
    wanted = EXPECTED[case]
    assert found.alone == wanted.alone
    assert (found.deceived, found.first) == (wanted.deceived, wanted.first)
    assert (found.later, found.runs) == (wanted.later, wanted.runs)
    assert found.head >= rig.before.size
    said = (found.monitor.said, found.mirror.said, found.witness.said, found.peer.said)
    assert said == (wanted.monitor, wanted.mirror, wanted.witness, wanted.peer)
    assert frozenset(found.evidence) == wanted.evidence
    liars = {f"op{n}" for n in range(OPERATORS - case.members, OPERATORS)}
    for who, files in found.evidence.items():
        for file in files:
            assert liars == convicted(rig, who, file)


def convicted(rig: Rig, who: str, file: Path) -> set[str]:
    """Whom `fieldpost verify` names as the authors of both heads."""
    # A device holds no chain of links; whoever has the file takes it from any node. A wrong state
    # is judged by the log before it, which any honest copy has.
    board = ("--board", rig.honest) if who == "device" else ()
    log = ("--log", rig.honest) if is_state_evidence(file.read_bytes()) else ()
    facts = call("verify", file, *board, *log)
    authors = facts["authors"]
    return {one.removeprefix("operator ").partition(",")[0] for one in authors}
