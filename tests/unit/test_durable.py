# SPDX-License-Identifier: Apache-2.0
"""Whatever fails, and wherever the power goes: the old content or the new one is there, whole."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from fieldpost import durable
from fieldpost.errors import Conflict, Unavailable
from fieldpost.testing.faults import FaultyDisk, PowerCut

OLD, NEW = b"old content", b"new and longer content" * 100

FAULTS = [
    pytest.param({"when": when, "power_cut": power_cut}, id=f"{kind}-{when}")
    for when in ("before", "after")
    for power_cut, kind in ((False, "error"), (True, "power cut"))
]


def every_fault(kind: dict[str, object], act: Callable[[FaultyDisk], None]) -> Iterator[bool]:
    """Run `act` with a fault at its first, second, … call, until a run has no fault left.

    Yields after each run whether `act` came back without an error.
    """
    for fail_at in count():
        disk = FaultyDisk(fail_at=fail_at, largest_write=1000, **kind)  # type: ignore[arg-type]
        try:
            act(disk)
        except (Unavailable, PowerCut):
            yield False
        else:
            yield True
            if len(disk.calls) <= fail_at:
                return


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_write_file_replaces_the_content(tmp_path: Path) -> None:
    path = tmp_path / "record"
    durable.write_file(path, OLD)
    durable.write_file(path, NEW)
    assert path.read_bytes() == NEW
    assert names(tmp_path) == {"record"}


def test_write_file_syncs_the_file_before_and_the_directory_after_the_rename(
    tmp_path: Path,
) -> None:
    disk = FaultyDisk()
    durable.write_file(tmp_path / "record", NEW, disk=disk)
    assert disk.calls == ["open", "write", "fsync", "close", "rename", "open", "fsync", "close"]


def test_create_file_syncs_the_file_before_it_has_its_name(tmp_path: Path) -> None:
    disk = FaultyDisk()
    durable.create_file(tmp_path / "record", NEW, disk=disk)
    assert disk.calls == [
        *("open", "write", "fsync", "close"),
        *("link", "unlink", "open", "fsync", "close"),
    ]


@pytest.mark.parametrize("mode", [0o600, 0o644])
@pytest.mark.parametrize("save", [durable.write_file, durable.create_file])
def test_a_new_file_has_the_asked_mode(
    save: Callable[..., None], mode: int, tmp_path: Path
) -> None:
    before = os.umask(0o022)
    try:
        save(tmp_path / "record", NEW, mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "record").stat().st_mode) == mode


@pytest.mark.parametrize("kind", FAULTS)
def test_write_file_leaves_the_old_content_or_the_new_one(
    kind: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "record"
    path.write_bytes(OLD)
    runs = 0
    for succeeded in every_fault(kind, lambda disk: durable.write_file(path, NEW, disk=disk)):
        runs += 1
        assert path.read_bytes() in ({NEW} if succeeded else {OLD, NEW})
        if not kind["power_cut"] and kind["when"] == "before":
            assert names(tmp_path) == {"record"}, "an error leaves no temporary file"
        path.write_bytes(OLD)
    assert runs > 8
    durable.remove_leftovers(tmp_path)
    assert names(tmp_path) == {"record"}


@pytest.mark.parametrize("kind", FAULTS)
def test_create_file_leaves_nothing_or_the_whole_file(
    kind: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "record"
    for succeeded in every_fault(kind, lambda disk: durable.create_file(path, NEW, disk=disk)):
        assert path.exists() or not succeeded
        if path.exists():
            assert path.read_bytes() == NEW
            path.unlink()


@pytest.mark.parametrize("kind", FAULTS)
def test_replace_link_leaves_the_old_target_or_the_new_one(
    kind: dict[str, object], tmp_path: Path
) -> None:
    link = tmp_path / "current"
    link.symlink_to("slot-a")
    for succeeded in every_fault(
        kind, lambda disk: durable.replace_link(link, "slot-b", disk=disk)
    ):
        assert str(link.readlink()) in ({"slot-b"} if succeeded else {"slot-a", "slot-b"})
        link.unlink()
        link.symlink_to("slot-a")


@pytest.mark.parametrize("kind", FAULTS)
def test_publish_leaves_the_file_whole_under_one_of_its_names(
    kind: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "incoming").mkdir()
    partial, final = tmp_path / "incoming" / "image", tmp_path / "image"
    partial.write_bytes(NEW)
    for succeeded in every_fault(kind, lambda disk: durable.publish(partial, final, disk=disk)):
        assert partial.exists() != final.exists()
        assert final.exists() or not succeeded
        if final.exists():
            final.rename(partial)
        assert partial.read_bytes() == NEW


def test_publish_syncs_what_the_writer_did_not(tmp_path: Path) -> None:
    partial = tmp_path / "image.part"
    partial.write_bytes(NEW)
    disk = FaultyDisk()
    durable.publish(partial, tmp_path / "image", disk=disk)
    assert disk.calls.index("fsync") < disk.calls.index("rename")


def test_create_file_refuses_a_taken_name(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(OLD)
    with pytest.raises(Conflict):
        durable.create_file(path, NEW)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == {"key"}


def test_a_link_in_the_way_is_no_way_to_another_file(tmp_path: Path) -> None:
    """Writing replaces a link itself; what it points to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    link = tmp_path / "link"
    link.symlink_to("victim")
    durable.write_file(link, NEW)
    assert victim.read_bytes() == OLD
    assert link.read_bytes() == NEW
    trap = tmp_path / "partial"
    trap.symlink_to("victim")
    with pytest.raises(Unavailable):
        durable.open_partial(trap)


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "free some space"), (errno.EROFS, "remount"), (errno.EIO, "check its health")],
)
def test_an_error_of_the_disk_says_what_to_do(number: int, advice: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=advice) as caught:
        durable.write_file(tmp_path / "record", NEW, disk=FaultyDisk(fail_at=1, error=number))
    assert str(tmp_path / "record") in str(caught.value)


