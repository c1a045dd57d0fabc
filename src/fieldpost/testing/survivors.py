# SPDX-License-Identifier: Apache-2.0
"""What a power cut may leave of a `VolatileDisk`: the worst cases, and some by lot.

    for survivor in survivors(disk, chance=Random(seed)):
        survivor.write_to(folder)           a directory for the next start

The worst cases: nothing that was not fsynced; everything; every name without its bytes, with zeros
and with garbage instead of them; each change of a name alone, and all but it. By lot: each change
of a name on its own, and each sector of each write, new, old, zero or garbage. A tree that could
come out in two ways is given once.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from fieldpost.testing.volatile_disk import VolatileDisk, is_database
from fieldpost.testing.volatile_tree import (
    SECTOR_BYTES,
    Change,
    DirectoryNode,
    FileNode,
    LinkNode,
    all_nodes,
)


class Chance(Protocol):
    """As much of `random.Random` as is needed here."""

    def randrange(self, stop: int, /) -> int:
        """A number from 0 to `stop` - 1."""
        ...


@dataclass(frozen=True, slots=True)
class Survivor:
    """One tree that a cut may leave. `how` says what was lost, `files` are by relative path:
    (mode, bytes), a link's text, or the mode of a directory."""

    how: str
    files: dict[str, tuple[int, bytes] | str | int]

    @property
    def digest(self) -> bytes:
        """Equal for equal trees."""
        digest = sha256()
        for name, what in sorted(self.files.items()):
            mode, content = what if isinstance(what, tuple) else (what, b"")
            digest.update(repr((name, mode, len(content))).encode() + content)
        return digest.digest()

    def write_to(self, folder: Path) -> None:
        """Make `folder` this tree, without an fsync."""
        folder.mkdir()
        for name, what in self.files.items():
            path = folder / name
            match what:
                case str(target):
                    path.symlink_to(target)
                case int(mode):
                    path.mkdir(mode)
                case (mode, content):
                    path.write_bytes(content)
                    path.chmod(mode)


@dataclass(frozen=True, slots=True)
class _Fate:
    how: str
    keeps: Callable[[Change], bool]
    content: Callable[[FileNode], bytes]


def survivors(disk: VolatileDisk, *, chance: Chance, by_lot: int = 2) -> Iterator[Survivor]:
    """Every worst case and `by_lot` others, without repetition."""
    with disk.lock:
        databases = _read_databases(disk.root)
        seen: set[bytes] = set()
        for fate in list(_fates(disk.tree, chance, by_lot)):
            survivor = Survivor(fate.how, _tree_of(disk.tree, fate) | databases)
            if survivor.digest not in seen:
                seen.add(survivor.digest)
                yield survivor


def _fates(root: DirectoryNode, chance: Chance, by_lot: int) -> Iterator[_Fate]:
    nodes = list(all_nodes(root))
    changes = [c for node in nodes if isinstance(node, DirectoryNode) for c in node.changes]
    yield _Fate("nothing else", _never, _kept)
    yield _Fate("everything", _always, FileNode.whole)
    yield _Fate("every name, no bytes", _always, _kept)
    yield _Fate("every name, zeros", _always, lambda file: bytes(len(file.whole())))
    yield _Fate("every name, garbage", _always, lambda file: _garbage(len(file.whole())))
    for number, change in enumerate(changes):
        yield _Fate(f"name {number} alone", _is(change), FileNode.whole)
        yield _Fate(f"all names but {number}", _is_not(change), FileNode.whole)
    for number in range(by_lot if changes or any(_is_unsynced(node) for node in nodes) else 0):
        lots = {id(change): chance.randrange(2) == 0 for change in changes}
        torn = {
            id(node): _tear(node, chance)
            for node in nodes
            if isinstance(node, FileNode) and node.writes
        }
        yield _Fate(
            f"lot {number}",
            lambda change, lots=lots: lots[id(change)],  # type: ignore[misc]
            lambda file, torn=torn: torn.get(id(file), file.kept),  # type: ignore[misc]
        )


def _never(_: Change) -> bool:
    return False


def _always(_: Change) -> bool:
    return True


def _is(one: Change) -> Callable[[Change], bool]:
    return lambda change: change is one


def _is_not(one: Change) -> Callable[[Change], bool]:
    return lambda change: change is not one


def _kept(file: FileNode) -> bytes:
    return file.kept


def _is_unsynced(node: FileNode | DirectoryNode) -> bool:
    return isinstance(node, FileNode) and bool(node.writes)


def _garbage(count: int) -> bytes:
    """What a medium may give for sectors that were never written: somebody's old bytes."""
    return (sha256(b"old sectors").digest() * (count // 32 + 1))[:count]


def _tear(file: FileNode, chance: Chance) -> bytes:
    """The content after some sectors of some writes; the length is that of before or of after."""
    new, old = file.whole(), file.kept
    size = len(new) if chance.randrange(4) else len(old)
    torn = bytearray()
    for at in range(0, size, SECTOR_BYTES):
        end = min(at + SECTOR_BYTES, size)
        sector = (new, new, old, bytes(size), _garbage(size))[chance.randrange(5)][at:end]
        # What the file had before stays where it was not written: only what is new can be garbage.
        if new[at:end] == old[at:end]:
            sector = old[at:end]
        torn += sector.ljust(end - at, b"\0")
    return bytes(torn)


def _tree_of(root: DirectoryNode, fate: _Fate) -> dict[str, tuple[int, bytes] | str | int]:
    files: dict[str, tuple[int, bytes] | str | int] = {}

    def collect(directory: DirectoryNode, prefix: str) -> None:
        names = dict(directory.kept)
        for change in directory.changes:
            if fate.keeps(change) and _is_possible(change, fate):
                change.apply(names)
        for name, node in sorted(names.items()):
            match node:
                case LinkNode(target):
                    files[prefix + name] = target
                case FileNode():
                    # Without an unfinished write there is nothing that could be torn.
                    content = fate.content(node) if node.writes else node.kept
                    files[prefix + name] = (node.mode, content)
                case DirectoryNode():
                    files[prefix + name] = node.mode
                    collect(node, f"{prefix}{name}/")

    collect(root, "")
    return files


def _is_possible(change: Change, fate: _Fate) -> bool:
    after = change.after
    return after is None or after.is_kept or fate.keeps(after)


def _read_databases(root: Path) -> dict[str, tuple[int, bytes] | str | int]:
    """SQLite's files as they stand; its index of the log lies in memory alone."""
    found: dict[str, tuple[int, bytes] | str | int] = {}
    for path in root.rglob("*.db*"):
        if is_database(path.name) and not path.name.endswith("-shm"):
            with suppress(FileNotFoundError):
                found[str(path.relative_to(root))] = (0o600, path.read_bytes())
    return found
