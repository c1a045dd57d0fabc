# SPDX-License-Identifier: Apache-2.0
"""What a start can say of state.db before it opens it."""

from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured
from fieldpost.store.state_files import state_db_version


def test_a_file_that_is_not_there_has_no_version(tmp_path: Path) -> None:
    assert state_db_version(tmp_path / "state.db") is None


def test_a_file_that_the_system_cannot_even_look_for_is_told_with_what_to_do(
    tmp_path: Path,
) -> None:
    """Any error of the system but an absent file, as a bad sector of a folder gives."""
    with pytest.raises(Misconfigured, match="fieldpost node rebuild"):
        state_db_version(tmp_path / ("x" * 300))
