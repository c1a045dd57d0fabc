# SPDX-License-Identifier: Apache-2.0
"""`fieldpost board fsck` on a data folder: whatever is flipped in any file is found and named.

Where a flip is found by nobody it is proven harmless: every table, seen through SQLite, is as it
was before.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldpost.cli.failures import exit_code
from fieldpost.cli.main import fieldpost
from fieldpost.client.transport import HttpClient
from fieldpost.durable import DiskFull, free_bytes, write_file
from fieldpost.errors import FieldpostError, Misconfigured
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, sign_report
from fieldpost.identity.report_envelope import TYPE
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.watch.fsck import check_folder
from fieldpost.watch.fsck_log import Read
from tests.crash.mounted import mounted, need
from tests.unit.cli.cli_world import CliWorld, cli_world
from tests.unit.cli.test_care import enrol

SEED = 20261129
FLIPS = 2
STEP_BYTES = 4 * 1024
# Of fleet.db: when a report came, and which program wrote the file.
UNPROVABLE = {"seen", "about", "ends"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a stopped node that has met everything: posts, uploads, reports."""
    root = tmp_path_factory.mktemp("world")
    with cli_world(root) as world:
        world.with_maker()
        enrol(world)
        world.publish("1.0")
        world.publish("1.1")
        world.offer("1=100%")
        world.call("release", "list", "bulb:r1")
        report(world, "device 0")
    return root / "node"


def report(world: CliWorld, name: str) -> None:
    signer = DeterministicSigner(Algorithm.ED25519, name)
    told = Report(
        board=world.board,
        device=signer.public_key.thumbprint(),
        boot_count=3,
        counter=1,
        components=(),
        outcome=Outcome.CHECKED_IN,
    )
    with HttpClient(world.url) as http:
        http.send("POST", "/v1/reports", sign_report(told, signer), content_type=TYPE)


def reader(data: Path) -> Read:
    def read(path: str) -> bytes:
        try:
            return (data / "log" / path).read_bytes()
        except OSError as error:
            raise Misconfigured(f"{path} cannot be read") from error

    return read


