# SPDX-License-Identifier: Apache-2.0
"""Manifests and artifacts on a mirror: fetched, resumed, and never believed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from fieldpost.engines.verifiers import Verifiers
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.config import Limits
from fieldpost.node.service import NodeService
from fieldpost.store.blobs import FileBlobs
from fieldpost.watch.mirror_blobs import BlobKeeper
from fieldpost.watch.mirror_copy import BoardCopy
from fieldpost.watch.mirror_engine import MirrorEngine
from fieldpost.watch.mirror_follow import BoardFollower
from fieldpost.watch.mirror_sources import Source
from tests.attacks.test_lying_source_attacks import serving
from tests.unit.cli.cli_world import CliWorld, cli_world


class Liar(BaseHTTPRequestHandler):
    """Other bytes for every blob and manifest."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"other bytes")

    def log_message(self, *_: object) -> None:
        """Nothing is said."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CliWorld]:
    with cli_world(tmp_path_factory.mktemp("world")) as made:
        made.with_maker()
        made.publish("1.0")
        yield made


@contextmanager
def keeping(
    folder: Path, world: CliWorld, *urls: str, uptime: Callable[[], float] = lambda: 0.0
) -> Iterator[tuple[BlobKeeper, FileBlobs]]:
    """A keeper over a copy of the world's board, which fetches from `urls`."""
    copy = BoardCopy(folder)
    source = Source(world.url)
    BoardFollower(copy, Verifiers(0)).step(source.mirror, source.mirror.read("checkpoint", 65_536))
    blobs = FileBlobs(folder / "blobs")
    service = NodeService(
        engine=MirrorEngine(copy, elsewhere="nowhere", trouble=lambda: None),
        blobs=blobs,
        log=folder / "log",
        catalog=folder / "catalog.db",
        limits=Limits(),
        metrics=Metrics(),
        clock=lambda: 0,
    )
    limits = Limits(reserve_bytes=1)
    keeper = BlobKeeper(service, urls, data=folder, limits=limits, uptime=uptime)
    try:
        yield keeper, blobs
    finally:
        keeper.close()
        service.close()
        source.close()
        copy.close()


def stored(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder / "blobs").as_posix()
        for path in (folder / "blobs").rglob("*")
        if path.is_file()
    )


def artifact(world: CliWorld) -> Path:
    files = (path for path in (world.data / "blobs" / "sha256").rglob("*") if path.is_file())
    return max(files, key=lambda path: path.stat().st_size)


def test_all_that_a_release_names_comes_from_the_source(world: CliWorld, tmp_path: Path) -> None:
    with keeping(tmp_path, world, world.url) as (keeper, _):
        keeper.fetch_missing()
        assert keeper.missing() == 0
    assert stored(tmp_path) == stored(world.data)


def test_what_a_liar_gives_is_not_kept_and_the_next_source_is_asked(
    world: CliWorld, tmp_path: Path
) -> None:
    with serving(Liar) as liar:
        with keeping(tmp_path, world, liar) as (keeper, _):
            keeper.fetch_missing()
            assert keeper.missing() == len(stored(world.data))
        assert all(name.startswith("partial/") for name in stored(tmp_path))
        with keeping(tmp_path, world, liar, world.url) as (keeper, _):
            keeper.fetch_missing()
            assert keeper.missing() == 0
    assert stored(tmp_path) == stored(world.data)


@pytest.mark.parametrize("is_true", [True, False])
def test_a_download_that_was_cut_off_goes_on_or_is_begun_anew(
    world: CliWorld, tmp_path: Path, is_true: bool
) -> None:
    file = artifact(world)
    data = file.read_bytes()
    half = data[: len(data) // 2] if is_true else bytes(len(data) // 2)
    with keeping(tmp_path, world, world.url) as (keeper, blobs):
        digest = bytes.fromhex(file.name)
        blobs.upload(digest, 0, [half], size=len(data), maker=b"mirror")
        keeper.fetch_missing()
        assert keeper.missing() == 0
    assert stored(tmp_path) == stored(world.data)


def test_what_nobody_has_is_asked_for_ever_less_often(world: CliWorld, tmp_path: Path) -> None:
    asked: list[str] = []

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    now = [0.0]
    with serving(Empty) as url, keeping(tmp_path, world, url, uptime=lambda: now[0]) as (keeper, _):
        for _ in range(200):
            keeper.fetch_missing()
            now[0] += 10.0
    wanted = len(stored(world.data))
    assert 4 * wanted < len(asked) < 12 * wanted
