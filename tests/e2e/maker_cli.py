# SPDX-License-Identifier: Apache-2.0
"""Real command-line processes of a maker, and a real node process, for the tests beside this."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLI = [sys.executable, "-m", "fieldpost.cli"]
PASSPHRASE = "correct horse battery"
_OURS = "FIELDPOST_"


def environment(**more: str) -> dict[str, str]:
    """The outer environment without any setting of ours, plus `more`."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return outer | more


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed with --json."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """What it said with --json when it failed: one object, and nothing on stdout."""
        assert self.code != 0, self.out
        assert self.out == ""
        facts: dict[str, Any] = json.loads(self.err)
        assert facts["exit"] == self.code
        assert facts["next"]
        assert "bug" not in facts["error"], facts
        return facts


@dataclass(frozen=True, slots=True)
class Maker:
    """One maker's home, used by processes of the command line."""

    home: Path

    def __call__(self, *arguments: str | Path, **more: str) -> Answer:
        """Run one command to its end."""
        with self.start(*arguments, **more) as process:
            out, err = process.communicate(timeout=60)
        return Answer(process.returncode, out, err)

    def must(self, *arguments: str | Path) -> Any:
        """Run one command, which must succeed: what it says with --json."""
        return self(*arguments, "--json").json

    def start(self, *arguments: str | Path, **more: str) -> "subprocess.Popen[str]":
        """Start one command."""
        settings = {"FIELDPOST_HOME": str(self.home), "FIELDPOST_PASSPHRASE": PASSPHRASE} | more
        return subprocess.Popen(
            [*CLI, *map(str, arguments)],
            env=environment(**settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def settings(self) -> dict[str, Any]:
        """What maker.json holds."""
        found: dict[str, Any] = json.loads((self.home / "maker.json").read_text())
        return found

    def ask_at(self, url: str) -> None:
        """From now on the board's node is at another address."""
        settings = self.settings()
        settings["boards"] |= {settings["board"]: [url]}
        (self.home / "maker.json").write_text(json.dumps(settings))

    def folder(self, name: str) -> list[str]:
        """The names of the files in one of the home's folders."""
        return sorted(path.name for path in (self.home / name).glob("*"))


@contextmanager
def running_node(data: Path, *options: str, port: int = 0) -> Iterator[str]:
    """A node process on this port, or on any; its URL."""
    words = ["--data", str(data), "--listen", f"127.0.0.1:{port}", "--json", *options]
    with subprocess.Popen(
        [*CLI, "node", "run", *words],
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    ) as node:
        try:
            assert node.stdout is not None
            yield json.loads(node.stdout.readline())["url"]
        finally:
            node.terminate()
            node.communicate(timeout=60)


@contextmanager
def running_mirror(data: Path, *sources: str, options: Sequence[str] = ()) -> Iterator[str]:
    """A mirror process on a free port; its URL."""
    words = ["--data", str(data), "--listen", "127.0.0.1:0", "--every", "0.2", "--json", *options]
    with subprocess.Popen(
        [*CLI, "mirror", "run", *sources, *words],
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        text=True,
    ) as mirror:
        try:
            assert mirror.stdout is not None
            yield json.loads(mirror.stdout.readline())["url"]
        finally:
            mirror.terminate()
            mirror.communicate(timeout=60)


def make_maker(home: Path, url: str) -> Maker:
    """A registered maker with one root and unencrypted keys, and a class `bulb`."""
    maker = Maker(home)
    for arguments in (
        ("maker", "init", "--name", "acme", "--one-key", "--no-passphrase"),
        ("maker", "register", "--board", url, "--yes"),
        ("class", "add", "bulb", "--support-end", "2035-01-01"),
    ):
        done = maker(*arguments)
        assert done.code == 0, done.err
    return maker
