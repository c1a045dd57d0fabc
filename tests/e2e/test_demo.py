# SPDX-License-Identifier: Apache-2.0
"""`fieldpost demo` as a person runs it: what it shows, what it leaves behind, and its way out."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fieldpost.client.transport import HttpClient

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-m", "fieldpost.cli", "demo"]
OLD, NEW = b"old firmware " * 300, b"new firmware " * 400
CLOSED = "http://127.0.0.1:9/simple"


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    (tmp_path / "old.bin").write_bytes(OLD)
    (tmp_path / "new.bin").write_bytes(NEW)
    return ["--firmware", str(tmp_path / "old.bin"), str(tmp_path / "new.bin")]


def processes_about(folder: Path) -> dict[int, str]:
    """The processes whose command line names the folder, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if str(folder) in words:
                found[int(entry.name)] = words
    return found


def until(holds: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "demo"
    yield folder
    for left in processes_about(folder):
        os.kill(left, signal.SIGKILL)


def test_the_demonstration_holds_and_keep_leaves_the_node_alone(
    folder: Path, images: list[str]
) -> None:
    done = subprocess.run(
        [*COMMAND, "--json", "--keep", "--dir", str(folder), *images],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    attacks_were_refused(shown)
    claims_held(shown)
    assert shown["fleet"]["devices"] == 1_000
    assert shown["fleet"]["never_seen"] == 980
    assert shown["fleet"]["releases"] == {
        "1": {"confirmed": 20, "failed": 0, "reverted": 0, "running": 1},
        "2": {"confirmed": 19, "failed": 1, "reverted": 0, "running": 19},
    }
    assert shown["checkin_bytes"] <= 2_048
    plain_lines(done.stderr)
    only_the_node_is_left(folder, shown)


def attacks_were_refused(shown: dict[str, Any]) -> None:
    assert shown["all_refused"] is True
    reasons = [attack["reason"] for attack in shown["attacks"]]
    assert reasons == [
        *("wrong-bytes", "bad-signature", "no-quorum", "no-quorum", "missing-links", "not-newer"),
        *("unknown-key", "unknown-device"),
    ]
    *on_devices, thief, impostor = shown["attacks"]
    old, new = (sha256(image).hexdigest() for image in (OLD, NEW))
    for attack, sequence, digest in zip(
        on_devices, (1, 1, 1, 1, 1, 2), (old, old, old, old, old, new), strict=True
    ):
        assert attack["after"]["sequence"] == attack["before"]["sequence"] == sequence
        assert attack["after"]["digest"] == attack["before"]["digest"] == digest
    for attack in on_devices[1:]:
        assert attack["after"] == attack["before"]
    # The first check-in was genuine: the board's size was learnt, and nothing else.
    assert on_devices[0]["after"]["size"] > on_devices[0]["before"]["size"]
    assert thief["before"] == thief["after"]
    assert impostor["before"] == impostor["after"]


def claims_held(shown: dict[str, Any]) -> None:
    """Every section claims something, and all of it held."""
    assert shown["held"] is True
    assert [claim["says"] for claim in shown["claims"] if not claim["held"]] == []
    assert list(dict.fromkeys(claim["section"] for claim in shown["claims"])) == [
        *("A staged rollout", "Something is wrong", "Keys are lost and stolen"),
        *("Without a network", "The way out"),
    ]


def plain_lines(said: str) -> None:
    """Away from a terminal: progress, and no colours, cursor movements or bars."""
    assert "\x1b" not in said
    assert "\r" not in said
    lines = said.splitlines()
    assert any("of 20" in line for line in lines)
    assert max(map(len, lines)) <= 120


def only_the_node_is_left(folder: Path, shown: dict[str, Any]) -> None:
    left = processes_about(folder)
    assert list(left) == [shown["node_pid"]]
    assert "node run" in left[shown["node_pid"]]
    with HttpClient(shown["url"]) as http:
        assert http.send("GET", "/healthz").status == 200
    os.kill(shown["node_pid"], signal.SIGTERM)
    until(lambda: not processes_about(folder))


def test_a_missing_engine_is_named_before_anything_is_made(
    folder: Path, images: list[str], tmp_path: Path
) -> None:
    nowhere = {"PATH": str(tmp_path), "GOPATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [*COMMAND, "--engine", "cometbft", "--dir", str(folder), *images],
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 78
    assert "CometBFT" in done.stderr
    assert "make cluster-deps" in done.stderr
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_end_in_the_middle_leaves_nothing_running(
    folder: Path, images: list[str], number: signal.Signals
) -> None:
    with subprocess.Popen(
        [*COMMAND, "--dir", str(folder), *images],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as demo:
        until((folder / "devices").is_dir)
        until(lambda: len(processes_about(folder)) > 2)
        demo.send_signal(number)
        assert demo.wait(60) == 128 + number
    until(lambda: not processes_about(folder))


def test_without_network_and_files_both_ways_out_are_named(folder: Path, tmp_path: Path) -> None:
    environment = os.environ | {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PIP_INDEX_URL": CLOSED,
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
    }
    done = subprocess.run(
        [*COMMAND, "--dir", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 75
    assert "connect to a Python package index" in done.stderr
    assert "--firmware OLD NEW" in done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()


def test_somebody_elses_folder_is_never_cleared(folder: Path, images: list[str]) -> None:
    folder.mkdir()
    (folder / "letter.txt").write_text("mine")
    done = subprocess.run(
        [*COMMAND, "--dir", str(folder), *images],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert (folder / "letter.txt").read_text() == "mine"
