# SPDX-License-Identifier: Apache-2.0
"""Every write of a real process, whoever makes it, and the disk that a power cut leaves at any.

    recorder = Recorder(root, scratch)
    subprocess.Popen(command, env={**os.environ, **recorder.environment})
    recorder.answered()                     so many calls had been made before the last answer
    replay = recorder.replay()
    for at in range(…): replay.go_to(at); survivors_of(replay.tree, …)

`recorder.c` is preloaded into the process, so SQLite's own calls are seen like all others. `Replay`
makes them again in the model of loss that `fieldpost.testing.volatile_disk` has.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from struct import Struct
from typing import Final

import pytest

from fieldpost.testing.volatile_tree import (
    DirectoryNode,
    FileNode,
    LinkNode,
    Node,
    find_node,
    read_tree,
)

SOURCE: Final = Path(__file__).with_name("recorder.c")
_HEAD: Final = Struct("<cIIQQ")
_LIBRARIES: Final = ("-ldl", "-pthread")
_COMPILE: Final = ("-shared", "-fPIC", "-O1", "-U_FORTIFY_SOURCE", "-w")


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changed the disk, or an answer (`what` is "a"). See `recorder.c`."""

    what: str
    first: bytes
    second: bytes
    number: int
    place: int


class Recorder:
    """Records processes below `root`, and takes what is there now for written long ago. Library and
    log go to `scratch`. Skips the test where there is no compiler."""

    def __init__(self, root: Path, scratch: Path) -> None:
        if which("cc") is None or not Path("/proc/self/fd").is_dir():
            pytest.skip("no C compiler (cc), or no Linux: writes cannot be recorded here")
        self.root = root
        self._before = _read(root)
        self._inodes = {path.stat().st_ino: path for path in (root, *root.rglob("*"))}
        self._log = scratch / "recorded"
        self._log.touch()
        self._calls: list[Call] = []
        self._at = 0
        library = scratch / "recorder.so"
        subprocess.run(["cc", *_COMPILE, "-o", str(library), str(SOURCE), *_LIBRARIES], check=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "RECORDED_FOLDER": str(root),
            "RECORDER_LOG": str(self._log),
        }

    def calls(self) -> list[Call]:
        """All calls so far. Raises AssertionError for one that cannot be made again."""
        with self._log.open("rb") as log:
            log.seek(self._at)
            data, at = log.read(), 0
        while at + _HEAD.size <= len(data):
            what, first, second, number, place = _HEAD.unpack_from(data, at)
            begin, end = at + _HEAD.size, at + _HEAD.size + first + second
            if end > len(data):
                break
            call = Call(
                what.decode(), data[begin : begin + first], data[begin + first : end], number, place
            )
            assert call.what != "?", f"{call.first.decode()} changes a file unseen"
            self._calls.append(call)
            at = end
        self._at += at
        return self._calls

    def answered(self) -> int:
        """How many calls there were when the newest answer was about to be sent, it included."""
        numbers = (n for n, call in reversed(list(enumerate(self.calls(), 1))) if call.what == "a")
        return next(numbers)

    def replay(self, *, forget: Callable[[str], bool] = lambda _: False) -> "Replay":
        """All of it, from the beginning. `forget` picks fsyncs to leave out, by the path that
        their file had at first."""
        return Replay(self.root, deepcopy(self._before), self._inodes, self.calls(), forget=forget)

    def check_complete(self) -> None:
        """Check that all calls made again give what is there now: none was missed."""
        replay = self.replay()
        replay.go_to(len(self.calls()))
        made, found = dict(_files(replay.tree)), dict(_files(_read(self.root)))
        wrong = sorted(name for name in made.keys() | found if made.get(name) != found.get(name))
        assert not wrong, f"not all writes were seen: {wrong}"


def _read(root: Path) -> DirectoryNode:
    return read_tree(root, is_outside=lambda name: name.endswith("-shm"))


def _files(directory: DirectoryNode, above: str = "") -> Iterator[tuple[str, bytes | str]]:
    """Every path and its content, a link's text, or nothing, as processes see them."""
    for name, node in directory.live.items():
        match node:
            case FileNode():
                yield above + name, node.whole()
            case LinkNode(target):
                yield above + name, target
            case DirectoryNode():
                yield f"{above}{name}/", b""
                yield from _files(node, f"{above}{name}/")


class Replay:
    """`tree`, in which `calls` are made, one after the other; `at` of them so far."""

    def __init__(
        self,
        root: Path,
        tree: DirectoryNode,
        inodes: dict[int, Path],
        calls: Sequence[Call],
        *,
        forget: Callable[[str], bool],
    ) -> None:
        self.at = 0
        self.forgotten = 0
        self.tree = tree
        self._root = root
        self._calls = calls
        self._forget = forget
        self._paths = {number: str(path.relative_to(root)) for number, path in inodes.items()}
        found = {number: find_node(tree, Path(path)) for number, path in self._paths.items()}
        self._nodes = {number: node for number, node in found.items() if node is not None}

    def go_to(self, count: int) -> None:
        """Make the calls up to so many from the first."""
        while self.at < count:
            self._make(self._calls[self.at])
            self.at += 1

    def _make(self, call: Call) -> None:
        match call.what:
            case "a":
                return
            case "c" | "d":
                made = (FileNode if call.what == "c" else DirectoryNode)(call.place)
                self._nodes[call.number] = made
                self._paths[call.number] = str(self._relative(call.first))
                directory, name = self._place(call.first)
                directory.change(adds=(name, made))
            case "w":
                self._file(call).writes.append((call.place, call.first))
            case "t":
                if call.place != len(self._file(call).whole()):
                    self._file(call).writes.append((call.place, None))
            case "f":
                self._keep(call)
            case "u" | "D":
                directory, name = self._place(call.first)
                directory.change(removes=name)
            case "l" | "s":
                text = call.first
                node = self._named(text) if call.what == "l" else LinkNode(text.decode())
                directory, name = self._place(call.second)
                directory.change(adds=(name, node))
            case "r":
                self._rename(call)
            case what:
                raise AssertionError(f"nobody writes down {what!r}")

    def _keep(self, call: Call) -> None:
        if self._forget(self._paths[call.number]):
            self.forgotten += 1
            return
        node = self._nodes[call.number]
        assert isinstance(node, FileNode | DirectoryNode)
        node.keep()

    def _rename(self, call: Call) -> None:
        (before, old), (after, new) = self._place(call.first), self._place(call.second)
        node = self._named(call.first)
        if before is after:
            before.change(removes=old, adds=(new, node))
        else:
            before.change(removes=old, after=after.change(adds=(new, node)))

    def _relative(self, path: bytes) -> Path:
        return Path(path.decode()).relative_to(self._root)

    def _named(self, path: bytes) -> Node:
        node = find_node(self.tree, self._relative(path))
        assert node is not None, f"{path!r} was not there when the recording began"
        return node

    def _place(self, path: bytes) -> tuple[DirectoryNode, str]:
        place = self._relative(path)
        directory = find_node(self.tree, place.parent)
        assert isinstance(directory, DirectoryNode), f"{path!r} has no directory"
        return directory, place.name

    def _file(self, call: Call) -> FileNode:
        node = self._nodes[call.number]
        assert isinstance(node, FileNode)
        return node