def test_a_missing_directory_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="directory does not exist"):
        durable.write_file(tmp_path / "absent" / "record", NEW)


def test_make_dirs_makes_what_is_missing_and_syncs_each_parent(tmp_path: Path) -> None:
    disk = FaultyDisk()
    durable.make_dirs(tmp_path / "a" / "b", disk=disk)
    assert (tmp_path / "a" / "b").is_dir()
    sync = ["open", "fsync", "close"]
    assert disk.calls == [*sync, "mkdir", *sync, "mkdir", *sync]
    again = FaultyDisk()
    durable.make_dirs(tmp_path / "a" / "b", disk=again)
    assert again.calls == sync, "whoever made it may have been killed before that"


def test_make_dirs_takes_a_directory_whose_parent_it_may_not_read(tmp_path: Path) -> None:
    """As a service does whose folder lies below one that is the system's alone."""
    (tmp_path / "a").mkdir()
    disk = FaultyDisk(fail_at=0, error=errno.EACCES)
    durable.make_dirs(tmp_path / "a", disk=disk)
    assert disk.calls == ["open"]


def test_fsync_asks_the_system(tmp_path: Path) -> None:
    """A descriptor that cannot be synced tells: where nothing is asked, nothing is refused."""
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            durable.OS.fsync(reader)
    finally:
        os.close(reader)
        os.close(writer)


def test_make_dirs_refuses_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(OLD)
    with pytest.raises(Unavailable):
        durable.make_dirs(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == OLD


def test_remove_is_durable_and_may_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "record").write_bytes(OLD)
    disk = FaultyDisk()
    durable.remove(tmp_path / "record", disk=disk)
    durable.remove(tmp_path / "record", disk=disk)
    assert names(tmp_path) == set()
    assert disk.calls == ["unlink", "open", "fsync", "close", "unlink"]


