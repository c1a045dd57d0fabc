# SPDX-License-Identifier: Apache-2.0
"""What a medium holds for sure, and what only the cache of the system knows.

A file has bytes that an fsync made sure, and writes since then. A directory has names that an
fsync made sure, and changes of names since then. Each of those writes and changes may or may not
have reached the medium when the power goes, in any order; a rename between two directories may
leave both names or one of them, never none. `fieldpost.testing.survivors` picks what did.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from stat import S_IMODE
from typing import Final

SECTOR_BYTES: Final = 512


@dataclass(slots=True, eq=False)
class FileNode:
    """A file. `writes` since the last fsync are (offset, bytes), or (size, None) for a cut."""

    mode: int
    kept: bytes = b""
    writes: list[tuple[int, bytes | None]] = field(default_factory=list)

    def whole(self) -> bytes:
        """The content as every process sees it."""
        content = bytearray(self.kept)
        for offset, data in self.writes:
            if data is None:
                del content[offset:]
                content.extend(bytes(offset - len(content)))
            else:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
        return bytes(content)

    def keep(self) -> None:
        """An fsync that worked."""
        self.kept = self.whole()
        self.writes.clear()


@dataclass(frozen=True, slots=True)
class LinkNode:
    """A symbolic link, whose text is on the medium with its name."""

    target: str


@dataclass(slots=True, eq=False)
class DirectoryNode:
    """A directory. `live` is what every process sees: `kept` after all `changes`."""

    mode: int
    kept: "dict[str, Node]" = field(default_factory=dict)
    live: "dict[str, Node]" = field(default_factory=dict)
    changes: "list[Change]" = field(default_factory=list)

    def change(
        self,
        *,
        removes: str | None = None,
        adds: "tuple[str, Node] | None" = None,
        after: "Change | None" = None,
    ) -> "Change":
        """One change of names; if it survives, so does the one that it comes `after`."""
        change = Change(self, removes, adds, after)
        change.apply(self.live)
        self.changes.append(change)
        return change

    def keep(self, last: "Change | None" = None) -> None:
        """An fsync that worked; with `last`, what the journal writes with that change."""
        while self.changes:
            change = self.changes.pop(0)
            change.apply(self.kept)
            change.is_kept = True
            if change.after is not None and not change.after.is_kept:
                change.after.directory.keep(change.after)
            if change is last:
                return


@dataclass(slots=True, eq=False)
class Change:
    """One change of a directory's names, which survives as a whole or not at all."""

    directory: DirectoryNode
    removes: str | None
    adds: "tuple[str, Node] | None"
    after: "Change | None"
    is_kept: bool = False

    def apply(self, names: "dict[str, Node]") -> None:
        """Make the change in `names`."""
        if self.removes is not None:
            names.pop(self.removes, None)
        if self.adds is not None:
            names[self.adds[0]] = self.adds[1]


Node = FileNode | DirectoryNode | LinkNode


def read_tree(folder: Path, *, is_outside: Callable[[str], bool]) -> DirectoryNode:
    """What lies below `folder`, all of it on the medium. Files that are outside are left out."""
    found = DirectoryNode(S_IMODE(folder.stat().st_mode))
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            found.kept[path.name] = LinkNode(str(path.readlink()))
        elif path.is_dir():
            found.kept[path.name] = read_tree(path, is_outside=is_outside)
        elif not is_outside(path.name):
            found.kept[path.name] = FileNode(S_IMODE(path.stat().st_mode), path.read_bytes())
    found.live = dict(found.kept)
    return found


def find_node(root: DirectoryNode, place: PurePath) -> Node | None:
    """The node at a path relative to the tree's root, as every process sees it."""
    node: Node | None = root
    for name in place.parts:
        if not isinstance(node, DirectoryNode):
            return None
        node = node.live.get(name)
    return node


def all_nodes(root: DirectoryNode) -> Iterator[FileNode | DirectoryNode]:
    """Every file and directory that some survivor could hold, each of them once."""
    seen: set[int] = set()
    waiting: list[Node] = [root]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, LinkNode) or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, DirectoryNode):
            waiting += node.kept.values()
            waiting += [change.adds[1] for change in node.changes if change.adds is not None]
