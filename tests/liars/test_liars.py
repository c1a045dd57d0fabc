# SPDX-License-Identifier: Apache-2.0
"""Members that lie, each as a real process, to real devices, monitors, mirrors and witnesses.

What a device may believe of any lie is asserted by `watchers.ask_device` at every check-in.
"""

from collections.abc import Iterator

import pytest

from tests.liars.campaign import CASES, QUORUM, Case, tell
from tests.liars.expected import EXPECTED, SHORT
from tests.liars.judging import judge
from tests.liars.rig import Rig, standing
from tests.liars.table import PAGE, cells, rows_of_page

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


def test_a_quorum_of_liars_is_the_least_that_a_device_believes() -> None:
    """What the table says of all of them."""
    for case, wanted in EXPECTED.items():
        assert not wanted.deceived or case.members >= QUORUM, case
        assert wanted.runs >= 2, case


def test_the_page_says_of_every_lie_what_is_expected_of_it() -> None:
    assert rows_of_page(PAGE.read_text()) == [cells(case) for case in CASES]
