# SPDX-License-Identifier: Apache-2.0
"""What a customer learns who scans the code on a device: every answer proven on the spot."""

import json
from typing import Any

from fieldpost.demo.devices import Device
from fieldpost.demo.scene import Scene


def ask_before(scene: Scene, device: Device) -> None:
    """A device out of the drawer, on release 1: is it safe to use?"""
    with scene.screen.step("a customer checks a lamp from the drawer, on release 1"):
        code, found = _check(scene, device, "--running", "1")
    scene.claim(
        "the customer is told that it is not up to date, and why",
        held=code == 1 and found["newest_secure_release"] == "no",
        seen="; ".join(found.get("against") or ["nothing against it"]),
    )


def ask_after(scene: Scene, device: Device, impostor: Device) -> None:
    """After the update, with a challenge: the unit signs it, a fake with the same id cannot."""
    with scene.screen.step("the customer asks again, and lets the unit sign a challenge"):
        challenge = scene.processes.call("device", "challenge")["challenge"]
        answers = [
            _check(
                scene, device, "--running", "2",
                "--challenge", challenge, "--proof", _prove(scene, unit, challenge),
            )
            for unit in (device, impostor)
        ]  # fmt: skip
    (code, found), (fake_code, fake) = answers
    scene.claim(
        "enrolled, valid, supported, on the newest secure release, and genuine",
        held=code == 0 and found["genuine"] == "yes",
        seen=f"every answer proven under the board's quorum; exit code {code}",
    )
    scene.claim(
        "a fake that shows the same id cannot pass for it",
        held=fake_code != 0 and fake["genuine"] != "yes",
        seen=f"genuine: {fake['genuine']}; exit code {fake_code}",
    )


def _prove(scene: Scene, unit: Device, challenge: str) -> str:
    words = ("agent", "prove", "--home", str(unit.home), "--challenge", challenge)
    return str(scene.processes.call(*words)["proof"])


def _check(scene: Scene, device: Device, *options: str) -> tuple[int, dict[str, Any]]:
    done = scene.processes.run(
        "device", "check", device.device_id.hex(),
        "--provisioning", str(scene.provisioning), *options,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}")
