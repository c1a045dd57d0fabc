# SPDX-License-Identifier: Apache-2.0
"""`fieldpost witness` as its operator meets it: processes, kills, exit codes, numbers."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldpost.client.transport import HttpClient
from fieldpost.client.witness import add_checkpoint
from fieldpost.tlog.note import format_vkey
from fieldpost.tlog.witness import OtherSize
from tests.unit.watch.witness_world import ToyLog

pytestmark = pytest.mark.e2e
WAIT_S = 60
LOG = ToyLog()
VKEY = format_vkey(LOG.keys()[0])


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fieldpost.cli", "witness", *words, "--json"]
    environment = {n: v for n, v in os.environ.items() if not n.startswith("FIELDPOST_")}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=WAIT_S, env=environment, check=False
    )


@dataclass
class Process:
    child: "subprocess.Popen[str]"
    ready: dict[str, str]

    def ask(self, old: int, size: int) -> int:
        with HttpClient(self.ready["url"], timeout_s=WAIT_S) as http:
            proof = LOG.proof(old, size)
            return len(
                add_checkpoint(http, old_size=old, proof=proof, note=LOG.note(size), state=None)
            )


@contextmanager
def serving(data: Path) -> Iterator[Process]:
    words = ("--data", str(data), "--log", VKEY, "--listen", "127.0.0.1:0", "--json")
    command = [sys.executable, "-m", "fieldpost.cli", "witness", "run", *words]
    more = ("--metrics-listen", "127.0.0.1:0")
    with subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield Process(child, json.loads(child.stdout.readline()))
        finally:
            child.kill()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = run("init", "--data", str(tmp_path / "w"), "--name", "w.test/1")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["name"] == "w.test/1"
    return tmp_path / "w"


def test_a_witness_killed_at_once_after_its_answer_still_knows_it(data: Path) -> None:
    with serving(data) as witness:
        assert witness.ready["name"] == "w.test/1"
        assert witness.ask(0, 7) == 1
        witness.child.send_signal(signal.SIGKILL)
        witness.child.wait(WAIT_S)
    with serving(data) as again:
        with pytest.raises(OtherSize) as found:
            again.ask(3, 9)
        assert found.value.size == 7
        assert again.ask(7, 9) == 1
    shown = json.loads(run("show", "--data", str(data)).stdout)
    assert [(row["origin"], row["size"]) for row in shown["cosigned"]] == [(LOG.origin, 9)]


def test_a_second_process_in_the_same_folder_is_refused(data: Path) -> None:
    with serving(data):
        second = run("run", "--data", str(data), "--log", VKEY, "--listen", "127.0.0.1:0")
    assert second.returncode == 78
    assert "in use" in json.loads(second.stderr)["detail"]


def test_sigterm_is_a_calm_end_and_the_numbers_are_for_the_operator(data: Path) -> None:
    with serving(data) as witness:
        witness.ask(0, 7)
        with urllib.request.urlopen(f"{witness.ready['metrics']}/metrics", timeout=WAIT_S) as page:
            text = page.read().decode()
        assert 'fieldpost_witness_answers_total{status="200"} 1' in text
        assert "fieldpost_witness_origins 1" in text
        with urllib.request.urlopen(f"{witness.ready['url']}/readyz", timeout=WAIT_S) as page:
            assert page.status == 200
        witness.child.send_signal(signal.SIGTERM)
        assert witness.child.wait(WAIT_S) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "nothing to witness"),
        (("--log", "no vkey"), "--log"),
        (("--policy", "/nonexistent"), "/nonexistent"),
        (("--board", "neither"), "no board"),
        (("--log", VKEY, "--listen", "nowhere"), "no address"),
    ],
)
def test_what_is_wrong_with_the_settings_is_said_with_exit_code_78(
    data: Path, words: tuple[str, ...], says: str
) -> None:
    failed = run("run", "--data", str(data), *words)
    assert failed.returncode == 78
    assert says in json.loads(failed.stderr)["detail"]