def test_remove_leftovers_spares_every_other_name(tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        durable.write_file(tmp_path / "a", NEW, disk=FaultyDisk(fail_at=2, power_cut=True))
    for name in ("record.tmp", ".hidden", ".0123.tmp"):
        (tmp_path / name).touch()
    assert len(names(tmp_path)) == 4
    durable.remove_leftovers(tmp_path)
    assert names(tmp_path) == {"record.tmp", ".hidden", ".0123.tmp"}


def test_a_transfer_is_taken_up_where_it_stopped(tmp_path: Path) -> None:
    partial, final = tmp_path / "image.part", tmp_path / "image"

    def broken() -> Iterator[bytes]:
        yield b"first "
        raise Unavailable("the connection broke")

    with pytest.raises(Unavailable, match="connection"):
        durable.append_stream(partial, 0, broken())
    size = durable.append_stream(partial, 6, [b"second ", b"third"])
    durable.publish(partial, final)
    assert final.read_bytes() == b"first second third"
    assert size == 18
    assert names(tmp_path) == {"image"}


def test_a_transfer_at_another_offset_is_refused_with_the_size_that_stands(tmp_path: Path) -> None:
    partial = tmp_path / "image.part"
    durable.append_stream(partial, 0, [b"12345"])
    for offset in (0, 4, 6):
        with pytest.raises(Conflict) as caught:
            durable.append_stream(partial, offset, [b"x"])
        assert caught.value.current == "5"
    assert partial.read_bytes() == b"12345"


def test_a_partial_file_counts_what_was_taken_even_when_the_disk_fills_up(tmp_path: Path) -> None:
    """The caller resumes at `size`, so a byte counted wrongly would corrupt the transfer."""
    disk = FaultyDisk(fail_at=4, error=errno.ENOSPC, largest_write=4)
    partial = durable.open_partial(tmp_path / "image.part", disk=disk)
    with pytest.raises(Unavailable, match="full"):
        partial.append(b"0123456789")
    partial.close()
    assert partial.size == 8
    assert (tmp_path / "image.part").read_bytes() == b"01234567"


def test_a_partial_file_can_start_anew(tmp_path: Path) -> None:
    with durable.open_partial(tmp_path / "image.part") as partial:
        partial.append(b"wrong bytes")
        partial.truncate(0)
        partial.append(b"right")
        partial.sync()
        assert partial.size == 5
    assert (tmp_path / "image.part").read_bytes() == b"right"


@pytest.mark.parametrize("save", [durable.write_file, durable.create_file])
def test_no_descriptor_leaks_whatever_fails(save: Callable[..., None], tmp_path: Path) -> None:
    opened = Path("/proc/self/fd")
    if not opened.is_dir():
        pytest.skip("descriptors are counted in /proc, which this system has not")
    before = len(list(opened.iterdir()))
    for number in range(9):
        disk = FaultyDisk(fail_at=number)
        try:
            save(tmp_path / f"record-{number}", NEW, disk=disk)
        except Unavailable:
            continue
    assert len(list(opened.iterdir())) == before


def test_write_files_syncs_every_file_before_its_name_and_each_directory_once(
    tmp_path: Path,
) -> None:
    disk = FaultyDisk()
    durable.write_files({tmp_path / "a": b"1", tmp_path / "b": b"2"}, disk=disk)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"1", "b": b"2"}
    filled = ["open", "write", "open", "write", "fsync", "fsync", "close", "close"]
    assert disk.calls == [*filled, "rename", "rename", "open", "fsync", "close"]


def test_no_files_are_written_without_complaint(tmp_path: Path) -> None:
    durable.write_files({})
    durable.write_files({}, new=[tmp_path / "new"])
    assert (tmp_path / "new").is_dir()


def test_write_files_makes_the_directories_that_are_missing_durable(tmp_path: Path) -> None:
    disk = FaultyDisk()
    folder = tmp_path / "a" / "b"
    durable.write_files({folder / "c": b"1"}, new=[folder], disk=disk)
    assert (folder / "c").read_bytes() == b"1"
    # The new directory, the one above it, and the one in which that one is new.
    synced = disk.calls[disk.calls.index("rename") + 1 :]
    assert synced == ["open"] * 4 + ["fsync"] * 4 + ["close"] * 4


@pytest.mark.parametrize("number", range(16))
def test_write_files_leaves_whole_files_and_nothing_else_whatever_fails(
    tmp_path: Path, number: int
) -> None:
    files = {tmp_path / "a": b"1", tmp_path / "b": b"2"}
    with suppress(Unavailable):
        durable.write_files(files, disk=FaultyDisk(fail_at=number))
    found = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert found.items() <= files.items()


def test_fsyncs_side_by_side_tell_of_the_one_that_failed(tmp_path: Path) -> None:
    files = [os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT) for name in "abc"]
    os.close(files[1])
    # By a thread of its own, and by the caller's.
    for order in (files, [files[0], files[2], files[1]]):
        with pytest.raises(OSError, match="descriptor"):
            durable.OS.fsync_many(order)
    durable.OS.fsync_many([files[0], files[2]])
    os.close(files[0])
    os.close(files[2])


def test_remove_directory_is_durable_and_may_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"")
    disk = FaultyDisk()
    durable.remove_directory(folder, disk=disk)
    durable.remove_directory(folder, disk=disk)
    assert not folder.exists()
    assert disk.calls == ["unlink", "rmdir", "open", "fsync", "close"]


def test_discard_directory_waits_for_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(b"")
    disk = FaultyDisk()
    durable.discard_directory(folder, disk=disk)
    durable.discard_directory(folder, disk=disk)
    assert not folder.exists()
    assert disk.calls == ["unlink", "rmdir"]


def test_writing_no_files_changes_nothing() -> None:
    disk = FaultyDisk()
    durable.write_files({}, disk=disk)
    assert not {"open", "write", "rename"} & set(disk.calls)
