# SPDX-License-Identifier: Apache-2.0
"""Members that lie, each as a real process, to real devices, monitors, mirrors and witnesses.

What a device may believe of any lie is asserted by `watchers.ask_device` at every check-in.
"""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.operators import call
from tests.liars.campaign import CASES, QUORUM, Case, lying, tell
from tests.liars.expected import EXPECTED, SHORT
from tests.liars.judging import judge
from tests.liars.programs import PATIENCE_S, fieldpost
from tests.liars.rig import Rig, standing
from tests.liars.table import PAGE, cells, rows_of_page
from tests.liars.watchers import ask_device

CALM = Case("none")


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with standing(tmp_path_factory.mktemp("liars")) as made:
        yield made


@pytest.mark.e2e
def test_control_where_the_lie_is_switched_off_everybody_is_calm(rig: Rig) -> None:
    judge(rig, CALM, tell(rig, CALM, mirror_keeps=False))


@pytest.mark.e2e
@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_a_lie_is_noticed_by_whom_it_concerns_and_deceives_no_device_about_releases(
    rig: Rig, case: Case
) -> None:
    judge(rig, case, tell(rig, case, mirror_keeps="mirror" in EXPECTED[case].evidence))


@pytest.mark.e2e
def test_a_device_that_was_shown_a_fork_sends_the_evidence_to_its_maker(rig: Rig) -> None:
    """With a monitor or without: the maker asks its fleet service."""
    case = Case("two-heads", QUORUM)
    before = asked_fleet(rig)
    home = rig.device("sends")
    with lying(rig, case) as (url, _):
        assert ask_device(home, url)[0] == ""
    assert ask_device(home, rig.honest)[0] == "split-view"
    found = asked_fleet(rig)
    assert len(found) >= len(before)
    sent = [row for row in found if row["device"] == "sent by a device"]
    assert {row["signed_by"] for row in sent} == {"operator op1, operator op2, operator op3"}
    # What it sent needs no node to be judged: the command put the board's links in.
    assert call("verify", sent[-1]["evidence"])["authors"]
    assert [path.suffix for path in sorted((home / "evidence").iterdir())] == [".evidence", ".sent"]


def asked_fleet(rig: Rig) -> list[dict[str, str]]:
    """What `fleet evidence` finds; exit code 4 exactly where there is evidence."""
    words = ("fleet", "evidence", "--board", rig.honest, "--fleet", rig.fleet)
    asked = fieldpost(*words, "--save", rig.folder / "saved")
    done = subprocess.run(
        [*map(str, asked)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    found: list[dict[str, str]] = json.loads(done.stdout)["found"]
    assert done.returncode == (4 if found else 0), done.stderr
    return found


def test_a_quorum_of_liars_is_the_least_that_a_device_believes() -> None:
    """What the table says of all of them."""
    for case, wanted in EXPECTED.items():
        assert not wanted.deceived or case.members >= QUORUM, case
        assert wanted.runs >= 2, case


def test_the_page_says_of_every_lie_what_is_expected_of_it() -> None:
    assert rows_of_page(PAGE.read_text()) == [cells(case) for case in CASES]
