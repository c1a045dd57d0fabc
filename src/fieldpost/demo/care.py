# SPDX-License-Identifier: Apache-2.0
"""When something is wrong: a withdrawn release, a floor, an advisory, a revoked device."""

from fieldpost.demo.attacks import run_once
from fieldpost.demo.devices import Device
from fieldpost.demo.firmware import Image
from fieldpost.demo.scene import Scene, said


def withdraw(scene: Scene, image: Image) -> None:
    """A release with a fault is offered to a few, and withdrawn."""
    faulty = scene.root / "faulty.bin"
    faulty.write_bytes(image.path.read_bytes() + b"a fault")
    with scene.screen.step("release 3 has a fault: published, offered to 5 %, withdrawn"):
        sequence = scene.publish(faulty, "faulty")
        scene.offer(f"{sequence}=5%", "2=100%")
        reason = "radio stops after a day"
        scene.maker_call("release", "withdraw", scene.class_name, str(sequence), "--reason", reason)
    words = ("rollout", "set", scene.class_name, "--offer", f"{sequence}=100%")
    refused = scene.maker_refusal(*words)
    offered = [offer.sequence for offer in scene.head().offers]
    scene.claim(
        "a withdrawn release is offered to nobody, and can never be offered again",
        held=sequence not in offered and bool(refused),
        seen=f"the channel offers {offered}; offering {sequence} is refused: {refused}",
    )


def raise_floor(scene: Scene) -> None:
    """Release 1 has a flaw that release 2 mends: an advisory, and a floor under all channels."""
    document = scene.root / "advisory.json"
    document.write_text('{"document": {"title": "Release 1 answers to strangers"}}\n')
    with scene.screen.step("release 1 has a flaw: an advisory, and the floor is raised to 2"):
        scene.maker_call(
            "advisory", "publish", scene.class_name, "--affected", "1", "--fixed-in", "2",
            "--cve", "CVE-2027-10001", "--severity", "high", "--document", str(document),
        )  # fmt: skip
        scene.maker_call("release", "floor", scene.class_name, "2")
    words = ("rollout", "set", scene.class_name, "--offer", "2=100%", "--offer", "1=100%")
    refused = scene.maker_refusal(*words)
    scene.claim(
        "a stolen rollout key cannot bring the old, vulnerable release back",
        held=refused == "below-floor",
        seen=f"offering release 1 again is refused by the board's rules: {refused}",
    )


def revoke(scene: Scene, device: Device) -> None:
    """A device is revoked: its reports count no more, and whoever checks it is told."""
    with scene.screen.step(f"{device.serial} was stolen: the maker revokes it"):
        scene.maker_call("device", "revoke", device.device_id.hex())
        events = run_once(scene.processes, device)
    refusals = [str(event.get("detail", "")) for event in said(events, "report")]
    scene.claim(
        "a revoked device is no longer counted",
        held=any(detail.startswith("revoked-device") for detail in refusals),
        seen=f"its report is refused: {(refusals or ['nothing'])[-1].partition(':')[0]}",
    )
