# SPDX-License-Identifier: Apache-2.0
"""A node process on a disk that is really full, and on one that really became read-only.

What it cannot write it refuses, saying what to do; what it has it goes on to serve.
"""

from pathlib import Path

import pytest

from fieldpost.client.publisher import Accepted, fetch_receipt, submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Unavailable
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.tlog.offline import parse_offline_proof
from tests.crash.cluster_rig import wait_until
from tests.crash.mounted import abort, fill, make_ext4, mounted, need
from tests.crash.node_kills import end, read_log, running

pytestmark = [pytest.mark.crash, pytest.mark.e2e]

MIB = 1024 * 1024


class Client:
    """A maker and a device of one node."""

    def __init__(self, url: str, data: Path) -> None:
        self.url = url
        self.world = MirroredBoard(lambda: read_log(data))

    def post(self, entry: bytes) -> Accepted:
        with HttpClient(self.url, timeout_s=60) as http:
            accepted = submit_post(http, entry)
        self.world.refresh()
        return accepted

    def takes(self, entry: bytes) -> bool:
        """Whether a post is taken now."""
        try:
            self.post(entry)
        except Unavailable:
            return False
        return True

    def begin(self) -> bytes:
        """A maker with a class and a release; the release's post."""
        maker = self.world.maker
        self.post(maker.registration())
        self.post(maker.class_set())
        release = maker.release_publish(1)
        self.post(release)
        return release

    def ready(self) -> None:
        """Ask as a load balancer does. Raises Unavailable, with the node's words."""
        with HttpClient(self.url, timeout_s=60) as http:
            http.fetch("/readyz", accept="application/json")

    def check_in(self) -> int:
        """The size of what a device is served."""
        path = f"/v1/checkin/{self.world.maker.class_id('tracker').hex()}/stable"
        with HttpClient(self.url, timeout_s=60) as http:
            return len(http.fetch(path, accept="application/vnd.fieldpost.checkin+cbor"))


def test_a_node_on_a_full_disk_refuses_posts_serves_devices_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    need("mount", "umount")
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=24m", "tmpfs") as disk:
        data = disk / "data"
        with running(data) as (url, process):
            client = Client(url, data)
            client.begin()
            ballast = fill(disk)
            entry = client.world.maker.release_publish(2)
            for _ in range(2):
                with pytest.raises(Unavailable, match=r"free some space|database or disk is full"):
                    client.post(entry)
            with pytest.raises(Unavailable, match=r"free some space|MiB left"):
                client.ready()
            assert client.check_in() > 400
            ballast.unlink()
            # The same process, the same bytes; the room for heads is made whole before.
            wait_until(lambda: client.takes(entry))
            index = client.post(entry).index
            assert client.check_in() > 400
            end(process)
        with running(data) as (url, process):
            with HttpClient(url, timeout_s=60) as http:
                assert parse_offline_proof(fetch_receipt(http, entry)).index == index
            end(process)


def test_a_node_on_a_disk_that_turned_read_only_serves_devices_and_has_lost_nothing(
    tmp_path: Path,
) -> None:
    """As ext4 does when its journal fails; mounted again after a repair, all is there."""
    need("mount", "umount", "mkfs.ext4")
    image = tmp_path / "image"
    make_ext4(image, size_bytes=48 * MIB)
    with mounted(tmp_path / "disk", "-o", "loop", str(image)) as disk:
        data = disk / "data"
        with running(data) as (url, process):
            client = Client(url, data)
            client.begin()
            acknowledged = read_log(data)
            entry = client.world.maker.release_publish(2)
            abort(disk)
            with pytest.raises(Unavailable, match=r"read-only|readonly"):
                client.post(entry)
            with pytest.raises(Unavailable, match=r"read-only|readonly"):
                client.ready()
            assert client.check_in() > 400
            process.kill()
            process.wait(60)
    with mounted(tmp_path / "repaired", "-o", "loop", str(image)) as disk:
        data = disk / "data"
        with running(data) as (url, process):
            assert read_log(data)[: len(acknowledged)] == acknowledged
            client = Client(url, data)
            assert client.post(entry).index >= len(acknowledged)
            end(process)
