# SPDX-License-Identifier: Apache-2.0
"""Run the whole demonstration in a folder of its own."""

import secrets
import shutil
from pathlib import Path

from fieldpost.demo.attacks import attack_all, keep_evidence
from fieldpost.demo.firmware import Image
from fieldpost.demo.processes import Processes
from fieldpost.demo.screen import Screen
from fieldpost.demo.story import (
    Scene,
    enrol_devices,
    first_release,
    register_maker,
    second_release,
    start_board,
)
from fieldpost.demo.summary import Summary
from fieldpost.errors import Misconfigured

_MARK = ".fieldpost-demo"


def run(root: Path, images: tuple[Image, Image], screen: Screen, *, keep: bool) -> Summary:
    """Tell the story, attack, and sum up. With `keep` the node is left running."""
    _clear(root)
    old, new = images
    # The maker's keys are encrypted here as anywhere; this passphrase lives as long as the folder.
    secret = secrets.token_hex(16)
    (root / "passphrase").touch(mode=0o600)
    (root / "passphrase").write_text(secret)
    processes = Processes(root / "logs", {"FIELDPOST_PASSPHRASE": secret})
    scene = Scene(
        root=root,
        home=root / "maker",
        provisioning=root / "lamp.provisioning",
        processes=processes,
        screen=screen,
    )
    with processes:
        screen.heading("A board, a maker, a thousand devices")
        start_board(scene)
        register_maker(scene)
        live, victims, stranger = enrol_devices(scene, old)
        screen.heading("Two releases reach them")
        recorded = first_release(scene, old, live)
        ill = second_release(scene, new, live)
        fleet = scene.maker_call("fleet", "status", scene.class_name)
        screen.heading("Attacks, each from a hostile server of its own")
        updated = next(device for device in live if device is not ill)
        verdicts = attack_all(
            scene, victims=victims, updated=updated, stranger=stranger, recorded=recorded
        )
        keep_evidence(verdicts, root / "attacks.json")
        board = processes.call("board", "show", "--board", scene.url)
        summary = Summary(
            board=board["board"],
            url=scene.url,
            root=root,
            home=scene.home,
            class_name=scene.class_name,
            node_pid=scene.node.process.pid if keep and scene.node is not None else None,
            elapsed_s=screen.elapsed_s(),
            checkin_bytes=len(scene.checkin()),
            entries=int(board["size"]),
            fleet=fleet,
            versions={"1": old.version, "2": new.version},
            verdicts=verdicts,
        )
        if keep and scene.node is not None:
            processes.release(scene.node)
    return summary


def _clear(root: Path) -> None:
    """Make an empty folder; only an earlier demonstration's is ever removed."""
    if root.exists() and any(root.iterdir()):
        if not (root / _MARK).exists():
            raise Misconfigured(f"{root} is not empty and no demonstration's; choose another --dir")
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARK).touch()
