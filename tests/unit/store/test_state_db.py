# SPDX-License-Identifier: Apache-2.0
"""The state database is at exactly one size, and can go back to a published one."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.store.state_db import StateChange, StateDb

A, B, C = (bytes([n]) * 32 for n in range(3))


@pytest.fixture
def db(tmp_path: Path) -> Iterator[StateDb]:
    opened = StateDb(tmp_path / "state.db")
    yield opened
    opened.close()


def change(
    before: int,
    size: int,
    writes: Mapping[bytes, bytes],
    replaced: Mapping[bytes, bytes | None] | None = None,
) -> StateChange:
    return StateChange(
        before=before,
        size=size,
        writes=writes,
        replaced=dict.fromkeys(writes) if replaced is None else replaced,
        receipts=[(bytes([before]) * 32, before)],
        links=[(A, before, before)],
    )


def test_a_batch_is_there_after_opening_again(tmp_path: Path, db: StateDb) -> None:
    db.commit(change(0, 2, {B: b"b", A: b"a"}), keep=0)
    db.commit(change(2, 5, {B: b"bb"}, {B: b"b"}), keep=2)
    db.close()
    again = StateDb(tmp_path / "state.db")
    assert again.size() == 5
    assert again.items() == [(A, b"a"), (B, b"bb")]
    assert again.find_receipt(bytes([2]) * 32) == (2, 5)
    again.close()


def test_an_unknown_entry_has_no_receipt(db: StateDb) -> None:
    with pytest.raises(NotFound):
        db.find_receipt(C)


def test_links_come_in_order_and_only_when_asked_for(db: StateDb) -> None:
    for before, size in [(0, 2), (2, 4), (4, 6)]:
        db.commit(change(before, size, {}), keep=before)
    assert db.links_since(A, -1, size=6) == [0, 2, 4]
    assert db.links_since(A, 0, size=6) == [2, 4]
    assert db.links_since(A, -1, size=4) == [0, 2]
    assert db.links_since(B, -1, size=6) == []


def test_what_unpublished_batches_replaced_leads_back(db: StateDb) -> None:
    db.commit(change(0, 2, {A: b"1"}), keep=0)
    db.commit(change(2, 4, {A: b"2", B: b"1"}, {A: b"1", B: None}), keep=2)
    db.commit(change(4, 6, {A: b"3", C: b"1"}, {A: b"2", C: None}), keep=2)
    assert db.replaced_since(6) == {}
    assert db.replaced_since(4) == {A: b"2", C: None}
    assert db.replaced_since(2) == {A: b"1", B: None, C: None}
    db.commit(change(6, 8, {A: b"4"}, {A: b"3"}), keep=6)
    assert db.replaced_since(6) == {A: b"3"}


def test_a_batch_at_another_size_changes_nothing(db: StateDb) -> None:
    db.commit(change(0, 2, {A: b"1"}), keep=0)
    with pytest.raises(Misconfigured, match="size 1"):
        db.commit(change(1, 3, {A: b"2"}), keep=0)
    assert (db.size(), db.items()) == (2, [(A, b"1")])


def test_a_batch_that_fails_half_way_changes_nothing(db: StateDb) -> None:
    db.commit(change(0, 2, {A: b"1"}), keep=0)
    twice = StateChange(
        before=2, size=4, writes={A: b"2"}, replaced={A: b"1"}, receipts=[(bytes(32), 2)]
    )
    with pytest.raises(Misconfigured, match="damaged"):
        db.commit(twice, keep=2)
    assert (db.size(), db.items()) == (2, [(A, b"1")])


def test_every_transaction_waits_for_the_disk(tmp_path: Path, db: StateDb) -> None:
    assert db._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert db._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_file_that_is_no_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database" * 100)
    with pytest.raises(Misconfigured, match="fieldpost node rebuild"):
        StateDb(tmp_path / "state.db")


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(Misconfigured, match="version 7"):
        StateDb(tmp_path / "state.db")


def test_a_missing_directory_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        StateDb(tmp_path / "nowhere" / "state.db")


@pytest.mark.parametrize("count", [1, 199, 200, 201, 1_000])
def test_a_batch_of_any_size_is_kept_whole(tmp_path: Path, count: int) -> None:
    keys = [n.to_bytes(32, "big") for n in range(count)]
    db = StateDb(tmp_path / "state.db")
    for before, value in [(0, b"old"), (count, b"new")]:
        db.commit(
            StateChange(
                before=before,
                size=before + count,
                writes=dict.fromkeys(keys, value),
                replaced=dict.fromkeys(keys, b"old" if before else None),
                receipts=[
                    (bytes([before > 0]) + key[1:], before + n) for n, key in enumerate(keys)
                ],
            ),
            keep=0,
        )
    assert db.items() == [(key, b"new") for key in keys]
    assert db.find_receipt(b"\x01" + keys[-1][1:]) == (2 * count - 1, 2 * count)
    assert db.replaced_since(count) == dict.fromkeys(keys, b"old")
    db.close()
