# SPDX-License-Identifier: Apache-2.0
"""The state database is at exactly one size, and can go back to a published one."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured, NotFound, Unavailable
from fieldpost.store import state_db
from fieldpost.store.later import Receipts
from fieldpost.store.later import put as put_all
from fieldpost.store.sqlite_copy import copy_database
from fieldpost.store.state_db import StateChange, StateDb

A, B, C = (bytes([n]) * 32 for n in range(3))


def key(number: int) -> bytes:
    return number.to_bytes(2, "big") * 16


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
    twice = StateChange(before=2, size=4, writes={A: b"2"}, replaced={A: b"1"}, links=[(A, 0, 2)])
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


@pytest.mark.parametrize("most", [0, 15, 8_192])
def test_writes_that_wait_are_there_however_the_file_is_opened_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """After each batch a copy is opened, as after a power cut; at the end the file itself."""
    monkeypatch.setattr(state_db, "_MOST_LATER", most)
    path = tmp_path / "state.db"
    db, expected = StateDb(path), dict[bytes, bytes]()
    for size in range(1, 13):
        writes = {key(n): bytes((size, n)) for n in {size, size // 2, 99}}
        db.commit(change(size - 1, size, writes), keep=size)
        expected |= writes
        copy_database(path, tmp_path / "copy.db")
        after_a_cut = StateDb(tmp_path / "copy.db")
        assert after_a_cut.items() == sorted(expected.items())
        places = {bytes([n]) * 32: (n, n + 1) for n in range(size)}
        assert after_a_cut.find_receipts([*places, bytes(31) + b"x"]) == places
        after_a_cut.close()
    assert list(db.each_item()) == sorted(expected.items())
    db.commit(change(12, 13, {A: b"last"}), keep=13)
    db.close()
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute("SELECT key, value FROM state ORDER BY key").fetchall()
        assert rows == sorted({**expected, A: b"last"}.items())
        receipts = file.execute("SELECT digest, position, size FROM receipt ORDER BY 1").fetchall()
        assert receipts == [(bytes([n]) * 32, n, n + 1) for n in range(13)]
        assert file.execute("SELECT count(*) FROM later").fetchone() == (0,)


def test_keys_that_are_written_again_and_again_do_not_wait_for_ever(
    db: StateDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file does not grow with the batches of a board that writes few keys."""
    monkeypatch.setattr(state_db, "_MOST_LATER", 9)
    waiting = []
    for size in range(1, 12):
        db.commit(change(size - 1, size, {A: bytes([size])}), keep=size)
        waiting += db._db.execute("SELECT count(*) FROM later").fetchone()
    assert waiting == [1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert db.items() == [(A, b"\x0b")]


def test_who_opened_the_file_before_may_close_it_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failed batch: the new one knows that the rows wait, and the old one moves them."""
    monkeypatch.setattr(state_db, "_MOST_LATER", 9)
    old = StateDb(tmp_path / "state.db")
    old.commit(change(0, 2, {A: b"1"}), keep=0)
    new = StateDb(tmp_path / "state.db")
    old.close()
    for size in range(3, 12):
        new.commit(change(size - 1, size, {A: bytes([size])}), keep=size)
    assert new.items() == [(A, b"\x0b")]
    places = {bytes([n]) * 32: (n, n + 1) for n in range(2, 11)}
    assert new.find_receipts([*places, bytes(32)]) == {bytes(32): (0, 2), **places}
    new.close()


@pytest.mark.parametrize("cause", ["free_bytes", "put"])
def test_a_disk_without_room_for_what_waits_takes_batches_all_the_same(
    db: StateDb, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """It is looked at again when a quarter more waits; with room everything is put in its place."""
    monkeypatch.setattr(state_db, "_MOST_LATER", 8)
    asked: list[int] = []

    def refuse(*_: object) -> int:
        asked.append(db._db.execute("SELECT count(*) FROM later").fetchone()[0])
        if cause == "put":
            raise sqlite3.OperationalError("database or disk is full")
        return 0

    with monkeypatch.context() as full:
        full.setattr(state_db, cause, refuse)
        for size in range(1, 9):
            db.commit(change(size - 1, size, {A: bytes([size])}), keep=size)
    assert asked == [5, 7]
    assert db._db.execute("SELECT count(*) FROM later").fetchone() == (8,)
    db.commit(change(8, 9, {A: b"last"}), keep=9)
    assert db._db.execute("SELECT count(*) FROM later").fetchone() == (0,)
    assert db.items() == [(A, b"last")]
    assert len(db.find_receipts([bytes([n]) * 32 for n in range(9)])) == 9


def test_a_batch_that_fails_half_way_leaves_what_waits_as_it_was(
    db: StateDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused in the middle of its transaction, with and without the rest put into the table."""
    db.commit(change(0, 2, {A: b"1", B: b"1"}), keep=0)
    for most in (8_192, 0):
        monkeypatch.setattr(state_db, "_MOST_LATER", most)
        twice = StateChange(
            before=2, size=4, writes={A: b"2"}, replaced={A: b"1"}, links=[(A, 0, 2)]
        )
        with pytest.raises(Misconfigured, match="damaged"):
            db.commit(twice, keep=2)
    db.commit(change(2, 4, {C: b"3"}), keep=2)
    assert db.items() == [(A, b"1"), (B, b"1"), (C, b"3")]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE later SET vals = x'8100'",
        "UPDATE later SET receipts = x'00'",
    ],
)
def test_what_waits_and_is_damaged_is_refused_with_what_to_do(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.db"
    db = StateDb(path)
    db.commit(change(0, 2, {A: b"1"}), keep=0)
    copy_database(path, tmp_path / "copy.db")
    db.close()
    with closing(sqlite3.connect(tmp_path / "copy.db", isolation_level=None)) as file:
        file.execute(damage)
    with pytest.raises(Misconfigured, match="fieldpost node rebuild"):
        StateDb(tmp_path / "copy.db")


def test_what_waits_in_a_file_of_the_version_before_is_kept(tmp_path: Path) -> None:
    """Version 4, of which keys waited and receipts did not."""
    path, copy = tmp_path / "state.db", tmp_path / "copy.db"
    db = StateDb(path)
    db.commit(change(0, 2, {A: b"1", B: b"1"}), keep=0)
    copy_database(path, copy)
    db.close()
    with closing(sqlite3.connect(copy, isolation_level=None)) as file:
        new = file.execute("SELECT sql FROM sqlite_master WHERE name = 'later'").fetchone()
        file.execute("INSERT INTO receipt VALUES (?, 0, 2)", (bytes(32),))
        file.execute("ALTER TABLE later DROP COLUMN receipts")
        file.execute("PRAGMA user_version = 4")
    opened = StateDb(copy)
    assert opened.items() == [(A, b"1"), (B, b"1")]
    assert opened.find_receipt(bytes(32)) == (0, 2)
    opened.commit(change(2, 4, {A: b"2"}), keep=2)
    opened.close()
    with closing(sqlite3.connect(copy)) as file:
        assert file.execute("SELECT sql FROM sqlite_master WHERE name = 'later'").fetchone() == new
        assert file.execute("SELECT count(*) FROM receipt").fetchone() == (2,)


def test_a_connection_that_is_closed_late_brings_nothing_old_back(tmp_path: Path) -> None:
    """After a failed batch the board is opened anew before the old writer is closed."""
    old = StateDb(tmp_path / "state.db")
    old.commit(change(0, 2, {A: b"old", B: b"old"}), keep=0)
    new = StateDb(tmp_path / "state.db")
    new.commit(change(2, 4, {A: b"new"}), keep=2)
    old.close()
    assert new.items() == [(A, b"new"), (B, b"old")]
    new.close()
    again = StateDb(tmp_path / "state.db")
    assert again.items() == [(A, b"new"), (B, b"old")]
    again.close()


@pytest.mark.parametrize(("rows", "parts"), [(16, [16]), (8, [4, 4, 8]), (13, [6, 10])])
def test_with_little_room_what_waits_goes_into_its_tables_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, parts: list[int]
) -> None:
    """For so many rows there is room: for all that is left, or the oldest take half of it."""
    path, moved = tmp_path / "state.db", list[int]()
    db, expected = StateDb(path), dict[bytes, bytes]()

    def put(file: sqlite3.Connection, writes: Mapping[bytes, bytes], receipts: Receipts) -> None:
        put_all(file, writes, receipts)
        moved.append(len(writes) + len(receipts))

    monkeypatch.setattr(state_db, "put", put)
    monkeypatch.setattr(state_db, "free_bytes", lambda _: rows * 5 * 1024)
    for size in range(1, 9):
        if size == 8:
            monkeypatch.setattr(state_db, "_MOST_LATER", 15)
        writes = {key(size): bytes([size])}
        db.commit(change(size - 1, size, writes), keep=size)
        expected |= writes
    assert moved == parts
    assert db._db.execute("SELECT count(*) FROM later").fetchone() == (0,)
    assert db.items() == sorted(expected.items())
    assert len(db.find_receipts([bytes([n]) * 32 for n in range(8)])) == 8
    db.close()


