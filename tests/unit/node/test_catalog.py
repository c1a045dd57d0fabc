# SPDX-License-Identifier: Apache-2.0
"""The catalog follows the log, and may be lost or left over without harm."""

from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured, NotFound
from fieldpost.node.catalog import Catalog
from fieldpost.posts.envelope import decode_post
from fieldpost.records.release import decode_release_record
from fieldpost.testing.world import BoardWorld


def open_catalog(path: Path, world: BoardWorld) -> Catalog:
    def read(start: int, end: int) -> list[bytes]:
        return world.entries[start:end]

    return Catalog(path, read, board=world.board, size=len(world.entries))


def blobs(world: BoardWorld) -> list[tuple[bytes, int]]:
    """(digest, size) of every artifact that the world's releases name."""
    found: list[tuple[bytes, int]] = []
    for entry in world.entries:
        if b"release.publish" in entry[:200]:
            record = decode_release_record(decode_post(entry).statement.payload)
            found += [(artifact.digest, artifact.size) for artifact in record.artifacts]
    return found


def test_releases_and_blobs_are_found_as_far_as_the_log_goes(tmp_path: Path) -> None:
    world = BoardWorld.with_releases(10, 12)
    class_id, before = world.maker.class_id("tracker"), len(world.entries)
    catalog = open_catalog(tmp_path / "catalog.db", world)
    assert catalog.sequences(class_id, size=before) == [12, 10]
    world.accept(world.maker.release_publish(13))
    assert catalog.sequences(class_id, size=before) == [12, 10], "only what is published"
    assert catalog.sequences(class_id, size=len(world.entries)) == [13, 12, 10]
    for digest, size in blobs(world):
        everything = len(world.entries)
        catalog.check_named(digest, size=everything)
        named = catalog.named_by(world.maker.id, digest, size=everything)
        assert {release.size for release in named} == {size}
        assert catalog.named_by(b"\x01" * 16, digest, size=everything) == []
        assert (digest, size) in catalog.blobs_of_release(named[0], size=everything)
        assert digest in catalog.blobs_of_maker(world.maker.id, size=everything)
    with pytest.raises(NotFound):
        catalog.check_named(b"\x00" * 32, size=len(world.entries))
    catalog.close()


def test_a_catalog_that_was_deleted_is_filled_again(tmp_path: Path) -> None:
    world = BoardWorld.with_releases(10)
    path = tmp_path / "catalog.db"
    class_id, size = world.maker.class_id("tracker"), len(world.entries)
    first = open_catalog(path, world)
    assert first.sequences(class_id, size=size) == [10]
    first.close()
    kept = open_catalog(path, world)
    assert kept.sequences(class_id, size=size) == [10]
    kept.close()
    for file in tmp_path.iterdir():
        file.unlink()
    again = open_catalog(path, world)
    assert again.sequences(class_id, size=size) == [10]
    again.close()


@pytest.mark.parametrize("origin", ["board.test/1", "other.test/1"])
def test_a_catalog_of_another_log_is_forgotten(tmp_path: Path, origin: str) -> None:
    """Left over from another board, or from before an older copy of the data was put back."""
    path = tmp_path / "catalog.db"
    longer = BoardWorld.with_releases(10, 12)
    first = open_catalog(path, longer)
    assert first.sequences(longer.maker.class_id("tracker"), size=len(longer.entries)) == [12, 10]
    first.close()
    shorter = BoardWorld.with_class(origin=origin)
    again = open_catalog(path, shorter)
    assert again.sequences(longer.maker.class_id("tracker"), size=len(shorter.entries)) == []
    again.close()


def test_a_catalog_that_is_damaged_is_named_with_what_to_do(tmp_path: Path) -> None:
    """To come again later would not help: a service manager must not try for ever."""
    path = tmp_path / "catalog.db"
    path.write_bytes(b"no database " * 400)
    with pytest.raises(Misconfigured, match=r"catalog\.db is damaged .*: remove it"):
        open_catalog(path, BoardWorld.with_releases(10))
