# SPDX-License-Identifier: Apache-2.0
"""The main job, told once: from two firmware images to devices that run the newer one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fieldpost.checkin.bundle import decode_bundle
from fieldpost.client.transport import HttpClient
from fieldpost.demo.devices import (
    Device,
    enrol,
    start_agents,
    stop_agents,
    write_other_leaves,
)
from fieldpost.demo.firmware import Image
from fieldpost.demo.processes import Processes, Program
from fieldpost.demo.screen import Screen
from fieldpost.errors import Unavailable
from fieldpost.records.head import cohort_draw, decode_head
from fieldpost.records.limits import MAX_CHECKIN_BYTES

LIVE: Final = 20
VICTIMS: Final = 4
LOT: Final = 1_000
QUARTER: Final = 2**30
_ROUND_S: Final = 120.0
_POLL_S: Final = 0.1


@dataclass(slots=True)
class Scene:
    """Everything that the story has made so far."""

    root: Path
    home: Path
    provisioning: Path
    processes: Processes
    screen: Screen
    node: Program | None = None
    url: str = ""
    board: dict[str, Any] | None = None
    maker: str = ""
    class_name: str = "lamp:r1"
    class_id: str = ""

    def maker_call(self, *arguments: str) -> dict[str, Any]:
        """A command of the maker's."""
        return self.processes.call(*arguments, "--home", str(self.home))

    def checkin(self) -> bytes:
        """The bundle that the board shows to the class now."""
        with HttpClient(self.url) as http:
            return http.fetch(f"/v1/checkin/{self.class_id}/stable", most_bytes=MAX_CHECKIN_BYTES)


def start_board(scene: Scene) -> None:
    """A node with a board of its own."""
    with scene.screen.step("a node starts: a new board, keys and genesis"):
        scene.node = scene.processes.start(
            "node", "run", "--data", str(scene.root / "node"), "--listen", "127.0.0.1:0", "--json",
            log="node",
        )  # fmt: skip
        scene.url = scene.node.wait_for(lambda e: e.get("event") == "ready")["url"]
        scene.board = scene.processes.call("board", "show", "--board", scene.url)
    scene.screen.fact(f"board {scene.board['board']}")
    scene.screen.fact(f"at {scene.url}")
    scene.screen.fact("solo, a trial board: one operator, so nobody else vouches for one history")


def register_maker(scene: Scene) -> None:
    """A maker with 2-of-3 roots, a class, and what its devices are to trust."""
    with scene.screen.step("a maker makes keys (2-of-3 roots) and registers"):
        scene.maker = scene.maker_call("maker", "init", "--name", "Example Lamps")["maker"]
        scene.maker_call("maker", "register", "--board", scene.url, "--yes")
    with scene.screen.step(f"a class of devices: {scene.class_name}"):
        added = scene.maker_call(
            "class", "add", scene.class_name, "--support-end", "2036-12-31",
            "--least-interval", "1",
        )  # fmt: skip
        scene.class_id = added["class"]
        scene.maker_call("class", "trust", scene.class_name, "--out", str(scene.provisioning))
    scene.screen.fact(
        f"what its devices trust, signed: {scene.provisioning.stat().st_size:,} bytes"
    )


def enrol_devices(scene: Scene, first: Image) -> tuple[list[Device], list[Device], Device]:
    """A lot of 1,000: live devices, victims for later, and the rest; and one stranger.

    The live devices leave the factory empty; victims and stranger with the first image.
    """
    lot = scene.root / "requests"
    serials = [f"live-{n:02d}" for n in range(LIVE)]
    prey = [f"victim-{n}" for n in range(VICTIMS)]
    with scene.screen.step(f"{LIVE} devices make their keys, and {VICTIMS + 1} for later"):
        live = enrol(scene.processes, scene.root, scene.provisioning, serials, None)
        *victims, stranger = enrol(
            scene.processes, scene.root, scene.provisioning, [*prey, "stranger"], first
        )
        lot.mkdir()
        for device in (*live, *victims):
            (lot / f"{device.serial}.enrol").write_bytes(
                (device.home / f"{device.serial}.enrol").read_bytes()
            )
    with scene.screen.step(f"the factory enrols a lot of {LOT:,} devices in one post"):
        leaves = scene.root / "other-leaves.cbor"
        write_other_leaves(leaves, bytes.fromhex(scene.class_id), LOT - LIVE - VICTIMS)
        scene.maker_call(
            "lot", "enrol", scene.class_name, "--requests", str(lot), "--leaves", str(leaves)
        )
    return live, victims, stranger


