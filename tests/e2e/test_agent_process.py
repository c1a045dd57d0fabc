# SPDX-License-Identifier: Apache-2.0
"""A device's agent as a real process against a real node, through an untrusted relay."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fieldpost.testing.relay import Relay

pytestmark = pytest.mark.e2e

CLI = [sys.executable, "-m", "fieldpost.cli"]
OLD = Random(1).randbytes(400_000)
NEW = Random(2).randbytes(2_000_000) + bytes(400_000)
DEVICES = ("good", "sick", "killed", "resumed", "dying", "offline", "lied-to")


@dataclass(frozen=True)
class Board:
    """A running node, a maker on it, and set-up devices that run release 1; 2 is on offer."""

    url: str
    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [*CLI, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def device(
        self, name: str, *, relay: Relay | None = None, health: str = "", trial_s: int = 60
    ) -> "Device":
        """A device that may try for `trial_s` seconds to check in with a new image."""
        home = self.folder / "devices" / name
        lines = ["health_timeout_s = 60", f"trial_check_in_s = {trial_s}"]
        if health:
            lines.append(f'health_check = ["/bin/sh", "-c", {json.dumps(health)}]')
        if relay is not None:
            lines.append(f"urls = [{json.dumps(relay.url)}]")
        (home / "agent.toml").write_text("\n".join(lines) + "\n")
        return Device(self, home)


@dataclass(frozen=True)
class Device:
    """One device's directory."""

    board: Board
    home: Path

    def once(self) -> tuple[int, list[dict[str, Any]], str]:
        """Exit code, events, and what stands on stderr."""
        done = self.board.run("agent", "once", "--home", str(self.home), "--json", check=False)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*CLI, "agent", "once", "--home", str(self.home), "--json"],
            env=self.board.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.board.run("agent", "status", "--home", str(self.home), "--json").stdout
        )
        return found

    def boots(self) -> bytes:
        return (self.home / "slots" / "current" / "image").read_bytes()


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("board")
    environment = os.environ | {
        "FIELDPOST_HOME": str(folder / "maker"),
        "FIELDPOST_PASSPHRASE": "a test's",
    }
    node = subprocess.Popen(
        [*CLI, "node", "run", "--data", str(folder / "node"), "--listen", "127.0.0.1:0", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert node.stdout is not None
        url = json.loads(node.stdout.readline())["url"]
        made = Board(url, folder, environment)
        prepare(made)
        yield made
    finally:
        node.terminate()
        node.communicate(timeout=60)


def prepare(board: Board) -> None:
    folder = board.folder
    (folder / "old.bin").write_bytes(OLD)
    (folder / "new.bin").write_bytes(NEW)
    board.run("maker", "init", "--name", "acme", "--roots", "1-of-1", "--one-key")
    board.run("maker", "register", "--board", board.url, "--yes")
    board.run("class", "add", "bulb", "--support-end", "2035-01-01")
    board.run("class", "trust", "bulb", "--out", str(folder / "bulb.prov"))
    requests = folder / "requests"
    requests.mkdir()
    for name in (*DEVICES, "stranger"):
        home = folder / "devices" / name
        base = ["--base", str(folder / "old.bin"), "--base-sequence", "1", "--base-version", "1.0"]
        provisioning = ["--provisioning", str(folder / "bulb.prov")]
        algorithm = "p256" if name == "good" else "ed25519"
        kind = ["--algorithm", algorithm, "--serial", name]
        board.run("agent", "enrol", "--home", str(home), *provisioning, *kind, *base)
        if name in DEVICES:
            (requests / f"{name}.enrol").write_bytes((home / f"{name}.enrol").read_bytes())
    board.run("lot", "enrol", "bulb", "--requests", str(requests))
    board.run("release", "publish", "bulb", str(folder / "old.bin"), "--version", "1.0")
    board.run("release", "publish", "bulb", str(folder / "new.bin"), "--version", "1.1")
    board.run("rollout", "set", "bulb", "--offer", "2=100%")


def test_an_update_is_installed_tried_confirmed_and_reported(board: Board) -> None:
    device = board.device("good", health='test "$FIELDPOST_SLOT" = b && test -s "$FIELDPOST_IMAGE"')
    code, events, errors = device.once()
    assert code == 0, errors
    wanted = ["checkin", "enrolled", "offer", "staged", "trial", "checkin", "confirmed", "report"]
    assert names(events) == wanted
    assert events[-1]["delivery"] == "sent"
    assert device.boots() == NEW
    status = device.status()
    assert (status["sequence"], status["version"], status["slot"]) == (2, "1.1", "b")
    assert (status["state"], status["enrolled"]) == ("idle", True)
    fleet = json.loads(board.run("fleet", "status", "bulb", "--json").stdout)
    assert fleet["releases"]["2"]["confirmed"] >= 1
    again, events, _ = device.once()
    assert again == 0
    assert names(events) == ["checkin", "report"]


def test_a_failing_health_check_puts_the_image_before_back_and_counts(board: Board) -> None:
    device = board.device("sick", health="exit 7")
    for tries in (1, 2, 3):
        code, events, errors = device.once()
        assert code == 1, errors
        assert events[-2]["event"] == "reverted"
        assert "status 7" in events[-2]["reason"]
        assert events[-1]["outcome"] == ("failed" if tries == 3 else "reverted")
        assert device.boots() == OLD
        assert device.status()["failed"][0]["tries"] == tries
    code, events, errors = device.once()
    assert code == 3
    assert "failed-before" in errors
    assert "trial" not in names(events)
    assert device.status()["sequence"] == 1


def test_a_kill_during_the_download_loses_nothing_and_the_next_start_resumes(board: Board) -> None:
    with Relay(board.url) as relay:
        relay.hold = lambda path: 500_000 if "/blobs/" in path else None
        device = board.device("killed", relay=relay)
        agent = device.start()
        assert relay.held.wait(60)
        parts = device.home / "downloads"
        wait_until(lambda: sum(p.stat().st_size for p in parts.glob("*.part")) >= 500_000)
        agent.send_signal(signal.SIGKILL)
        agent.wait(60)
        assert device.boots() == OLD
        assert device.status()["state"] == "fetching"
        relay.hold = lambda _: None
        relay.resume.set()
        relay.requests.clear()
        code, _, errors = device.once()
    assert code == 0, errors
    ranges = [wanted for _, path, wanted in relay.requests if "/blobs/" in path]
    assert ranges == ["bytes=500000-"]
    assert device.boots() == NEW


def test_an_interrupted_download_is_taken_up_where_it_stopped(board: Board) -> None:
    with Relay(board.url) as relay:
        relay.cut = lambda path: 700_000 if "/blobs/" in path else None
        device = board.device("resumed", relay=relay)
        code, events, _ = device.once()
        assert code == 75
        assert "staged" not in names(events)
        relay.cut = lambda _: None
        relay.requests.clear()
        code, _, errors = device.once()
    assert code == 0, errors
    ranges = [wanted for _, path, wanted in relay.requests if "/blobs/" in path]
    assert ranges
    assert all(wanted is not None for wanted in ranges)
    assert device.boots() == NEW


def test_a_boot_that_dies_in_its_trial_is_reverted_by_the_next_start(
    board: Board, tmp_path: Path
) -> None:
    """And it does not count against the image, which nobody examined; it rests for a while."""
    told = tmp_path / "trial"
    device = board.device("dying", health=f"echo $$ > {told}; exec sleep 50")
    agent = device.start()
    wait_until(lambda: told.exists() and told.read_text().strip() != "")
    assert device.boots() == NEW
    agent.send_signal(signal.SIGKILL)
    agent.wait(60)
    os.kill(int(told.read_text()), signal.SIGKILL)
    code, events, errors = device.once()
    assert events[0]["event"] == "reverted"
    assert device.boots() == OLD
    assert code == 3
    assert "resting" in errors
    status = device.status()
    assert (status["state"], status["sequence"], status["failed"]) == ("idle", 1, [])


def test_a_healthy_image_that_cannot_check_in_is_reverted_without_blame(board: Board) -> None:
    with Relay(board.url) as relay:
        seen: list[str] = []

        def silence(path: str, body: bytes) -> bytes:
            seen.append(path)
            tried = any("/blobs/" in earlier for earlier in seen)
            return b"<html>" if "/checkin/" in path and tried else body

        relay.alter = silence
        device = board.device("offline", relay=relay, trial_s=3)
        code, events, _ = device.once()
    assert code == 1
    reverted = next(event for event in events if event["event"] == "reverted")
    assert "no check-in was verified in time" in reverted["reason"]
    assert device.boots() == OLD
    assert device.status()["failed"] == []


def test_a_tampered_image_is_never_staged_and_its_source_is_blamed(board: Board) -> None:
    with Relay(board.url) as relay:
        relay.alter = lambda path, body: (
            body[:-1] + bytes([body[-1] ^ 1]) if "/blobs/" in path else body
        )
        device = board.device("lied-to", relay=relay)
        code, events, errors = device.once()
    assert code == 3
    assert "wrong-bytes" in errors
    assert "staged" not in names(events)
    assert device.boots() == OLD
    assert device.status()["sequence"] == 1


def test_a_device_in_no_lot_updates_but_cannot_report_as_one_of_the_fleet(board: Board) -> None:
    device = board.device("stranger")
    code, events, errors = device.once()
    assert code == 0, errors
    assert "not-enrolled" in names(events)
    assert device.boots() == NEW
    assert events[-1]["event"] == "report"
    assert events[-1]["delivery"] == "not-enrolled"
    assert device.status()["enrolled"] is False


def test_a_network_that_answers_with_its_login_page_is_no_attack(board: Board) -> None:
    with Relay(board.url) as relay:
        relay.alter = lambda _, __: b"<html>please log in</html>"
        device = board.device("good", relay=relay)
        code, events, _ = device.once()
    assert code == 75
    assert names(events) == ["unavailable"]
    assert device.status()["state"] == "idle"


def test_a_running_agent_holds_no_server_code_and_less_than_45_megabytes(board: Board) -> None:
    device = board.device("good")
    # An update, if it is still to come, is followed by another program: the next run is looked at.
    device.once()
    script = (
        "import pathlib, sys\n"
        "sys.argv = ['fieldpost', 'agent', 'once', '--home', sys.argv[1], '--json']\n"
        "from fieldpost.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    lines = pathlib.Path('/proc/self/status').read_text().splitlines()\n"
        "    peak = next(line.split()[1] for line in lines if line.startswith('VmHWM'))\n"
        "    print(peak, *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(device.home)],
        env=board.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    kilobytes, *loaded = done.stderr.split()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("fieldpost.")}
    assert not rooms & {"ledger", "engines", "store", "node", "fleet", "testing", "demo"}
    assert not {"asyncio", "starlette", "uvicorn", "sqlite3", "http.server"} & set(loaded)
    assert int(kilobytes) <= 45_000, f"{kilobytes} kB at the peak"


def wait_until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)
