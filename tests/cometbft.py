# SPDX-License-Identifier: Apache-2.0
"""Real CometBFT to test with, running an application of its own (kvstore) in a test's folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldpost.engines.cometbft.deaths import Death
from fieldpost.engines.cometbft.genesis import Genesis, Validator
from fieldpost.engines.cometbft.home import (
    HomeSettings,
    make_keys,
    write_config,
    write_genesis,
)
from fieldpost.engines.cometbft.process import CometProcess
from fieldpost.engines.cometbft.program import check_program, find_program
from fieldpost.engines.cometbft.rpc import CometRpc
from fieldpost.errors import Misconfigured
from tests.ports import free_ports

READY_S = 120.0


def need_cometbft() -> Path:
    """The program. Skips, and says what to install, where it is not."""
    try:
        program = find_program("cometbft")
        check_program(program)
    except Misconfigured:
        pytest.skip("CometBFT is not installed: run  make cluster-deps")
    return program


@dataclass(frozen=True, slots=True)
class Comet:
    """One running CometBFT, and how it ended, each time."""

    home: Path
    process: CometProcess
    rpc: CometRpc
    rpc_address: str
    deaths: list[Death]

    def wait_ready(self) -> None:
        self.process.wait_ready(self.rpc.status, timeout_s=READY_S)


def make_home(home: Path, *, application: str = "kvstore", time: int = 1_700_000_000) -> str:
    """A home of the only validator of a new chain; the address of its RPC."""
    key, _ = make_keys(home)
    p2p, rpc = free_ports(2)
    settings = HomeSettings(
        name="one.example",
        application=application,
        p2p_listen=f"127.0.0.1:{p2p}",
        rpc_listen=f"127.0.0.1:{rpc}",
        timeout_commit_ms=50,
    )
    write_config(home, settings)
    genesis = Genesis(
        board="board.example/1+00",
        time=time,
        size=2,
        root=bytes(32),
        genesis_post=b"post",
        validators=(Validator("one.example", key),),
    )
    write_genesis(home, genesis.encode())
    return settings.rpc_listen


@contextmanager
def running(home: Path, rpc: str) -> Iterator[Comet]:
    """CometBFT over `home`, until the block ends."""
    deaths: list[Death] = []
    process = CometProcess(need_cometbft(), home, on_death=deaths.append, first_delay_s=0.1)
    comet = Comet(home, process, CometRpc(rpc, answer_s=60.0), rpc, deaths)
    process.start()
    try:
        yield comet
    finally:
        comet.rpc.close()
        process.stop()