def test_a_part_that_is_moved_brings_no_older_value_of_a_key_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has the older value while the newer one waits; also after a power cut."""
    path = tmp_path / "state.db"
    db = StateDb(path)
    db.commit(change(0, 2, {A: b"old", B: b"old"}), keep=0)
    db.commit(change(2, 4, {A: b"new"}), keep=2)
    monkeypatch.setattr(state_db, "_MOST_LATER", 5)
    monkeypatch.setattr(state_db, "_empty_wal", lambda _: True)
    monkeypatch.setattr(state_db, "free_bytes", lambda _: 6 * 5 * 1024)
    db.commit(change(4, 6, {C: b"new"}), keep=4)
    assert db._db.execute("SELECT count(*) FROM later").fetchone() == (2,)
    assert db._db.execute("SELECT value FROM state WHERE key = ?", (A,)).fetchone() == (b"old",)
    copy_database(path, tmp_path / "copy.db")
    for file in (db, StateDb(tmp_path / "copy.db")):
        assert file.items() == [(A, b"new"), (B, b"old"), (C, b"new")]
        assert len(file.find_receipts([bytes([n]) * 32 for n in (0, 2, 4)])) == 3
        file.close()


def test_who_asks_a_file_that_is_closed_never_hears_that_an_entry_is_not_there(
    db: StateDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of the writer before: a batch failed, and the board was opened again."""
    db.commit(change(0, 2, {A: b"1"}), keep=0)
    monkeypatch.setattr(state_db, "free_bytes", lambda _: 0)
    db.close()
    assert db.find_receipt(bytes(32)) == (0, 2)
    with pytest.raises(Unavailable, match="closed"):
        db.find_receipt(C)
