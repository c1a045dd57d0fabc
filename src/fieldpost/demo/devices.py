# SPDX-License-Identifier: Apache-2.0
"""The demonstration's devices: homes with keys of their own, and the rest of the lot's leaves."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from fieldpost import cbor
from fieldpost.demo.processes import Event, Processes, Program
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm
from fieldpost.signers.software import SoftwareSigner

# Fails exactly where a file called `sick` lies beside it and the image has its content.
_HEALTH = 'test -s "$FIELDPOST_IMAGE" && ! cmp -s "$0" "$FIELDPOST_IMAGE"'


@dataclass(slots=True)
class Device:
    """One live device: its home, and the events of its agent."""

    serial: str
    home: Path
    device_id: bytes = b""
    events: list[Event] = field(default_factory=list)
    program: Program | None = None

    def make_sick(self, image: Path) -> None:
        """Let the health check fail on this image."""
        (self.home / "sick").write_bytes(image.read_bytes())

    def point_to(self, url: str) -> None:
        """What an attacker on the path does: this agent talks to `url` and nobody else."""
        config = self.home / "agent.toml"
        lines = [line for line in config.read_text().splitlines() if not line.startswith("urls")]
        config.write_text("\n".join([f'urls = ["{url}"]', *lines]) + "\n")

    def confirmed(self, sequence: int) -> bool:
        """Whether its agent said that it confirmed a release."""
        return any(
            event.get("event") == "confirmed" and event.get("sequence") == sequence
            for event in self.events
        )

    def reverted(self) -> bool:
        """Whether its agent said that it went back."""
        return any(event.get("event") == "reverted" for event in self.events)


def enrol(processes: Processes, root: Path, provisioning: Path, serials: list[str]) -> list[Device]:
    """Make a home, a key and an enrolment request for every serial, four at a time."""

    def one(serial: str) -> Device:
        home = root / "devices" / serial
        made = processes.call(
            "agent", "enrol", "--home", str(home), "--provisioning", str(provisioning),
            "--serial", serial,
        )  # fmt: skip
        _configure(home)
        return Device(serial, home, bytes.fromhex(made["device_id"]))

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, serials))


def _configure(home: Path) -> None:
    config = home / "agent.toml"
    lines = [
        line for line in config.read_text().splitlines() if not line.startswith("health_check")
    ]
    check = json.dumps(["sh", "-c", _HEALTH, str(home / "sick")])
    config.write_text("\n".join([f"health_check = {check}", *lines]) + "\n")


def write_other_leaves(path: Path, class_id: bytes, count: int) -> None:
    """Leaves of devices that are not live here, each with a key of its own."""
    leaves = [
        DeviceLeaf(
            f"lamp-{number:04d}",
            SoftwareSigner.generate(Algorithm.ED25519).public_key,
            class_id,
        ).encode()
        for number in range(count)
    ]
    path.write_bytes(cbor.encode(leaves))


def status(processes: Processes, device: Device) -> dict[str, Any]:
    """What an agent stored, read back from its disk by `agent status`."""
    return processes.call("agent", "status", "--home", str(device.home))


def running_image(device: Device) -> str:
    """SHA-256 of the image in the slot that the device boots, or "none"."""
    images = sorted((device.home / "slots" / "current").glob("image*"))
    return sha256(images[0].read_bytes()).hexdigest() if images else "none"


def start_agents(processes: Processes, devices: list[Device]) -> None:
    """Run an agent process for every device."""
    for device in devices:
        device.program = processes.start(
            "agent", "run", "--home", str(device.home), "--json",
            log=device.serial, on_event=device.events.append,
        )  # fmt: skip


def stop_agents(processes: Processes, devices: list[Device]) -> None:
    """Stop the agents; what they know is on their disks."""
    running = [device for device in devices if device.program is not None]
    for device in running:
        if device.program is not None:
            device.program.process.terminate()
    for device in running:
        if device.program is not None:
            processes.stop(device.program)
            device.program = None
