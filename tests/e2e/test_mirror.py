# SPDX-License-Identifier: Apache-2.0
"""A mirror beside a node, and instead of it: real processes of node, mirror, maker and device."""

import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.maker_cli import Maker, make_maker, running_mirror, running_node
from tests.ports import free_port

pytestmark = pytest.mark.e2e
PATIENCE_S = 120.0


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def is_whole(maker: Maker, url: str, entries: int) -> bool:
    """Whether a mirror has the log so far, and all that its releases name."""
    found = maker.must("board", "fsck", url)
    assert found["damaged"] == []
    missing = [row["what"] for row in found["not_checked"]]
    return bool(found["entries"] >= entries and missing == ["databases and keys"])


class Line:
    """A node on a port that stays, a maker on it, and a device that runs nothing of it yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "node"
        place = f"127.0.0.1:{free_port()}"
        self.listen, self.url = ("--listen", place), f"http://{place}"
        self.device = folder / "device"
        self.maker = Maker(folder / "maker")

    def prepare(self) -> None:
        self.maker = make_maker(self.folder / "maker", self.url)
        trust = self.folder / "bulb.provisioning"
        self.maker.must("class", "trust", "bulb", "--out", trust)
        enrol = ("agent", "enrol", "--home", self.device, "--provisioning", trust)
        self.maker.must(*enrol, "--serial", "one")
        self.release("1.0")

    def release(self, version: str) -> None:
        image = self.folder / f"{version}.bin"
        image.write_bytes(version.encode() * 50_000)
        made = self.maker.must("release", "publish", "bulb", image, "--version", version)
        self.maker.must("rollout", "set", "bulb", "--offer", f"{made['sequence']}=100%")

    def check_in(self, url: str) -> int:
        """Ask one address alone; the sequence that the device runs then."""
        (self.device / "agent.toml").write_text(f'urls = ["{url}"]\n')
        self.maker("agent", "once", "--home", self.device, "--json")
        status = self.maker.must("agent", "status", "--home", self.device)
        sequence: int = status["sequence"]
        return sequence

    def entries(self) -> int:
        return int((self.data / "log" / "checkpoint").read_bytes().split(b"\n")[1])

    def lose_all_but_keys(self) -> Path:
        keys = self.folder / "keys"
        shutil.rmtree(keys, ignore_errors=True)
        shutil.move(self.data / "keys", keys)
        shutil.rmtree(self.data)
        return keys


def test_devices_go_on_by_a_mirror_and_it_restores_the_board(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with ExitStack() as stack:
        with running_node(line.data, *line.listen):
            line.prepare()
            entries = line.entries()
            mirror = stack.enter_context(
                running_mirror(tmp_path / "mirror", line.url, options=("--blobs",))
            )
            wait_until(lambda: is_whole(line.maker, mirror, entries))
        # The node is dead, its data is gone: the device installs by the mirror alone.
        keys = line.lose_all_but_keys()
        assert line.check_in(mirror) == 1
        line.maker.ask_at(mirror)
        posted = line.maker("class", "add", "lamp", "--support-end", "2035-01-01", "--json")
        assert posted.error["exit"] == 75
        assert f"post to {line.url}" in posted.error["detail"]
        line.maker.ask_at(line.url)
        # The mirror restores the board, and follows it on.
        made = line.maker.must(
            "node", "restore", "--from", mirror, "--data", line.data, "--keys", keys
        )
        assert made["entries"] == entries
        assert made["missing_blobs"] == 0
        with running_node(line.data, *line.listen, "--mirror", mirror):
            line.release("1.1")
            assert line.check_in(line.url) == 2
            wait_until(lambda: is_whole(line.maker, mirror, line.entries()))
        assert line.maker.must("board", "fsck", line.data)["damaged"] == []


def test_a_mirror_that_is_behind_what_the_node_signed_restores_reading_alone(
    tmp_path: Path,
) -> None:
    """The keys remember that more was signed: nothing is signed again, no device goes back."""
    line = Line(tmp_path)
    with running_node(line.data, *line.listen):
        line.prepare()
        entries = line.entries()
        with running_mirror(tmp_path / "mirror", line.url, options=("--blobs",)) as mirror:
            wait_until(lambda: is_whole(line.maker, mirror, entries))
        line.release("1.1")
        assert line.check_in(line.url) == 2
    keys = line.lose_all_but_keys()
    made = line.maker.must(
        "node", "restore", "--from", tmp_path / "mirror", "--data", line.data, "--keys", keys
    )
    assert made["entries"] == entries
    assert "entries more than this" in made["signed_before"]
    with running_node(line.data, *line.listen, "--mirror", str(tmp_path / "mirror")):
        status, said = get(f"{line.url}/readyz")
        assert status == 503
        assert b"no mirror has the rest" in said
        posted = line.maker("class", "add", "lamp", "--support-end", "2035-01-01", "--json")
        assert posted.code != 0  # its own tool remembers a larger board
        assert line.check_in(line.url) == 2
        assert get(f"{line.url}/log/checkpoint")[1].split(b"\n")[1] == b"%d" % entries
    assert line.entries() == entries
