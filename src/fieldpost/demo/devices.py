# SPDX-License-Identifier: Apache-2.0
"""The demonstration's devices: homes with keys of their own, and the rest of the lot's leaves."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from fieldpost import cbor
from fieldpost.demo.firmware import Image
from fieldpost.demo.processes import Event, Processes, Program
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.keys import Algorithm
from fieldpost.signers.software import SoftwareSigner

# Fails exactly where a file called `ill` lies in the home and the image has its content.
_HEALTH = 'test -s "$FIELDPOST_IMAGE" && ! cmp -s "$0" "$FIELDPOST_IMAGE"'


@dataclass(slots=True)
class Device:
    """One live device: its home, and the events of its agent."""

    serial: str
    home: Path
    device_id: bytes = b""
    events: list[Event] = field(default_factory=list)
    program: Program | None = None

    def make_ill(self, image: Path) -> None:
        """Let the health check fail on this image."""
        (self.home / "ill").write_bytes(image.read_bytes())

    def point_to(self, url: str) -> None:
        """What an attacker on the path does: this agent talks to `url` and nobody else."""
        config = self.home / "agent.toml"
        lines = [line for line in config.read_text().splitlines() if not line.startswith("urls")]
        config.write_text("\n".join([f'urls = ["{url}"]', *lines]) + "\n")

    def told(self, outcome: str, sequence: int) -> bool:
        """Whether a report with this outcome of a release was delivered."""
        wanted = {"delivery": "sent", "outcome": outcome, "sequence": sequence}
        return any(wanted.items() <= event.items() for event in self.events)

    def gave_up(self, sequence: int) -> bool:
        """Whether it was told that the release failed for good, and then what runs."""
        sent = [event for event in self.events if event.get("delivery") == "sent"]
        said = [(event["outcome"], event["sequence"]) for event in sent]
        return ("failed", sequence) in said and said[-1] != ("failed", sequence)


def enrol(
    processes: Processes, root: Path, provisioning: Path, serials: list[str], base: Image | None
) -> list[Device]:
    """Make a home, a key and an enrolment request for every serial, four at a time.

    `base` is the image with which they leave the factory, release 1.
    """
    factory = () if base is None else (
        "--base", str(base.path), "--base-sequence", "1", "--base-version", base.version,
    )  # fmt: skip

    def one(serial: str) -> Device:
        home = root / "devices" / serial
        made = processes.call(
            "agent", "enrol", "--home", str(home), "--provisioning", str(provisioning),
            "--serial", serial, *factory,
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
    check = json.dumps(["sh", "-c", _HEALTH, str(home / "ill")])
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a device stored and runs: the release, the size and root of the board that it believes,
    and the SHA-256 of the image in the slot that boots."""

    sequence: int
    size: int
    root: str | None
    digest: str

    @property
    def runs(self) -> tuple[int, str]:
        """The release and the very bytes that run."""
        return self.sequence, self.digest


def stand(processes: Processes, device: Device) -> Standing:
    """Read from the device's disk, by `agent status`, and the image from its slot."""
    status = processes.call("agent", "status", "--home", str(device.home))
    return Standing(
        sequence=int(status["sequence"]),
        size=int(status["size"]),
        root=status["root"],
        digest=running_image(device),
    )


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
