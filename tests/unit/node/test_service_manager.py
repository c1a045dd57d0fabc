# SPDX-License-Identifier: Apache-2.0
"""A service manager hears that requests are served, and that the end has begun."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldpost.node.service_manager import READY, STOPPING, Progress, notify
from tests.unit.node.running_node import running


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(60)
        yield listening


def test_a_manager_hears_of_the_start_and_of_the_end(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    manager.bind(str(address))
    monkeypatch.setenv("NOTIFY_SOCKET", str(address))
    with running(tmp_path / "data"):
        assert manager.recv(100) == READY.encode()
    assert manager.recv(100) == STOPPING.encode()


def test_an_address_without_a_file_is_spoken_to(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.bind("")  # Linux chooses one
    name = manager.getsockname()
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name[1:].decode())
    notify(READY)
    assert manager.recv(100) == READY.encode()


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/notify", "@nobody", "/" + "x" * 200])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify(READY)


def test_a_long_start_is_told_once_a_second_and_not_ended_for_being_long(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    times = iter((0.0, 2.0, 2.5, 10.0, 900.0))
    passed_on: list[tuple[int, int]] = []
    progress = Progress(lambda *step: passed_on.append(step), uptime=lambda: next(times))
    for done in (4_000, 6_000, 20_000, 999_000):
        progress(done, 1_000_000)
    longer = "\nEXTEND_TIMEOUT_USEC=120000000"
    word = "STATUS=applies the log again:"
    for text in (
        f"{word} 4,000 of 1,000,000 entries",
        f"{word} 20,000 of 1,000,000 entries, about 10 min left",
        f"{word} 999,000 of 1,000,000 entries",
    ):
        assert manager.recv(200).decode() == text + longer
    assert passed_on == [(n, 1_000_000) for n in (4_000, 6_000, 20_000, 999_000)]
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(200)
