# SPDX-License-Identifier: Apache-2.0
"""Hosts of a test's own on one machine: network namespaces, joined by a wire that can fail.

    with Network(5, seed=7) as network:
        network.start(0, command)             a process on host 0
        network.within(4, lambda: ask(…))     a call whose connections begin on host 4
        network.cut({0}, {1, 2, 3})           nothing passes between these
        network.delay_s, network.loss         of every packet from here on

Each host has 10.77.0.N and a loopback of its own. What it sends comes out of a TUN device; a thread
takes it to where it goes, late or never. So real TCP of the kernel meets real delay and loss, and
no kernel module, bridge or firewall is needed. Root's business, so it may skip.
"""

import ctypes
import fcntl
import heapq
import os
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import pytest

_NEW_NET: Final = 0x40000000
_SET_TUN, _SET_FLAGS, _SET_ADDRESS, _SET_MASK, _SET_MTU = 0x400454CA, 0x8914, 0x8916, 0x891C, 0x8922
_TUN_ALONE: Final = 0x1001
_UP: Final = 0x41
_MTU: Final = 1_400
_IPV4: Final = 4
_MOST_PACKET: Final = 65_536

T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


def address(host: int) -> str:
    """The address of a host."""
    return f"10.77.0.{host + 1}"


class Network:
    """`hosts` hosts, numbered from 0. Skips where the system does not allow it."""

    def __init__(self, hosts: int, *, seed: int = 0) -> None:
        if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
            pytest.skip("partitions need root and /dev/net/tun: run the tests as root to try them")
        self.delay_s = 0.0
        self.loss = 0.0
        self._cut: frozenset[tuple[int, int]] = frozenset()
        self._chance = Random(seed)
        self._spaces = [_in_thread(_new_space) for _ in range(hosts)]
        self._devices = [
            self.within(host, partial(_make_device, address(host))) for host in range(hosts)
        ]
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._carry, name="wire", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._stopped)
        self._thread.join()
        for descriptor in (*self._devices, *self._spaces, self._stop):
            os.close(descriptor)

    def within(self, host: int, call: Callable[[], T]) -> T:
        """What `call` returns on `host`, in a thread of its own."""

        def there() -> T:
            self.enter(host)
            return call()

        return _in_thread(there)

    def enter(self, host: int) -> None:
        """From here on, the calling thread's new connections begin on `host`."""
        _check(_libc.setns(self._spaces[host], _NEW_NET))

    def start(self, host: int, command: Sequence[str], **arguments: Any) -> "subprocess.Popen[Any]":
        """A process on a host."""
        return self.within(host, lambda: subprocess.Popen(command, **arguments))

    def cut(self, *sides: Collection[int]) -> None:
        """Let nothing pass between the sides; hosts of no side are reached by all. () heals."""
        self._cut = frozenset(
            (a, b)
            for one in sides
            for other in sides
            if one is not other
            for a in one
            for b in other
        )

    def _carry(self) -> None:
        late: list[tuple[float, int, int, bytes]] = []
        number = 0
        poll = select.poll()
        for descriptor in (*self._devices, self._stop):
            poll.register(descriptor, select.POLLIN)
        by_device = {device: host for host, device in enumerate(self._devices)}
        while True:
            wait_ms = None if not late else max(0.0, (late[0][0] - time.monotonic()) * 1_000)
            for descriptor, _ in poll.poll(wait_ms):
                source = by_device.get(descriptor)
                if source is None:
                    return
                packet = os.read(descriptor, _MOST_PACKET)
                target = packet[19] - 1
                if packet[0] >> 4 != _IPV4 or packet[16:19] != b"\x0a\x4d\x00":
                    continue
                if not 0 <= target < len(self._devices) or (source, target) in self._cut:
                    continue
                if self.loss and self._chance.random() < self.loss:
                    continue
                number += 1
                due = time.monotonic() + self.delay_s
                heapq.heappush(late, (due, number, target, packet))
            now = time.monotonic()
            while late and late[0][0] <= now:
                _, _, target, packet = heapq.heappop(late)
                os.write(self._devices[target], packet)


def _new_space() -> int:
    _check(_libc.unshare(_NEW_NET))
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)


def _make_device(own: str) -> int:
    """A TUN device in the namespace of this thread, with an address; its loopback too is up."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(device, _SET_TUN, struct.pack("16sH14x", b"wire", _TUN_ALONE))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:

        def say(what: int, name: bytes, value: bytes) -> None:
            fcntl.ioctl(asker, what, name.ljust(16, b"\0") + value.ljust(16, b"\0"))

        def inet(text: str) -> bytes:
            return struct.pack("HH4s", socket.AF_INET, 0, socket.inet_aton(text))

        say(_SET_ADDRESS, b"wire", inet(own))
        say(_SET_MASK, b"wire", inet("255.255.255.0"))
        say(_SET_MTU, b"wire", struct.pack("i", _MTU))
        for name in (b"lo", b"wire"):
            say(_SET_FLAGS, name, struct.pack("H", _UP))
    return device


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "network namespaces")


def _in_thread(call: Callable[[], T]) -> T:
    """Namespaces belong to threads: one that ends leaves nothing behind."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised where it was asked for
            future.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return future.result()
