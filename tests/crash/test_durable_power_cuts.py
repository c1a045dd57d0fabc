# SPDX-License-Identifier: Apache-2.0
"""Every promise of `durable` holds after any power cut, and every fsync in it is needed for one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fieldpost.testing.forgetful import ForgetfulDisk, Site, fsync_sites
from fieldpost.testing.volatile_disk import VolatileDisk
from tests.crash import mutants
from tests.crash.durable_laws import LAWS, Law, broken

pytestmark = pytest.mark.crash


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_the_promise_holds_whatever_a_power_cut_leaves(law: Law, memory: Path) -> None:
    assert broken(law, memory, VolatileDisk) == []


@pytest.mark.parametrize("site", fsync_sites(), ids=str)
def test_without_this_fsync_a_promise_is_broken(site: Site, memory: Path) -> None:
    """No fsync of `durable` can be taken out unnoticed: there is no survivor among the mutants."""
    found: list[str] = []
    for number, law in enumerate(LAWS):
        folder = memory / str(number)
        folder.mkdir()
        found += broken(law, folder, lambda root: ForgetfulDisk(root, site))
    assert found, f"{site}: nothing noticed that it is gone, so a test is missing or it is needless"


@pytest.mark.parametrize("notices", [mutants.node_notices, mutants.device_notices])
def test_whole_lives_notice_that_files_are_replaced_without_an_fsync(
    notices: Callable[[Site, Path], bool], memory: Path
) -> None:
    """The control of the campaigns over node and device: with this defence off they fail."""
    (site,) = [site for site in fsync_sites() if site.function == "write_file"]
    assert notices(site, memory)
