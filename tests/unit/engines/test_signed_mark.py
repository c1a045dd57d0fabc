# SPDX-License-Identifier: Apache-2.0
"""A node never signs below, or beside, what it signed."""

from pathlib import Path

import pytest

from fieldpost.engines.signed_mark import SignedMark
from fieldpost.errors import Misconfigured
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.faults import FaultyDisk, PowerCut

ROOT, OTHER = b"\x01" * 32, b"\x02" * 32


def test_what_was_recorded_is_known_after_a_restart(tmp_path: Path) -> None:
    SignedMark(tmp_path).record(7, ROOT)
    SignedMark(tmp_path).record(7, ROOT)
    SignedMark(tmp_path).record(9, OTHER)
    assert SignedMark(tmp_path).size == 9


@pytest.mark.parametrize(("size", "root"), [(6, ROOT), (7, OTHER), (0, ROOT)])
def test_a_second_history_is_not_signed(tmp_path: Path, size: int, root: bytes) -> None:
    mark = SignedMark(tmp_path)
    mark.record(7, ROOT)
    with pytest.raises(Misconfigured, match="second history"):
        mark.record(size, root)
    assert SignedMark(tmp_path).size == 7


def test_the_mark_is_the_old_one_or_the_new_one_after_a_power_cut(tmp_path: Path) -> None:
    SignedMark(tmp_path).record(7, ROOT)
    for step in range(7):
        mark = SignedMark(tmp_path, disk=FaultyDisk(fail_at=step, power_cut=True))
        with pytest.raises(PowerCut):
            mark.record(9 + step, ROOT)
        assert mark.size < 9 + step
        assert SignedMark(tmp_path).size in {mark.size, 9 + step}


def test_a_damaged_mark_is_refused(tmp_path: Path) -> None:
    (tmp_path / "largest-signed").write_bytes(b"7 xyz\n")
    with pytest.raises(Misconfigured, match="damaged"):
        SignedMark(tmp_path)


def test_a_shorter_log_than_was_signed_is_refused(tmp_path: Path) -> None:
    mark = SignedMark(tmp_path)
    mark.record(7, ROOT)
    with pytest.raises(Misconfigured, match="older than what the node signed"):
        mark.check_log(open_log(tmp_path / "log"))
