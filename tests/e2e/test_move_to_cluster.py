# SPDX-License-Identifier: Apache-2.0
"""A board that one node wrote goes on at four operators, under the eyes of a running agent."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cometbft import need_cometbft
from tests.e2e.maker_cli import CLI, Maker, environment, running_node
from tests.e2e.operators import call, change_board, fetch, make_site, wait, wait_ready
from tests.ports import free_port

pytestmark = pytest.mark.e2e

FOUR = ("berlin", "oslo", "paris", "rome")
ORIGIN = "board.example/1"


@contextmanager
def running_agent(home: Path) -> Iterator["subprocess.Popen[str]"]:
    """A device that checks in every second or so, whatever happens to the board."""
    with subprocess.Popen(
        [*CLI, "agent", "run", "--home", str(home), "--json"],
        env=environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.DEVNULL,
        text=True,
    ) as agent:
        try:
            yield agent
        finally:
            agent.terminate()
            agent.communicate(timeout=60)


def make_maker(home: Path, url: str) -> Maker:
    maker = Maker(home)
    for words in (
        ("maker", "init", "--name", "acme", "--one-key", "--no-passphrase"),
        ("maker", "register", "--board", url, "--yes"),
        ("class", "add", "bulb", "--support-end", "2035-01-01", "--least-interval", "1"),
    ):
        maker.must(*words)
    return maker


def publish(maker: Maker, root: Path, sequence: int) -> None:
    image = root / f"{sequence}.bin"
    image.write_text(f"image {sequence}")
    maker.must("release", "publish", "bulb", image, "--version", f"{sequence}.0")
    maker.must("rollout", "set", "bulb", "--offer", f"{sequence}=100%", "--interval", "1")


def head_of(url: str) -> bytes:
    """What a node publishes, without the lines below it: they are made anew every minute."""
    note = fetch(url, "/log/checkpoint")
    assert note is not None
    return note.partition(b"\n\n")[0]


def test_a_board_moves_to_four_operators_and_devices_notice_nothing(tmp_path: Path) -> None:
    need_cometbft()
    old, device = tmp_path / "old", tmp_path / "device"

    def runs() -> int:
        return int(maker.must("agent", "status", "--home", device)["sequence"])

    with ExitStack() as stack:
        # One of the new operators will have the old address, which devices and makers know.
        ports = {FOUR[0]: free_port()}
        with running_node(old, "--origin", ORIGIN, port=ports[FOUR[0]]) as url:
            sites = [make_site(tmp_path, name, ORIGIN, http=ports.get(name)) for name in FOUR]
            files = [site.public for site in sites]
            maker = make_maker(tmp_path / "maker", url)
            publish(maker, tmp_path, 1)
            trust = tmp_path / "bulb.provisioning"
            maker.must("class", "trust", "bulb", "--out", trust)
            enrol = ("agent", "enrol", "--home", device, "--provisioning", trust)
            maker.must(*enrol, "--serial", "SN1")
            maker.must("lot", "enrol", "bulb", "--requests", device)
            agent = stack.enter_context(running_agent(device))
            wait(lambda: runs() == 1, "the device runs release 1")
            before = head_of(url)
            receipt = call("board", "fsck", "--board", url)

            named = [word for file in files for word in ("--operator", file)]
            given = change_board(
                tmp_path,
                old,
                url,
                [site.data for site in sites],
                *("operator", "board-set", *named, "--drop-operator", "board.example", "--yes"),
            )
            assert given["index"] is None
            refused = maker("class", "set", "bulb", "--add-channel", "beta", "--json").error
            assert refused["exit"] == 75
            assert "move-to-cluster" in refused["detail"]
            assert fetch(url, "/readyz") is None
            assert head_of(url) == before
            told = [
                call(
                    *("operator", "move", *files, "--from", old if site is sites[1] else url),
                    *("--compare", url, "--data", site.data, "--settings", site.settings),
                )
                for site in sites
            ]
        assert len({each["sha256"] for each in told}) == 1
        assert told[0]["operators"] == list(FOUR)
        for site in sites:
            site.localize()
            shutil.copytree(old / "blobs", site.data / "blobs", dirs_exist_ok=True)
        shutil.copy(old / "fleet.db", sites[0].data / "fleet.db")
        shutil.rmtree(old / "keys")

        for site in sites:
            stack.enter_context(site.running())
        for site in sites:
            wait_ready(site.url)
        after = call("board", "fsck", "--board", sites[3].url)
        assert after["board"] == receipt["board"] == told[0]["board"]
        publish(maker, tmp_path, 2)
        wait(lambda: runs() == 2, "the device, which ran all the time, runs release 2")
        assert agent.poll() is None
