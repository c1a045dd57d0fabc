# SPDX-License-Identifier: Apache-2.0
"""A system call of SQLite fails once, and nothing that was acknowledged is lost for it.

Some calls of a fixed seed; `make chaos` fails every call in every way.
"""

from pathlib import Path

import pytest

from tests.crash.sqlite_faults import run

pytestmark = pytest.mark.crash


@pytest.mark.parametrize("name", ["node", "fleet", "witness"])
def test_no_failed_call_of_sqlite_costs_anything_that_was_acknowledged(
    memory: Path, name: str
) -> None:
    """The program says what is wrong or goes on, and what it left starts again."""
    found = run(name, memory, share=16, seed=1)
    assert found.failures == []
    assert found.calls > 150
    assert sum(found.failed.values()) > 8
    assert {one.split()[0] for one in found.failed} >= {"pwrite", "fcntl"}
    # Some are SQLite's own to bear; the others were said to whoever asked.
    assert 0 < sum(found.refused.values()) < sum(found.failed.values()) * 3


@pytest.mark.parametrize("name", ["node", "fleet", "witness"])
def test_a_flush_of_sqlite_that_fails_is_never_taken_for_done(memory: Path, name: str) -> None:
    found = run(name, memory, share=1, seed=0, only="fdatasync")
    assert found.failures == []
    assert found.calls > 3


@pytest.mark.parametrize("name", ["node", "fleet", "witness"])
def test_a_database_that_could_once_not_be_opened_for_writing_is_not_read_only_for_good(
    memory: Path, name: str
) -> None:
    """SQLite opens such a file for reading instead, without a word."""
    found = run(name, memory, share=1, seed=0, only="open")
    assert found.failures == []
    assert found.calls > 3


def test_a_program_that_takes_a_failed_commit_for_done_is_found_out(memory: Path) -> None:
    """The control: reports are acknowledged whatever the database says."""
    found = run("fleet-unheeding", memory, share=8, seed=1)
    assert any("is lost" in failure for failure in found.failures)