def silent(_what: str, _total: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


def found_in(data: Path) -> str:
    """Everything that verifying says is damaged; empty where nothing is."""
    try:
        damaged = check_folder(data, reader(data), progress=silent).damaged
    except FieldpostError as error:
        return str(error)
    return "\n".join(f"{finding.file}: {finding.what}" for finding in damaged)


def files(data: Path) -> Iterator[Path]:
    for path in sorted(data.rglob("*")):
        # Whatever the room for heads is filled with means nothing.
        if path.is_file() and path.name != "reserve":
            yield path.relative_to(data)


def places(path: Path, length: int, count: int) -> Iterator[tuple[int, int]]:
    """Bytes and bits all over a file, the same ones on every run."""
    for number in range(count if length else 0):
        digest = sha256(f"{SEED} {path} {number}".encode()).digest()
        yield int.from_bytes(digest[:8], "big") % length, digest[8] % 8


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        # A flip can make a text of bytes that are none.
        db.text_factory = lambda octets: octets.decode(errors="replace")
        return list(db.iterdump())


def test_an_untouched_data_folder_verifies_and_is_left_untouched(data: Path) -> None:
    before = {path: (data / path).read_bytes() for path in files(data)}
    assert found_in(data) == ""
    assert {path: (data / path).read_bytes() for path in files(data)} == before


def test_all_kinds_of_files_are_there_to_be_flipped(data: Path) -> None:
    kinds = {path.parts[0] if path.parts[0] != "log" else path.parts[1] for path in files(data)}
    assert kinds >= {"checkpoint", "tile", "state.db", "catalog.db", "fleet.db", "blobs", "keys"}
    assert (data / "keys" / "largest-signed").exists()
    assert list((data / "blobs" / "manifests").rglob("*"))


def test_every_flip_in_any_file_is_named_or_proven_harmless(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    named: set[str] = set()
    harmless: list[str] = []
    for path in files(data):
        whole = (data / path).read_bytes()
        flips = FLIPS * 5 if path.suffix == ".db" else FLIPS
        # Most of a small database is unused; what is used is rarely zero.
        used = [at for at, byte in enumerate(whole) if byte or path.suffix != ".db"]
        for number, bit in places(path, len(used), flips):
            at = used[number]
            bad = bytearray(whole)
            bad[at] ^= 1 << bit
            (copy / path).write_bytes(bad)  # keeps the mode
            said = found_in(copy)
            if said:
                assert path.name in said, f"flip at {at} of {path}: {said}"
                named.add(path.parts[0])
            else:
                assert path.suffix == ".db" or _is_no_matter(path, data, copy), f"{path} at {at}"
                if path.suffix == ".db":
                    changed = set(tables(copy / path)) ^ set(tables(data / path))
                    assert {line.split('"')[1] for line in changed} <= UNPROVABLE, (path, at)
                harmless.append(f"{path} at {at}")
        (copy / path).write_bytes(whole)
    assert named >= {"log", "state.db", "catalog.db", "fleet.db", "blobs", "keys"}
    assert found_in(copy) == ""


def _is_no_matter(path: Path, data: Path, copy: Path) -> bool:
    """A key file that still holds the same key: letters of PEM that mean nothing."""
    from fieldpost.engines.operator_keys import load_signer

    if path.suffix != ".pem":
        return False
    one, other = load_signer(data / path), load_signer(copy / path)
    return one.public_key == other.public_key and one.sign(b"?") == other.sign(b"?")


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("state", "UPDATE state SET value = x'00' WHERE key = (SELECT max(key) FROM state)"),
        ("state", "DELETE FROM state WHERE key = (SELECT max(key) FROM state)"),
        ("state", "INSERT INTO state VALUES (x'00', x'00')"),
        ("receipt", "UPDATE receipt SET position = position + 1"),
        ("link", "DELETE FROM link"),
        ("log", "UPDATE log SET size = size - 1"),
        ("size", "UPDATE log SET size = size + 100"),
        ("head", "INSERT INTO head VALUES (4, x'00')"),
        ("batch of size 3", "INSERT INTO replaced VALUES (3, x'80')"),
        ("sqlite_master", "CREATE TABLE more (one)"),
    ],
)
def test_a_state_database_that_was_changed_with_sqlite_itself_is_named(
    data: Path, tmp_path: Path, table: str, change: str
) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    with closing(sqlite3.connect(copy / "state.db", isolation_level=None)) as db:
        db.execute(change)
    said = found_in(copy)
    assert "state.db" in said
    assert table in said or "size" in said or "head" in said, said


@pytest.mark.parametrize("entry", [0, 5, 1000, -1, "first"])
def test_a_lot_that_no_longer_names_the_post_that_enrolled_it_is_named(
    data: Path, tmp_path: Path, entry: int | str
) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    with closing(sqlite3.connect(copy / "fleet.db", isolation_level=None)) as db:
        db.execute("UPDATE lots SET entry = ?", (entry,))
    assert "is not the one on the board" in found_in(copy)


def test_a_file_that_is_gone_or_does_not_belong_is_named(data: Path, tmp_path: Path) -> None:
    for path in files(data):
        if path.parts[0] == "log" and path.name != "checkpoint" and path.parent.name == "000.p":
            continue  # partial files of older sizes may be gone
        if path.parts[0] in ("blobs", "keys") or path.suffix == ".db":
            continue  # a maker may upload later; databases are made anew
        copy = shutil.copytree(data, tmp_path / "copy")
        (copy / path).unlink()
        assert path.name in found_in(copy)
        shutil.rmtree(copy)
    copy = shutil.copytree(data, tmp_path / "copy")
    write_file(copy / "log" / "tile" / "0" / "777", bytes(32 * 256))
    write_file(copy / "log" / "notes.txt", b"mine")
    said = found_in(copy)
    assert "777: it is beyond the end" in said
    assert "notes.txt: no file of a log" in said
    for name in ("log.pem", "cosigner.pem"):
        (copy / "keys" / name).unlink()
        assert f"{name}: it is missing" in found_in(copy)


def test_the_command_names_the_file_and_says_what_to_do(tmp_path: Path) -> None:
    with cli_world(tmp_path) as world:
        world.with_maker()
        whole = world.call("board", "fsck", str(world.data))
        assert whole["damaged"] == []
        mark = world.data / "keys" / "largest-signed"
        text = mark.read_bytes()
        mark.write_bytes(b"2" + text[1:])
        code, found = world.code("board", "fsck", str(world.data))
        assert code == 3
        assert [row["file"] for row in found["damaged"]] == [str(mark)]
        assert "copy of the keys" in found["damaged"][0]["advice"]


