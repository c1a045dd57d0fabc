# SPDX-License-Identifier: Apache-2.0
"""A maker whose root keys are held by three people, and what a power cut leaves with any of them.

    ROOT/desk             the everyday machine, which holds no root key
    ROOT/anna, ben, bank  a stick each, with a root key and the files that were handed over

All lie on one disk of the model, so that a cut meets whoever is writing. What a cut left is right
if every key that ever signed is still somewhere, every post of the board is on the desk, what
somebody was told is written or taken is there, and nothing that waits for signatures is half a
file, neither on the desk nor on a stick.
"""

from pathlib import Path
from typing import Final

from fieldpost import durable
from fieldpost.cli.ceremony import decode_signatures
from fieldpost.cli.maker_home import MakerHome
from fieldpost.durable import OS, Disk
from tests.crash.maker_line import (
    KEYLESS,
    MakerLine,
    judge_ceremonies,
    named_keys,
    no_passphrase,
    thumbprints,
)

HOLDERS: Final = ("anna", "ben", "bank")
Step = tuple[str | Path, ...]
BEGIN: Final[tuple[Step, ...]] = (
    ("maker", "init", "--name", "Acme", "--roots", "2-of-3", *KEYLESS),
    ("maker", "register", "--yes"),
    ("class", "add", "bulb", "--support-end", "2036-12-31"),
)


class CeremonyLine(MakerLine):
    """`MakerLine` for the folder `root`, in which the home is `desk`."""

    def __init__(self, root: Path, url: str) -> None:
        super().__init__(root / "desk", url)
        self.root = root
        self.written: dict[Path, bytes] = {}
        self.taken: set[bytes] = set()

    def begin(self) -> None:
        """A registered maker with a class, whose root keys are handed out."""
        self.home.mkdir(parents=True)
        for step in BEGIN:
            self.must(*step)
        self.hand_out("root-{}.pem")

    def hand_out(self, name: str, *, disk: Disk = OS) -> None:
        """Each root key to its holder."""
        for number, holder in enumerate(HOLDERS, 1):
            file, stick = name.format(number), self.root / holder
            durable.make_dirs(stick, disk=disk)
            durable.publish(self.home / "keys" / file, stick / file, disk=disk)

    def hand_over(self, source: Path, target: Path, *, disk: Disk = OS) -> None:
        """A file of a ceremony, carried from one to the other."""
        durable.write_file(target, source.read_bytes(), disk=disk)
        self.promise(target)

    def promise(self, path: Path) -> None:
        """Somebody was told that this file is written."""
        self.written[path.relative_to(self.root)] = path.read_bytes()

    def promise_signatures(self, path: Path) -> None:
        """Somebody was told that the desk has taken these signatures."""
        self.taken |= {one.kid for one in decode_signatures(path.read_bytes())[1]}

    def judge(self, left: Path) -> None:
        """What a cut left, while the board is as it is now."""
        home = MakerHome(left / "desk", no_passphrase)
        for file in named_keys(home):
            assert list(left.rglob(file)), f"{file} is nowhere"
        self.judge_posts(left / "desk", held=thumbprints(left))
        judge_ceremonies(left, home)
        for path, content in self.written.items():
            assert (left / path).read_bytes() == content, f"{path} was written, and is not there"
        files = (left / "desk" / "ceremonies").rglob("*.signatures")
        kept = {one.kid for path in files for one in decode_signatures(path.read_bytes())[1]}
        assert kept >= self.taken, "signatures that were taken are gone"

    def has_posted(self, words: bytes) -> bool:
        """Whether a post of the board has these words in its payload."""
        return any(words in post.statement.payload for post in self.on_board().values())
