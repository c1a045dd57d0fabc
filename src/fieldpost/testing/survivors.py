# SPDX-License-Identifier: Apache-2.0
"""What a power cut may leave of a `VolatileDisk`: the worst cases, and some by lot.

    for survivor in survivors(disk, chance=Random(seed)):
        survivor.write_to(folder)           a directory for the next start

The worst cases: nothing that was not fsynced; everything; every name without its bytes, with zeros
and with garbage instead of them; each change of a name alone, and all but it. By lot: each change
of a name on its own, and each sector of each write, new, old, zero or garbage. A tree that could
come out in two ways is given once.

Bytes beside those of a write stay what they were, also in its sector: SQLite relies on that
(SQLITE_IOCAP_POWERSAFE_OVERWRITE), and drives that write whole sectors keep it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

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


Found = tuple[int, bytes] | str | int
"""(mode, bytes) of a file, a link's text, or the mode of a directory."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """One tree that a cut may leave. `how` says what was lost, `files` are by relative path."""

    how: str
    files: dict[str, Found]

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
        yield from survivors_of(disk.tree, chance=chance, by_lot=by_lot, besides=databases)


def survivors_of(
    tree: DirectoryNode, *, chance: Chance, by_lot: int, besides: Mapping[str, Found] | None = None
) -> Iterator[Survivor]:
    """`survivors` of a tree, with files `besides` that are as they are in each of them."""
    seen: set[bytes] = set()
    for fate in list(_fates(tree, chance, by_lot)):
        survivor = Survivor(fate.how, _tree_of(tree, fate) | dict(besides or {}))
        if survivor.digest not in seen:
            seen.add(survivor.digest)
            yield survivor


def _fates(root: DirectoryNode, chance: Chance, by_lot: int) -> Iterator[_Fate]:
    nodes = list(all_nodes(root))
    changes = [c for node in nodes if isinstance(node, DirectoryNode) for c in node.changes]
    yield _Fate("nothing else", _never, _kept)
    yield _Fate("everything", _always, FileNode.whole)
    yield _Fate("every name, no bytes", _always, _kept)
    yield _Fate("every name, zeros", _always, lambda file: _settle(file, lambda: _Sector.ZEROS))
    yield _Fate("every name, garbage", _always, lambda file: _settle(file, lambda: _Sector.GARBAGE))
    for number, change in enumerate(changes):
        yield _Fate(f"name {number} alone", _is(change), FileNode.whole)
        yield _Fate(f"all names but {number}", _is_not(change), FileNode.whole)
    for number in range(by_lot if changes or any(_is_unsynced(node) for node in nodes) else 0):
        lots = {id(change): chance.randrange(2) == 0 for change in changes}
        torn = {
            id(node): _settle(node, lambda: _LOTS[chance.randrange(len(_LOTS))])
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


class _Sector(Enum):
    """What became of as much of a write as went to one sector."""

    NEW = auto()
    OLD = auto()
    ZEROS = auto()
    GARBAGE = auto()


_LOTS: Final = (_Sector.NEW, _Sector.NEW, _Sector.OLD, _Sector.ZEROS, _Sector.GARBAGE)


def _settle(file: FileNode, draw: Callable[[], _Sector]) -> bytes:
    """What was fsynced, and of every sector of every write after that what is drawn."""
    content = bytearray(file.kept)
    for offset, data in file.writes:
        if data is None:
            if draw() is not _Sector.OLD:
                del content[offset:]
                content.extend(bytes(offset - len(content)))
            continue
        at = offset
        while at < offset + len(data):
            end = min(at - at % SECTOR_BYTES + SECTOR_BYTES, offset + len(data))
            became = draw()
            if became is not _Sector.OLD:
                content.extend(bytes(max(0, at - len(content))))
                content[at:end] = _became(became, data[at - offset : end - offset])
            at = end
    return bytes(content)


def _became(sector: _Sector, data: bytes) -> bytes:
    match sector:
        case _Sector.ZEROS:
            return bytes(len(data))
        case _Sector.GARBAGE:
            # What a medium may give for a sector that was never written: somebody's old bytes.
            return (sha256(b"old sectors").digest() * (len(data) // 32 + 1))[: len(data)]
    return data


def _tree_of(root: DirectoryNode, fate: _Fate) -> dict[str, Found]:
    files: dict[str, Found] = {}

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


def _read_databases(root: Path) -> dict[str, Found]:
    """SQLite's files as they stand; its index of the log lies in memory alone."""
    found: dict[str, Found] = {}
    for path in root.rglob("*.db*"):
        if is_database(path.name) and not path.name.endswith("-shm"):
            with suppress(FileNotFoundError):
                found[str(path.relative_to(root))] = (0o600, path.read_bytes())
    return found
