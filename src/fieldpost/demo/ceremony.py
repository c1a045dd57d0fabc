# SPDX-License-Identifier: Apache-2.0
"""Five key ceremonies, and a device that slept through all of them."""

import shutil
from pathlib import Path

from fieldpost.demo.attacks import run_once
from fieldpost.demo.devices import Device, stand
from fieldpost.demo.scene import Scene, said

LINKS = 5
# Short enough for a demonstration, and a setting as real as ninety days.
GRACE_DAYS = 0.00004


def hold_ceremonies(scene: Scene, link_url: str) -> Path:
    """Five links of the maker's chain. Returns a thief's copy of the release key of before."""
    stolen = scene.root / "stolen.pem"
    with scene.screen.step("two of three roots, apart and offline, sign a new contact"):
        _sign_apart(scene)
    shutil.copy(scene.home / "keys" / "release-1.pem", stolen)
    with scene.screen.step("the release key is stolen: a new one signs again what is on offer"):
        again = scene.maker_call("maker", "rotate-keys", "--role", "release")["signed_again"]
    everyday = ("--role", "rollout", "--role", "enrol", "--role", "care")
    with scene.screen.step("the everyday keys are replaced, and then the roots themselves"):
        scene.maker_call("maker", "rotate-keys", *everyday)
        scene.maker_call("maker", "rotate-keys", "--role", "root")
    with scene.screen.step("a new policy: where to look for the maker if this board dies"):
        scene.maker_call(
            "maker", "set-policy", "--link-url", link_url, "--grace-days", f"{GRACE_DAYS:f}"
        )
    epoch = scene.maker_call("maker", "show")["epoch"]
    scene.claim(
        "five links, each signed by enough old and enough new root keys",
        held=epoch == LINKS and bool(again),
        seen=f"the maker's record is at epoch {epoch}; signed again: {', '.join(again)}",
    )
    return stolen


def _sign_apart(scene: Scene) -> None:
    """The everyday machine has no root key; two people sign the same file elsewhere."""
    apart, unsigned = scene.root / "roots", scene.root / "contact.unsigned"
    apart.mkdir()
    roots = sorted((scene.home / "keys").glob("root-*.pem"))
    for path in roots:
        path.rename(apart / path.name)
    scene.maker_call(
        "maker", "set-policy", "--contact", "security@lamps.example",
        "--export-unsigned", str(unsigned),
    )  # fmt: skip
    signed = [scene.root / f"person-{number}.signatures" for number in (1, 2)]
    for path, out in zip(roots, signed, strict=False):
        scene.processes.call(
            "maker", "sign", str(unsigned), "--key", str(apart / path.name),
            "--out", str(out), "--yes",
        )  # fmt: skip
    scene.maker_call("maker", "import", *map(str, signed))
    for path in roots:
        (apart / path.name).rename(path)


def wake(scene: Scene, sleeper: Device) -> None:
    """The device that slept through all of it checks in once."""
    with scene.screen.step("a device that slept since the factory wakes up and checks in once"):
        events = run_once(scene.processes, sleeper)
        runs = stand(scene.processes, sleeper).sequence
    moved = any(event.get("moved") for event in said(events, "checkin"))
    epoch = scene.head().maker_epoch
    scene.claim(
        "it follows all five links, one by one, and updates",
        held=moved and runs == 2 and epoch == LINKS,
        seen=f"the check-in that it believed names link {epoch}; it runs release {runs}",
    )
