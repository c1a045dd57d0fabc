# SPDX-License-Identifier: Apache-2.0
"""A maker's life at the command line, and whether what a power cut left of its home still is one.

The commands run in this process, so that their disk can be a model; the node is a real process, and
what it has taken is asked of it at every cut. A home is right if it has every key that ever signed
for the board, every post that the board has, and nothing half-written.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree
from typing import Any, Final

from click.testing import CliRunner

from fieldpost.cli.ceremony import decode_request, decode_signatures
from fieldpost.cli.failures import exit_code
from fieldpost.cli.main import fieldpost
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.rotation import Rotation
from fieldpost.client.log import Log
from fieldpost.client.transport import HttpClient
from fieldpost.durable import OS, Disk
from fieldpost.errors import FieldpostError, Malformed
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.signers.keyfile import load_key_file
from fieldpost.testing.process_disk import everything_on
from fieldpost.tlog.note import parse_vkey

KEYLESS: Final = ("--no-passphrase",)


@dataclass
class MakerLine:
    """Commands on the home at `home`, against the node at `url`, whose posts it remembers.

    `elsewhere`: posts of copies of the home, which no other copy can have.
    """

    home: Path
    url: str
    posts: dict[bytes, Post] = field(default_factory=dict)
    elsewhere: frozenset[bytes] = frozenset()
    _size: int = 0

    def run(self, *words: str | Path, disk: Disk = OS, home: Path | None = None) -> tuple[int, Any]:
        """(exit code, what it prints as JSON or its error) of one command, on a disk."""
        settings = {"FIELDPOST_HOME": str(home or self.home), "FIELDPOST_BOARD": self.url}
        with everything_on(disk):
            done = CliRunner().invoke(fieldpost, [*map(str, words), "--json"], env=settings)
        if isinstance(done.exception, FieldpostError):
            return exit_code(done.exception), str(done.exception)
        if done.exception is not None:
            raise done.exception
        return 0, json.loads(done.stdout)

    def must(self, *words: str | Path, disk: Disk = OS, home: Path | None = None) -> Any:
        """What a command prints that must succeed."""
        code, said = self.run(*words, disk=disk, home=home)
        assert code == 0, f"{words}: {code} {said}"
        return said

    def on_board(self) -> dict[bytes, Post]:
        """Every post that the board has of makers, by its bytes."""
        with HttpClient(self.url, timeout_s=60) as http:
            view: Any = http.send("GET", "/v1/board").json()
            if view["size"] != self._size:
                key = parse_vkey(view["operators"][0]["log_key"])
                log = Log(http, origin=view["origin"], keys=[key])
                log.advance()
                self.posts = dict(_makers(log.read_all()))
                self._size = view["size"]
        return self.posts

    def copied(self, home: Path) -> Path:
        """A copy of the home, of which alone is judged what it posts from now on."""
        self.elsewhere = frozenset(self.on_board().keys() - set(saved(self.home)))
        return Path(copytree(self.home, home))

    def judge(self, left: Path) -> None:
        """What a cut left, while the board is as it is now."""
        posts = self.on_board()
        if not (left / "maker.json").exists():
            assert not posts, "the board knows a maker whose home is gone"
            return
        home = MakerHome(left, no_passphrase)
        for file in named_keys(home):
            home.key(file)
        self.judge_posts(left, held=thumbprints(left / "keys"))
        judge_ceremonies(left, home)

    def judge_posts(self, left: Path, *, held: set[bytes]) -> None:
        """Every post of the board is in the home `left`, and its keys are among those `held`."""
        posts = self.on_board()
        for entry in posts.keys() - self.elsewhere:
            post = posts[entry]
            lost = {one.kid for one in post.signatures} - held
            assert not lost, f"a key that signed {post.statement.kind} is gone"
            assert entry in set(saved(left)), f"{post.statement.kind} is on the board alone"


def named_keys(home: MakerHome) -> list[str]:
    """The key files that a home goes by."""
    named = [file for files in home.settings().keys.values() for file in files]
    assert named, "a maker without keys"
    return named


def thumbprints(folder: Path) -> set[bytes]:
    """Of every key file below a folder, each of which is whole."""
    return {
        load_key_file(path, no_passphrase).public_key.thumbprint() for path in folder.rglob("*.pem")
    }


def _makers(entries: Iterator[bytes]) -> Iterator[tuple[bytes, Post]]:
    for entry in entries:
        try:
            post = decode_post(entry)
        except Malformed:
            continue  # a state leaf
        if post.statement.kind not in ("genesis", "board.set"):
            yield entry, post


def saved(home: Path) -> Iterator[bytes]:
    """Every post that a home has signed and kept."""
    for folder in ("outbox", "sent"):
        for path in (home / folder).glob("*.cose"):
            entry = path.read_bytes()
            decode_post(entry)
            yield entry


def judge_ceremonies(left: Path, home: MakerHome) -> None:
    """Nothing that waits for other people's signatures is half-written."""
    for path in left.rglob("*.unsigned"):
        decode_request(path.read_bytes())
    for path in left.rglob("*.signatures"):
        decode_signatures(path.read_bytes())
    rotation = Rotation.load(home)
    if rotation is not None:
        rotation.signers(home)


def no_passphrase() -> bytes:
    """Nobody is asked for one."""
    raise AssertionError("these keys have no passphrase")
