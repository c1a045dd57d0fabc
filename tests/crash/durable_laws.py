# SPDX-License-Identifier: Apache-2.0
"""What each function of `durable` promises of any power cut, as laws that a campaign can try.

A law prepares a folder, acts on it through a disk, and judges the folder that a cut left: `always`
at any moment, `returned` once the call has come back.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from fieldpost import durable
from fieldpost.durable import Disk
from fieldpost.testing.survivors import survivors
from fieldpost.testing.volatile_disk import VolatileDisk

OLD: Final = b"old content" * 3
NEW: Final = bytes(range(256)) * 6
LOTS: Final = 4


@dataclass(frozen=True, slots=True)
class Law:
    """One promise. `prepare` makes what is on the medium before `act`."""

    name: str
    prepare: Callable[[Path], None]
    act: Callable[[Path, Disk], None]
    always: Callable[[Path], bool]
    returned: Callable[[Path], bool]


def broken(law: Law, folder: Path, make_disk: Callable[[Path], VolatileDisk]) -> list[str]:
    """Every survivor of every cut that breaks the law; empty if it holds.

    `make_disk` gives the disk over a folder; `folder` is empty.
    """
    root, chance, found = folder / "live", Random(law.name), list[str]()
    root.mkdir()
    law.prepare(root)
    disk = make_disk(root)
    moment = 0

    def judge(what: str, holds: Callable[[Path], bool]) -> None:
        nonlocal moment
        for survivor in survivors(disk, chance=chance, by_lot=LOTS):
            moment += 1
            target = folder / str(moment)
            survivor.write_to(target)
            if not holds(target):
                found.append(f"{law.name}, {what}, of which there is {survivor.how}")

    disk.on_change = lambda what: judge(f"after {what}", law.always)
    law.act(root, disk)
    judge("after its return", law.returned)
    return found


def content(path: Path) -> bytes | None:
    """What stands at `path`; None if nothing does."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _nothing(_: Path) -> None:
    pass


def _old_record(root: Path) -> None:
    (root / "record").write_bytes(OLD)


def _holds(name: str, *allowed: bytes | None) -> Callable[[Path], bool]:
    return lambda root: content(root / name) in allowed


def _two_old_folders(root: Path) -> None:
    for name in ("a", "b"):
        (root / name).mkdir()
        (root / name / "record").write_bytes(OLD)


def _write_two(root: Path, disk: Disk) -> None:
    durable.write_files({root / "a/record": NEW, root / "b/record": NEW}, disk=disk)


def _both(allowed: tuple[bytes, ...]) -> Callable[[Path], bool]:
    return lambda root: {content(root / name / "record") for name in "ab"} <= {*allowed}


def _old_link(root: Path) -> None:
    (root / "current").symlink_to("a")


def _points_to(*allowed: str) -> Callable[[Path], bool]:
    return lambda root: str((root / "current").readlink()) in allowed


def _old_folder(root: Path) -> None:
    (root / "full").mkdir()
    (root / "full" / "one").write_bytes(OLD)


def _moved(root: Path) -> bool:
    """Under the one name or the other, and whole under the new one."""
    here, there = content(root / "incoming/image"), content(root / "image")
    return NEW in (here, there) and there in (None, NEW)


def _incoming(root: Path) -> None:
    (root / "incoming").mkdir()
    (root / "incoming" / "image").write_bytes(NEW)


def _publish_what_nobody_synced(root: Path, disk: Disk) -> None:
    with durable.open_partial(root / "image.part", disk=disk) as partial:
        partial.append(NEW)
    durable.publish(root / "image.part", root / "image", disk=disk)


def _append(root: Path, disk: Disk) -> None:
    durable.append_stream(root / "record", 0, [NEW[:700], NEW[700:]], disk=disk)


def _append_and_sync(root: Path, disk: Disk) -> None:
    with durable.open_partial(root / "record", disk=disk) as partial:
        partial.append(NEW)
        partial.sync()


def _remade(root: Path, disk: Disk) -> None:
    """A process that ended after it made a directory, and the next one, which finds it there."""
    disk.mkdir(root / "a", 0o755)
    durable.make_dirs(root / "a", disk=disk)
    durable.write_file(root / "a/record", NEW, disk=disk)


def _taken_over(root: Path, disk: Disk) -> None:
    """A process that ended after it removed a name, and the next one, which reads that it did."""
    disk.unlink(root / "record")
    durable.remove_leftovers(root, disk=disk)


def _anything(_: Path) -> bool:
    return True


LAWS: Final = (
    Law(
        "write_file replaces whole or not at all",
        _old_record,
        lambda root, disk: durable.write_file(root / "record", NEW, disk=disk),
        _holds("record", OLD, NEW),
        _holds("record", NEW),
    ),
    Law(
        "write_files replaces each whole or not at all",
        _two_old_folders,
        _write_two,
        _both((OLD, NEW)),
        _both((NEW,)),
    ),
    Law(
        "create_file makes a whole file or none",
        _nothing,
        lambda root, disk: durable.create_file(root / "record", NEW, disk=disk),
        _holds("record", None, NEW),
        _holds("record", NEW),
    ),
    Law(
        "replace_link leads to the old target or the new one",
        _old_link,
        lambda root, disk: durable.replace_link(root / "current", "b", disk=disk),
        _points_to("a", "b"),
        _points_to("b"),
    ),
    Law(
        "remove removes",
        _old_record,
        lambda root, disk: durable.remove(root / "record", disk=disk),
        _holds("record", OLD, None),
        _holds("record", None),
    ),
    Law(
        "remove_directory removes",
        _old_folder,
        lambda root, disk: durable.remove_directory(root / "full", disk=disk),
        _anything,
        lambda root: not (root / "full").exists(),
    ),
    Law(
        "make_dirs makes every level",
        _nothing,
        lambda root, disk: durable.make_dirs(root / "a/b/c", disk=disk),
        _anything,
        lambda root: (root / "a/b/c").is_dir(),
    ),
    Law(
        "make_dirs answers for a directory that it finds",
        _nothing,
        _remade,
        _anything,
        _holds("a/record", NEW),
    ),
    Law(
        "remove_leftovers answers for what the process before left",
        _old_record,
        _taken_over,
        _holds("record", OLD, None),
        _holds("record", None),
    ),
    Law(
        "publish gives a whole file its name",
        _nothing,
        _publish_what_nobody_synced,
        _holds("image", None, NEW),
        _holds("image", NEW),
    ),
    Law(
        "publish moves between directories",
        _incoming,
        lambda root, disk: durable.publish(root / "incoming/image", root / "image", disk=disk),
        _moved,
        lambda root: content(root / "image") == NEW and content(root / "incoming/image") is None,
    ),
    Law("append_stream keeps what came", _nothing, _append, _anything, _holds("record", NEW)),
    Law("sync keeps what came", _nothing, _append_and_sync, _anything, _holds("record", NEW)),
)
