# SPDX-License-Identifier: Apache-2.0
"""A maker and a device of a board of four operators, of which one dies and comes back."""

import json
import os
import signal
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.errors import NotFound, Unavailable
from tests.e2e.maker_cli import Maker
from tests.e2e.operators import wait, wait_ready
from tests.e2e.test_cluster import Cluster, fieldpost, up

pytestmark = pytest.mark.e2e


def has_blob(url: str, digest: str) -> bool:
    with HttpClient(url, timeout_s=60) as node:
        try:
            node.send("HEAD", f"/v1/blobs/sha256/{digest}")
            return node.fetch(f"/v1/blobs/sha256/{digest}") != b""
        except NotFound:
            return False


def submitted(url: str, entry: bytes) -> tuple[int, int]:
    with HttpClient(url, timeout_s=60) as node:
        accepted = submit_post(node, entry)
    return accepted.index, accepted.size


def reported(cluster: Cluster, url: str, class_id: str) -> int:
    with HttpClient(url, timeout_s=60) as node:
        view = node.send("GET", f"/v1/fleet/{class_id}").json()
    assert isinstance(view, dict)
    return int(view["devices"]) - int(view["never_seen"])


def test_one_dead_operator_costs_a_maker_and_a_device_nothing(tmp_path: Path) -> None:
    maker, device = Maker(tmp_path / "home"), tmp_path / "device"
    image, provisioning = tmp_path / "image.bin", tmp_path / "bulb.provisioning"
    image.write_bytes(b"firmware " * 500)
    digest = sha256(image.read_bytes()).hexdigest()
    publish = ("release", "publish", "bulb:r1", image, "--version", "1.0")
    with up(tmp_path / "c", "--nodes", "4") as cluster:
        first, second, *_ = urls = cluster.ready["urls"]
        maker.must("maker", "init", "--name", "Acme", "--no-passphrase")
        # One address is enough: the board's record names the others.
        maker.must("maker", "register", "--board", first, "--yes")
        class_id = maker.must("class", "add", "bulb:r1", "--support-end", "2040-12-31")["class"]
        trust = maker.must("class", "trust", "bulb:r1", "--out", provisioning)
        assert sorted(trust["urls"]) == sorted(urls)
        # The same bytes are one post, at whatever node they come again.
        (entry,) = (path.read_bytes() for path in (tmp_path / "home/sent").glob("*register.cose"))
        assert len({submitted(url, entry) for url in urls}) == 1
        # What one node took is there for whoever asks another at once.
        maker.must("maker", "use", second)
        assert maker.must("class", "show", "bulb:r1")["class"] == class_id
        maker.must("maker", "use", first)

        fieldpost("agent", "enrol", "--home", device, "--provisioning", provisioning,
                  "--serial", "one")  # fmt: skip
        cluster("kill", "1")
        lot = maker.must("lot", "enrol", "bulb:r1", "--requests", device / "one.enrol")
        assert list(lot["lacking"]) == ["operator-1"]
        made = maker.must(*publish)
        assert list(made["lacking"]) == ["operator-1"]
        assert made["index"] is not None
        maker.must("rollout", "set", "bulb:r1", "--offer", "1=100%")
        assert all(has_blob(url, digest) for url in urls[1:])

        once = fieldpost("agent", "once", "--home", device)
        assert once.code == 0, once.err
        events = [json.loads(line) for line in once.out.splitlines() if line.startswith("{")]
        assert any(
            event.get("delivery") == "sent" and event.get("outcome") == "confirmed"
            for event in events
        )

        cluster("restart", "1")
        again = maker.must(*publish)
        assert (again["lacking"], again["index"]) == (None, None)
        assert has_blob(first, digest)
        assert reported(cluster, second, class_id) == 1
        fsck = fieldpost("board", "fsck", first).json
        assert fsck["board"] == cluster.ready["board"]
        checked = maker("device", "check", _id(device), "--provisioning", provisioning, "--json")
        assert checked.code == 0, checked.err + checked.out

        hung = cluster.status("operator-1")["cometbft"]
        os.kill(hung, signal.SIGSTOP)
        try:
            check_live_without_ordering(first)
            maker.must("maker", "use", first)
            added = maker.must("class", "add", "bulb:r2", "--support-end", "2040-12-31")
            assert added["index"] is not None
        finally:
            os.kill(hung, signal.SIGCONT)
        wait_ready(first)
        maker.must("class", "set", "bulb:r2", "--add-channel", "beta")
        cluster("stop")


def check_live_without_ordering(url: str) -> None:
    """A node whose CometBFT hangs says so, and serves what there is."""
    wait(lambda: "has not answered" in trouble(url), "it says that it cannot do its work, and why")
    with HttpClient(url, timeout_s=60) as node:
        assert node.fetch("/healthz")
        assert node.fetch("/log/checkpoint", accept="text/plain")


def trouble(url: str) -> str:
    """Why a node is not ready; nothing while it is."""
    try:
        with HttpClient(url, timeout_s=60) as node:
            node.fetch("/readyz")
    except Unavailable as error:
        return str(error)
    return ""


def _id(device: Path) -> str:
    found: str = fieldpost("agent", "status", "--home", device).json["device_id"]
    return found