@pytest.mark.parametrize("damage", ["flipped", "cut off", "gone"])
@pytest.mark.parametrize("file", ["checkpoint", "tile/0/000.p/*", "tile/entries/000.p/*"])
def test_a_log_that_does_not_hold_has_the_exit_code_of_damage_and_advice(
    data: Path, tmp_path: Path, file: str, damage: str
) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    newest = max((copy / "log").glob(file), key=lambda path: path.stat().st_size)
    whole = newest.read_bytes()
    if damage == "gone":
        newest.unlink()
    elif damage == "cut off":
        newest.write_bytes(whole[: len(whole) // 2])
    else:
        newest.write_bytes(bytes([*whole[:-40], whole[-40] ^ 1, *whole[-39:]]))
    result = CliRunner().invoke(fieldpost, ["board", "fsck", str(copy), "--json"])
    assert result.exit_code == 3
    (found,) = json.loads(result.stdout)["damaged"]
    assert found["file"] == str(newest)
    assert "from a mirror or a backup" in found["advice"]


def test_damage_all_over_a_folder_is_named_at_once_and_what_it_leaves_unjudged_is_said(
    data: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    (entries,) = (copy / "log" / "tile" / "entries").glob(f"000.p/{size_of(copy)}")
    blob = next(path for path in (copy / "blobs" / "sha256").rglob("*") if path.is_file())
    harmed = [copy / "log" / "checkpoint", entries, blob, copy / "fleet.db", copy / "catalog.db"]
    for path in harmed:
        whole = path.read_bytes()
        # The middle of a database may be unused; its first page says what it is.
        path.write_bytes(bytes(100) + whole[100:] if path.suffix == ".db" else whole[:-40])
    result = CliRunner().invoke(fieldpost, ["board", "fsck", str(copy), "--json"])
    assert result.exit_code == 3
    said = json.loads(result.stdout)
    assert {row["file"] for row in said["damaged"]} == {str(path) for path in harmed}
    assert all(row["what"] and row["advice"] for row in said["damaged"])
    unjudged = {row["what"] for row in said["not_checked"]}
    assert unjudged >= {
        "signatures, rules and states from entry 0 on",
        "what is in state.db",
        "keys",
        "who signed the manifests",
    }
    in_words = CliRunner().invoke(fieldpost, ["board", "fsck", str(copy)])
    assert in_words.stdout.startswith("Damaged")
    assert all(path.name in in_words.stdout for path in harmed)


def size_of(data: Path) -> int:
    return int((data / "log" / "checkpoint").read_bytes().split(b"\n")[1])


def test_a_fleet_db_of_a_newer_program_is_not_judged_and_its_operator_keeps_it(
    data: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    with closing(sqlite3.connect(copy / "fleet.db", isolation_level=None)) as db:
        db.execute("PRAGMA user_version = 99")
    result = CliRunner().invoke(fieldpost, ["board", "fsck", str(copy), "--json"])
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["damaged"] == []
    (why,) = (row["why"] for row in said["not_checked"] if row["what"] == "what is in fleet.db")
    assert "fleet.db is of version 99, this program knows" in why


@pytest.mark.crash
def test_where_copies_find_no_room_the_check_says_so_and_names_no_damage(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much room there is: none, enough for the first database, or for all but the last."""
    need("mount", "umount")
    codes: list[int] = []
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as disk:
        monkeypatch.setenv("TMPDIR", str(disk))
        while 0 not in codes:
            (disk / "ballast").unlink(missing_ok=True)
            (disk / "ballast").write_bytes(bytes(free_bytes(disk) - len(codes) * STEP_BYTES))
            result = CliRunner().invoke(fieldpost, ["board", "fsck", str(data), "--json"])
            codes.append(result.exit_code)
            if result.exit_code:
                assert isinstance(result.exception, DiskFull), result.output
                assert exit_code(result.exception) == 75
                assert str(result.exception).startswith(f"there is no room in {disk} for copies")
                assert "set TMPDIR" in str(result.exception)
            else:
                assert json.loads(result.stdout)["damaged"] == []
            assert [path.name for path in disk.iterdir()] == ["ballast"]
    assert len(codes) > 3, "the databases are larger than that"
