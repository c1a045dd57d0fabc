# SPDX-License-Identifier: Apache-2.0
"""A log that remembers: what it believes, and what makes it refuse."""

from collections.abc import Sequence
from typing import cast

import pytest

from fieldpost.client.log import Log
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Misbehaviour, NotFound, Unavailable, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import Checkpoint, format_checkpoint, sign_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import ED25519, Note, VerifierKey, format_note
from fieldpost.tlog.tiles import (
    encode_entry_bundle,
    encode_tile,
    entries_path,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import MemoryTree

ORIGIN = "board.test/1"
SIGNER = DeterministicSigner(Algorithm.ED25519, "log")
KEY = VerifierKey(ORIGIN, ED25519, SIGNER.public_key.raw)


def entries(count: int, word: str = "entry") -> list[bytes]:
    return [f"{word} {n}".encode() for n in range(count)]


class Files:
    """The static files of a log, as much of an HttpClient as a Log uses."""

    def __init__(self, *, signer: DeterministicSigner = SIGNER) -> None:
        self.files: dict[str, bytes] = {}
        self.signer = signer

    def show(self, log: Sequence[bytes]) -> None:
        tree = MemoryTree(leaf_hash(entry) for entry in log)
        for tile in tiles_for(0, len(log)):
            self.files[f"/log/{tile_path(tile)}"] = encode_tile(tree.read_hashes(tile.positions()))
            if tile.level == 0:
                bundle = log[tile.index * 256 : tile.index * 256 + tile.width]
                self.files[f"/log/{entries_path(tile)}"] = encode_entry_bundle(bundle)
        checkpoint = Checkpoint(ORIGIN, len(log), tree.root())
        signature = sign_checkpoint(checkpoint, name=ORIGIN, signer=self.signer)
        self.files["/log/checkpoint"] = format_note(
            Note(format_checkpoint(checkpoint), (signature,))
        )

    def fetch(self, path: str, **_limits: object) -> bytes:
        if path not in self.files:
            raise NotFound(path)
        return self.files[path]


def read(files: Files, note: bytes | None = None) -> Log:
    return Log(cast(HttpClient, files), origin=ORIGIN, keys=[KEY], note=note)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (255, 257), (3, 700), (256, 512), (7, 7)])
def test_a_log_that_grows_is_followed(before: int, after: int) -> None:
    files = Files()
    files.show(entries(before))
    log = read(files)
    assert log.advance().size == before
    files.show(entries(after))
    assert log.advance().size == after
    assert list(log.read_all()) == entries(after)
    assert log.read_entry(after - 1) == entries(after)[-1]


def test_what_was_remembered_lasts_over_a_restart() -> None:
    files = Files()
    files.show(entries(5))
    log = read(files)
    log.advance()
    files.show(entries(4))
    with pytest.raises(Untrusted, match="not-newer"):
        read(files, log.note).advance()
    assert read(files).advance().size == 4, "the control: without memory it cannot know"


def test_two_roots_of_one_size_are_kept_as_evidence() -> None:
    files = Files()
    files.show(entries(5))
    log = read(files)
    log.advance()
    first = log.note
    files.show(entries(5, "other"))
    with pytest.raises(Misbehaviour, match="split-view") as caught:
        log.advance()
    assert caught.value.evidence == (first, files.files["/log/checkpoint"])
    assert log.note == first, "the remembered checkpoint stays"


def test_a_longer_log_that_forgot_entries_is_refused() -> None:
    files = Files()
    files.show(entries(5))
    log = read(files)
    log.advance()
    files.show(entries(9, "other"))
    with pytest.raises(Untrusted, match="inconsistent"):
        log.advance()
    assert log.checkpoint is not None
    assert log.checkpoint.size == 5


def test_a_checkpoint_by_another_key_is_refused() -> None:
    files = Files(signer=DeterministicSigner(Algorithm.ED25519, "stranger"))
    files.show(entries(5))
    with pytest.raises(Untrusted):
        read(files).advance()


def test_what_is_no_checkpoint_is_a_failure_of_the_network() -> None:
    files = Files()
    files.files["/log/checkpoint"] = b"log in here"
    with pytest.raises(Unavailable):
        read(files).advance()


def test_an_entry_that_was_changed_is_not_believed() -> None:
    files = Files()
    files.show(entries(5))
    log = read(files)
    log.advance()
    files.files["/log/tile/entries/000.p/5"] = encode_entry_bundle(entries(5, "other"))
    with pytest.raises(Untrusted, match="bad-proof"):
        log.read_entry(2)
    with pytest.raises(Untrusted, match="bad-proof"):
        list(log.read_all())
