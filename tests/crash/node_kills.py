# SPDX-License-Identifier: Apache-2.0
"""A node process under load, killed at random moments, and looked at by a stranger after each.

Two makers post in requests of random sizes; somebody reads the checkpoint all the while. After
every kill the files of the log are read without any code of the node: every receipt is where it
was promised, no post is there twice, and every checkpoint that was ever seen is a prefix.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from fieldpost.client.publisher import Accepted, submit_post, submit_posts
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Rejected, Unavailable
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.tlog.tiles import decode_entry_bundle
from tests.crash.rfc6962 import root_of

READY_S: Final = 60
POSTS: Final = 400
LEAST_ACKNOWLEDGED: Final = 20


@dataclass
class Told:
    """What the node said to anybody, over all its lives."""

    receipts: dict[bytes, int] = field(default_factory=dict)
    checkpoints: dict[int, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    more: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def receipt(self, post: bytes, index: int) -> None:
        with self.lock:
            assert self.receipts.setdefault(post, index) == index, "one post, two receipts"
        self.more.release()

    def checkpoint(self, note: bytes) -> None:
        size, root = note.split(b"\n")[1:3]
        with self.lock:
            assert self.checkpoints.setdefault(int(size), root) == root, "one size, two roots"


@contextmanager
def running(data: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """A node process on a free port; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "fieldpost.cli", "node", "run", "--data", str(data)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"], process
        finally:
            process.kill()


class Poster(threading.Thread):
    """A maker that posts until the node is gone."""

    def __init__(self, url: str, posts: list[bytes], told: Told, chance: Random) -> None:
        super().__init__()
        self._url = url
        self._posts = posts
        self._told = told
        self._chance = chance
        self.refused: list[Rejected] = []

    def run(self) -> None:
        with HttpClient(self._url, timeout_s=60) as http, suppress(Unavailable):
            at = 0
            while at < len(self._posts):
                sent = self._posts[at : at + 1 + self._chance.randrange(12)]
                for post, result in zip(sent, submit_posts(http, sent), strict=True):
                    if isinstance(result, Accepted):
                        self._told.receipt(post, result.index)
                    else:
                        self.refused.append(result)
                at += len(sent)


class Onlooker(threading.Thread):
    """Somebody who reads the checkpoint until the node is gone."""

    def __init__(self, url: str, told: Told) -> None:
        super().__init__()
        self._url = url
        self._told = told

    def run(self) -> None:
        with HttpClient(self._url, timeout_s=60) as http, suppress(Unavailable):
            while True:
                self._told.checkpoint(http.fetch("/log/checkpoint", accept="text/plain"))


class Campaign:
    """One board in `data`, killed again and again. `say` is told what was found."""

    def __init__(self, data: Path, *, seed: int, say: Callable[[str], None]) -> None:
        self._data = data
        self._chance = Random(seed)
        self._say = say
        self.told = Told()
        self._left: list[list[bytes]] = []
        with running(data) as (url, process):
            for name in ("acme", "umbrella"):
                self._left.append(self._posts_of(name, url))
            end(process)

    def _posts_of(self, name: str, url: str) -> list[bytes]:
        world = MirroredBoard(lambda: read_log(self._data), name)
        with HttpClient(url, timeout_s=60) as http:
            for post in (world.maker.registration, world.maker.class_set):
                self.told.receipt(entry := post(), submit_post(http, entry).index)
                world.refresh()
        return [world.maker.release_publish(sequence) for sequence in range(1, POSTS + 1)]

    def round(self) -> None:
        """A restart, load, a kill, and a look; raises AssertionError if a promise was broken."""
        before = len(self.told.receipts)
        self.told.more = threading.Semaphore(0)
        with running(self._data) as (url, process):
            posters = [
                Poster(url, posts, self.told, Random(self._chance.random())) for posts in self._left
            ]
            threads = [*posters, Onlooker(url, self.told)]
            for thread in threads:
                thread.start()
            for _ in range(LEAST_ACKNOWLEDGED):
                assert self.told.more.acquire(timeout=READY_S), "nothing is acknowledged any more"
            # A random moment: nothing is waited for but time itself.
            threading.Event().wait(self._chance.random() * 0.15)
            process.send_signal(signal.SIGKILL)
            process.wait(READY_S)
            for thread in threads:
                thread.join(READY_S)
            assert not [poster.refused for poster in posters if poster.refused]
        entries = self._look()
        there = set(entries)
        self._left = [[post for post in posts if post not in there] for posts in self._left]
        self._say(
            f"killed: {len(self.told.receipts) - before} posts acknowledged since, "
            f"{len(entries)} entries, {len(self.told.checkpoints)} checkpoints seen"
        )

    def finish(self) -> None:
        """The last restart, a calm end, and a look."""
        with running(self._data) as (_, process):
            end(process)
        self._look()

    @property
    def is_over(self) -> bool:
        """Whether too few posts are left for another round."""
        return min(map(len, self._left)) < 4 * LEAST_ACKNOWLEDGED

    def _look(self) -> list[bytes]:
        """The log as a stranger reads it."""
        entries = read_log(self._data)
        note = (self._data / "log" / "checkpoint").read_bytes()
        size = note.split(b"\n")[1]
        assert int(size) <= len(entries)
        self.told.checkpoint(note)
        for seen, promised in self.told.checkpoints.items():
            if seen <= int(size):
                assert b64encode(root_of(entries[:seen])) == promised, f"history at {seen}"
        for post, index in self.told.receipts.items():
            assert entries[index] == post, f"the receipt of {index} is void"
        posts = [entry for entry in entries if entry in self.told.receipts]
        assert len(posts) == len(set(posts)), "a post is there twice"
        return entries


def end(process: "subprocess.Popen[str]") -> None:
    """A calm end."""
    process.terminate()
    assert process.wait(READY_S) == 0


def read_log(data: Path) -> list[bytes]:
    """All entries below `data`, from the files: the widest bundle of each place."""
    entries: list[bytes] = []
    folder = data / "log" / "tile" / "entries"
    for index in range(1_000):
        bundle = _widest(folder / f"{index:03}")
        if bundle is None:
            break
        entries += decode_entry_bundle(bundle)
    return entries


def _widest(full: Path) -> bytes | None:
    """The widest bundle of one place, of a node that may be running."""
    # It drops the parts once the whole file is there, so that is looked for afterwards.
    with suppress(FileNotFoundError):
        part = full.with_name(f"{full.name}.p")
        widths = [int(path.name) for path in part.iterdir() if path.name.isdecimal()]
        if widths and not full.exists():
            return (part / str(max(widths))).read_bytes()
    return full.read_bytes() if full.exists() else None
