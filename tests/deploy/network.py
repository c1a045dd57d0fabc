# SPDX-License-Identifier: Apache-2.0
"""A network of namespaces, joined by a switch in one of its own. The host's interfaces stay alone.

berlin 10.87.0.1 ──┐
oslo   10.87.0.2 ──┼── switch
…                ──┘
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.deploy.machine import call

_PREFIX: Final = "fieldpost-try"
_SWITCH: Final = f"{_PREFIX}-switch"


@dataclass(frozen=True, slots=True)
class Place:
    """One end of the network."""

    name: str
    address: str

    @property
    def path(self) -> Path:
        """The namespace."""
        return Path("/run/netns") / f"{_PREFIX}-{self.name}"

    def call(self, *words: str | Path, timeout: float = 600, **settings: str) -> str:
        """Run a program of the host in this network: its output. Raises Failed."""
        enter = ("ip", "netns", "exec", self.path.name)
        return call(*enter, *words, timeout=timeout, **settings)


@contextmanager
def joined(names: Sequence[str]) -> Iterator[dict[str, Place]]:
    """Places of these names, which reach each other and nobody else."""
    with ExitStack() as stack:
        _add(_SWITCH, stack)
        call("ip", "-n", _SWITCH, "link", "add", "lan", "type", "bridge")
        call("ip", "-n", _SWITCH, "link", "set", "lan", "up")
        places = {}
        for number, name in enumerate(names, 1):
            places[name] = place = Place(name, f"10.87.0.{number}")
            namespace = place.path.name
            _add(namespace, stack)
            wire = f"wire{number}"
            other = ("peer", "name", "eth0", "netns", namespace)
            call("ip", "-n", _SWITCH, "link", "add", wire, "type", "veth", *other)
            call("ip", "-n", _SWITCH, "link", "set", wire, "master", "lan", "up")
            call("ip", "-n", namespace, "addr", "add", f"{place.address}/24", "dev", "eth0")
            call("ip", "-n", namespace, "link", "set", "eth0", "up")
            call("ip", "-n", namespace, "link", "set", "lo", "up")
        yield places


def _add(namespace: str, stack: ExitStack) -> None:
    call("ip", "netns", "add", namespace)
    stack.callback(call, "ip", "netns", "delete", namespace)
