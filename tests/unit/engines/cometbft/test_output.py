# SPDX-License-Identifier: Apache-2.0
"""A program's log never grows without end, and never stops anybody."""

from pathlib import Path

from fieldpost.engines.cometbft.output import LimitedLog


def test_a_log_keeps_its_newest_part_in_files_of_limited_size(tmp_path: Path) -> None:
    log = LimitedLog(tmp_path / "a.log", most_bytes=100, older=2)
    for number in range(100):
        log.write(b"%09d\n" % number)
    log.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes == {"a.log": 100, "a.log.1": 100, "a.log.2": 100}
    assert (tmp_path / "a.log").read_bytes().endswith(b"000000099\n")
    assert (tmp_path / "a.log.2").read_bytes().startswith(b"000000070\n")


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    for _ in range(2):
        log = LimitedLog(tmp_path / "a.log", most_bytes=5)
        log.write(b"abc")
        log.close()
    assert (tmp_path / "a.log").read_bytes() == b"abc"
    assert (tmp_path / "a.log.1").read_bytes() == b"abc"


def test_a_log_that_cannot_be_written_is_lost_in_silence(tmp_path: Path) -> None:
    log = LimitedLog(tmp_path / "missing" / "a.log")
    log.write(b"abc")
    (tmp_path / "missing").mkdir()
    log.write(b"def")
    log.close()
    assert (tmp_path / "missing" / "a.log").read_bytes() == b"def"