def publish(scene: Scene, image: Image) -> None:
    """Publish one image as the next release."""
    size = image.path.stat().st_size
    with scene.screen.step(f"the maker publishes {image.name} {image.version} ({size:,} bytes)"):
        scene.maker_call(
            "release", "publish", scene.class_name, str(image.path), "--version", image.version
        )


def set_rollout(scene: Scene, *offers: str) -> None:
    """Say what the channel offers."""
    options = [word for offer in offers for word in ("--offer", offer)]
    scene.maker_call("rollout", "set", scene.class_name, "--interval", "1", *options)


def first_release(scene: Scene, image: Image, live: list[Device]) -> bytes:
    """Release 1 to everybody. Returns the check-in that proved it, for a replay later."""
    publish(scene, image)
    set_rollout(scene, "1=100%")
    what = f"{LIVE} agents verify, install, boot and confirm release 1"
    with scene.screen.counted(what, LIVE) as c:
        start_agents(scene.processes, live)
        _wait(live, lambda device: device.told("confirmed", 1), c.show)
    return scene.checkin()


def second_release(scene: Scene, image: Image, live: list[Device]) -> Device:
    """Release 2 to a quarter, then to all; one device is ill on it. Returns that device."""
    publish(scene, image)
    # Offered to nobody first: that fixes the public lottery, so we know whom it will find.
    set_rollout(scene, "2=0%", "1=100%")
    early, late = _draw(scene, live)
    ill = (early or late)[0]
    ill.make_ill(image.path)
    set_rollout(scene, "2=25%", "1=100%")
    _until_settled(scene, f"25 %: {len(early)} of {LIVE} are eligible and update", early, ill, 0)
    if any(device.told("confirmed", 2) for device in late):
        raise Unavailable("a device updated before its turn; this must not happen")
    scene.screen.fact(f"the other {len(late)} stay on the base offer, release 1")
    since = len(ill.events)
    set_rollout(scene, "2=100%", "1=100%")
    _until_settled(scene, "100 %: the others follow", live, ill, since)
    stop_agents(scene.processes, live)
    scene.screen.fact(f"{ill.serial} fails its health check on release 2 and goes back, each time;")
    scene.screen.fact("after three tries it leaves release 2 alone, and says so")
    return ill


def _draw(scene: Scene, live: list[Device]) -> tuple[list[Device], list[Device]]:
    """Who is early at a quarter and who is not, from the public lottery of the newest offer."""
    head = decode_head(decode_bundle(scene.checkin(), most_bytes=MAX_CHECKIN_BYTES).value or b"")
    salt = head.offers[0].salt or b""
    draws = {device.serial: cohort_draw(salt, device.device_id) for device in live}
    early = [device for device in live if draws[device.serial] < QUARTER]
    return early, [device for device in live if device not in early]


def _until_settled(scene: Scene, what: str, devices: list[Device], ill: Device, since: int) -> None:
    def settled(device: Device) -> bool:
        return device.gave_up(2, since=since) if device is ill else device.told("confirmed", 2)

    with scene.screen.counted(what, len(devices)) as counter:
        _wait(devices, settled, counter.show)


def _wait(
    devices: list[Device], there: Callable[[Device], bool], show: Callable[[int], None]
) -> None:
    """Until all are there, showing how many. Raises Unavailable if one ends, or after a while."""
    deadline = time.monotonic() + _ROUND_S
    while (reached := sum(there(device) for device in devices)) < len(devices):
        if time.monotonic() > deadline:
            raise Unavailable(f"only {reached} of {len(devices)} got there in {_ROUND_S:.0f} s")
        for device in devices:
            if device.program is not None:
                device.program.check_running()
        show(reached)
        time.sleep(_POLL_S)
    show(reached)
