# SPDX-License-Identifier: Apache-2.0
"""Real CometBFT, as the engine runs and asks it."""

import os
import platform
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldpost.engines.cometbft.home import signed_path
from fieldpost.engines.cometbft.process import CometProcess
from fieldpost.engines.cometbft.rpc import CometRpc
from fieldpost.engines.cometbft.votes import vote_only_above
from fieldpost.errors import Malformed, Misconfigured, Rejected, Unavailable
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node.comet_vitals import announce_cometbft
from fieldpost.testing.faulty_node import set_comet_clock
from tests.cometbft import READY_S, make_home, need_cometbft, running

pytestmark = pytest.mark.e2e


def wait_until(happened: Callable[[], object]) -> None:
    until = time.monotonic() + READY_S
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _program() -> None:
    need_cometbft()


def test_transactions_are_committed_and_asking_twice_is_safe(tmp_path: Path) -> None:
    with running(tmp_path, make_home(tmp_path)) as comet:
        comet.wait_ready()
        txs = [b"key%d=value" % number for number in range(25)]
        assert comet.rpc.broadcast(txs) == [None] * 25
        assert comet.rpc.broadcast(txs[:1]) == [None]
        wait_until(lambda: comet.rpc.status().height >= 1)
        status = comet.rpc.status()
        assert (status.catching_up, status.peers) == (False, 0)
        assert status.time >= 1_700_000_000
        metrics = Metrics()
        close = announce_cometbft(metrics, comet.rpc_address)
        told = re.search(r"^fieldpost_cometbft_height (\d+)$", metrics.render(), re.MULTILINE)
        assert told is not None
        assert int(told[1]) >= status.height
        assert "fieldpost_cometbft_peers 0\n" in metrics.render()
        close()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="wrong clocks need Linux on x86-64")
