# SPDX-License-Identifier: Apache-2.0
"""Two releases reach the devices: by shares, halted and resumed, and back where one falls ill."""

import time
from collections.abc import Callable
from typing import Final

from fieldpost.demo.devices import Device, start_agents, stop_agents
from fieldpost.demo.firmware import Image
from fieldpost.demo.operators import lose_operator, regain_operator
from fieldpost.demo.scene import Scene, said
from fieldpost.errors import Unavailable
from fieldpost.records.head import cohort_draw

QUARTER: Final = 2**30
_ROUND_S: Final = 120.0
_POLL_S: Final = 0.1


def publish(scene: Scene, image: Image) -> None:
    """Publish one image as the next release."""
    size = image.path.stat().st_size
    with scene.screen.step(f"the maker publishes {image.name} {image.version} ({size:,} bytes)"):
        scene.publish(image.path, image.version)


def first_release(scene: Scene, image: Image, live: list[Device]) -> bytes:
    """Release 1 to everybody. Returns the check-in that proved it, for a replay later."""
    publish(scene, image)
    scene.offer("1=100%")
    what = f"{len(live)} agents verify, install, boot and confirm release 1"
    with scene.screen.counted(what, len(live)) as c:
        start_agents(scene.processes, live)
        wait(live, lambda device: device.told("confirmed", 1), c.show)
    return scene.checkin()


def second_release(scene: Scene, image: Image, live: list[Device]) -> Device:
    """Release 2 to a quarter, halted, resumed, then to all; one device is ill on it. Returns it."""
    publish(scene, image)
    # Offered to nobody first: that fixes the public lottery, so we know whom it will find.
    scene.offer("2=0%", "1=100%")
    early, late = _draw(scene, live)
    ill = (early or late)[0]
    ill.make_ill(image.path)
    scene.offer("2=25%", "1=100%")
    lose_operator(scene)
    what = f"25 %: {len(early)} of {len(live)} are drawn by the public lottery, and update"
    with scene.screen.counted(what, len(early)) as counter:
        wait(early, lambda d: d.gave_up(2) if d is ill else d.told("confirmed", 2), counter.show)
    scene.claim(
        f"{ill.serial} fails its health check on release 2 and goes back, each time",
        held=not ill.told("confirmed", 2),
        seen="after three tries it leaves release 2 alone, and says so, signed",
    )
    stop_agents(scene.processes, [ill])
    others = [device for device in live if device is not ill]
    _halt(scene, [device for device in late if device is not ill])
    scene.offer("2=100%", "1=100%")
    with scene.screen.counted("100 %: the others follow", len(others)) as counter:
        wait(others, lambda device: device.told("confirmed", 2), counter.show)
    stop_agents(scene.processes, live)
    regain_operator(scene)
    return ill


def _halt(scene: Scene, late: list[Device]) -> None:
    with scene.screen.step("halted in the middle; every device asks again; then resumed"):
        scene.maker_call("rollout", "halt", scene.class_name, "--sequence", "2")
        seen = {device.serial: len(device.events) for device in late}
        wait(late, lambda device: bool(said(device.events[seen[device.serial] :], "checkin")))
        took = [device.serial for device in late if device.told("confirmed", 2)]
        scene.maker_call("rollout", "resume", scene.class_name, "--sequence", "2")
    scene.claim(
        "only the devices that were drawn had updated, and nobody during the halt",
        held=not took,
        seen=f"{len(late)} devices asked meanwhile and stayed on release 1",
    )


def _draw(scene: Scene, live: list[Device]) -> tuple[list[Device], list[Device]]:
    """Who is early at a quarter and who is not, from the public lottery of the newest offer."""
    salt = scene.head().offers[0].salt or b""
    draws = {device.serial: cohort_draw(salt, device.device_id) for device in live}
    early = [device for device in live if draws[device.serial] < QUARTER]
    return early, [device for device in live if device not in early]


def wait(
    devices: list[Device],
    there: Callable[[Device], bool],
    show: Callable[[int], None] = lambda _: None,
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
