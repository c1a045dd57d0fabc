# SPDX-License-Identifier: Apache-2.0
"""Without a network, and over a stepping stone."""

from fieldpost.demo.attacks import run_once
from fieldpost.demo.devices import Device, stand
from fieldpost.demo.firmware import Image
from fieldpost.demo.scene import Scene

# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"


def update_from_a_file(scene: Scene, device: Device) -> None:
    """One file on a stick: first with a bit turned, then as it is."""
    good, bad = scene.root / "lamp.update", scene.root / "damaged.update"
    with scene.screen.step("the maker exports what is on offer to one file, for a USB stick"):
        scene.maker_call("release", "export", scene.class_name, "--out", str(good))
        data = bytearray(good.read_bytes())
        data[-10] ^= 1
        bad.write_bytes(data)
    device.point_to(NOWHERE)
    with scene.screen.step("a device without network applies it, first a copy with one bit turned"):
        scene.processes.run("agent", "apply", "--home", str(device.home), str(bad))
        before = stand(scene.processes, device)
        scene.processes.run("agent", "apply", "--home", str(device.home), str(good))
        after = stand(scene.processes, device)
    scene.claim(
        "a file is believed no more than a server, and no less",
        held=(before.sequence, after.sequence) == (1, 2),
        seen=f"after the damaged file it ran release {before.sequence}, after the good one "
        f"{after.sequence}, with rotated keys and all",
    )


def step_over(scene: Scene, device: Device, image: Image) -> None:
    """Release 4 can only be reached from release 2."""
    newest = scene.root / "newest.bin"
    newest.write_bytes(image.path.read_bytes() + b"after the data has moved")
    with scene.screen.step("release 4 needs data that release 2 has moved: a stepping stone"):
        sequence = scene.publish(newest, "4.0")
        scene.offer(f"{sequence}=100%", "2=100%", options=("--from", "2-3"))
        steps = [stand(scene.processes, device).sequence]
        for _ in range(2):
            run_once(scene.processes, device)
            steps.append(stand(scene.processes, device).sequence)
    scene.claim(
        "a device from the drawer goes over the stepping stone, never past it",
        held=steps == [1, 2, sequence],
        seen=f"it ran release {', then '.join(map(str, steps))}",
    )