@pytest.mark.parametrize("seconds", [-86_400, 86_400])
def test_a_cometbft_that_nobody_changed_is_told_the_wrong_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Its blocks bear it, since its only validator votes with it."""
    now = int(time.time())
    rpc = make_home(tmp_path, time=now - 2 * 86_400)
    # Put back at the end, whoever replaces it.
    monkeypatch.setattr(CometProcess, "__init__", CometProcess.__init__)
    set_comet_clock(seconds)
    with running(tmp_path, rpc) as comet:
        comet.wait_ready()
        for number in range(3):
            comet.rpc.broadcast([b"k%d=v" % number])
            wait_until(lambda least=number + 1: comet.rpc.status().height >= least)  # type: ignore[misc]
        assert abs(comet.rpc.status().time - now - seconds) < 3_600
        assert comet.deaths == []


def test_what_the_application_or_the_mempool_refuses_says_so(tmp_path: Path) -> None:
    with running(tmp_path, make_home(tmp_path)) as comet:
        comet.wait_ready()
        no_pair, too_large, good = comet.rpc.broadcast([b"no pair", b"a=" + bytes(70_000), b"a=b"])
        assert isinstance(no_pair, Rejected)
        assert no_pair.code == 2
        assert isinstance(too_large, Malformed)
        assert good is None


def test_a_full_mempool_is_tried_again_later(tmp_path: Path) -> None:
    rpc = make_home(tmp_path)
    config = tmp_path / "config" / "config.toml"
    # One transaction fits, and stays there as long as no block is made.
    small = "[mempool]\nsize = 1\n"
    text = config.read_text().replace("[mempool]\n", small).replace('"50ms"', '"1h"')
    config.write_text(text)
    with running(tmp_path, rpc) as comet:
        comet.wait_ready()
        answers = comet.rpc.broadcast([b"a=1", b"b=1"])
        assert answers[0] is None
        assert isinstance(answers[1], Unavailable)
        assert answers[1].retry_after_s == 1
        assert "full" in str(answers[1])


def test_a_killed_cometbft_is_started_again_and_goes_on(tmp_path: Path) -> None:
    with running(tmp_path, make_home(tmp_path)) as comet:
        comet.wait_ready()
        comet.rpc.broadcast([b"a=b"])
        wait_until(lambda: comet.rpc.status().height >= 1)
        first = comet.process.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: comet.process.pid not in (None, first))
        comet.wait_ready()
        assert comet.rpc.status().height >= 1
        assert [death.reason for death in comet.deaths] == ["ended"]


def test_a_stopped_cometbft_stays_down_and_leaves_its_log(tmp_path: Path) -> None:
    with running(tmp_path, make_home(tmp_path)) as comet:
        comet.wait_ready()
        comet.process.stop()
        assert comet.process.pid is None
        with pytest.raises(Unavailable, match="not running"):
            comet.process.check_running()
        with pytest.raises(Unavailable, match="refused"):
            comet.rpc.status()
        assert isinstance(comet.rpc.broadcast([b"a=b"])[0], Unavailable)
    assert b"Started node" in (tmp_path / "cometbft.log").read_bytes()
    assert comet.deaths == []


def test_a_paused_cometbft_is_ended_all_the_same(tmp_path: Path) -> None:
    with running(tmp_path, make_home(tmp_path)) as comet:
        comet.wait_ready()
        comet.process._grace_s = 0.2
        assert comet.process.pid is not None
        os.kill(comet.process.pid, signal.SIGSTOP)
        comet.process.stop()
        assert comet.process.pid is None


def test_a_taken_port_is_told_and_waited_for(tmp_path: Path) -> None:
    rpc = make_home(tmp_path)
    host, port = rpc.split(":")
    with socket.socket() as other:
        other.bind((host, int(port)))
        other.listen()
        with running(tmp_path, rpc) as comet:
            wait_until(lambda: comet.deaths)
            assert comet.deaths[0].reason == "port-taken"
            with pytest.raises(Unavailable, match="another program has the port"):
                comet.process.check_running()
            other.close()
            comet.wait_ready()


def test_a_validator_key_without_its_state_is_refused_before_a_second_signature(
    tmp_path: Path,
) -> None:
    rpc = make_home(tmp_path)
    signed_path(tmp_path).unlink()
    with pytest.raises(Misconfigured, match="voting twice"), running(tmp_path, rpc):
        pass
    assert not signed_path(tmp_path).exists()


def test_what_a_restart_would_only_repeat_halts(tmp_path: Path) -> None:
    rpc = make_home(tmp_path)
    signed_path(tmp_path).write_text("broken")
    with running(tmp_path, rpc) as comet:
        wait_until(lambda: comet.deaths)
        assert comet.process.halted is not None
        assert [death.reason for death in comet.deaths] == ["validator-state"]
        with pytest.raises(Unavailable, match="validator key"):
            comet.wait_ready()
    assert signed_path(tmp_path).read_text() == "broken"


def test_cometbft_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    rpc = make_home(tmp_path)
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(need_cometbft()), str(tmp_path), rpc],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    wait_until(lambda: not _is_alive(child))


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


_PARENT = """
import sys
from pathlib import Path
from fieldpost.engines.cometbft.process import CometProcess
from fieldpost.engines.cometbft.process import CometProcess
from fieldpost.engines.cometbft.rpc import CometRpc
from fieldpost.engines.cometbft.votes import vote_only_above

process = CometProcess(Path(sys.argv[1]), Path(sys.argv[2]))
process.start()
process.wait_ready(CometRpc(sys.argv[3], answer_s=60.0).status, timeout_s=120)
print(process.pid, flush=True)
sys.stdin.read()
process._thread.join()
"""


@pytest.mark.parametrize("address", ["0.0.0.0:26657", "board.example:26657", "127.0.0.1", ""])
def test_an_rpc_that_others_can_reach_is_refused(address: str) -> None:
    with pytest.raises(Misconfigured, match="this machine alone"):
        CometRpc(address)


def test_cometbft_votes_for_no_height_below_what_its_key_is_bound_to(tmp_path: Path) -> None:
    rpc = make_home(tmp_path)
    # The only validator of a chain of no blocks: height 1 is the one in doubt.
    assert vote_only_above(tmp_path, 0) == 2
    with running(tmp_path, rpc) as comet:
        comet.wait_ready()
        assert comet.rpc.broadcast([b"a=b"]) == [None]
        log = tmp_path / "cometbft.log"
        wait_until(lambda: b"height regression" in log.read_bytes())
        assert comet.rpc.status().height == 0
    signed_path(tmp_path).write_text('{"height": "0", "round": 0, "step": 0}')
    with running(tmp_path, rpc) as comet:
        comet.wait_ready()
        comet.rpc.broadcast([b"a=b"])
        wait_until(lambda: comet.rpc.status().height >= 1)
