# SPDX-License-Identifier: Apache-2.0
"""Run the whole demonstration in a folder of its own."""

import secrets
import shutil
from pathlib import Path
from typing import Any

from fieldpost.demo.attacks import Verdict, attack_all, keep_evidence
from fieldpost.demo.care import raise_floor, revoke, withdraw
from fieldpost.demo.ceremony import hold_ceremonies, wake
from fieldpost.demo.customer import ask_after, ask_before
from fieldpost.demo.firmware import Image
from fieldpost.demo.leaving import (
    close_old_board,
    follow_after_death,
    follow_by_hand,
    follow_the_living,
    move_fleet,
    web_server,
)
from fieldpost.demo.operators import any_data
from fieldpost.demo.processes import Processes
from fieldpost.demo.rollout import first_release, second_release
from fieldpost.demo.scene import Scene
from fieldpost.demo.screen import Screen
from fieldpost.demo.stick import step_over, update_from_a_file
from fieldpost.demo.story import Cast, enrol_devices, register_maker, start_board
from fieldpost.demo.summary import Summary
from fieldpost.errors import Misconfigured

_MARK = ".fieldpost-demo"


def run(
    root: Path,
    images: tuple[Image, Image],
    screen: Screen,
    *,
    keep: bool,
    is_replicated: bool = False,
) -> Summary:
    """Tell the story, attack, and sum up. With `keep` the last node is left running.

    `is_replicated`: four operators run the first board, and one dies halfway.
    """
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
        is_replicated=is_replicated,
    )
    with processes, web_server(root / "www") as web:
        verdicts, fleet = _tell(scene, images, f"{web}/links", root / "www" / "links")
        keep_evidence(verdicts, root / "attacks.json")
        board = processes.call("board", "show", "--board", scene.url)
        summary = Summary(
            board=board["board"],
            url=scene.url,
            root=root,
            first_board=any_data(scene) if is_replicated else root / "node",
            home=scene.home,
            class_name=scene.class_name,
            node_pid=scene.node.process.pid if keep and scene.node is not None else None,
            elapsed_s=screen.elapsed_s(),
            checkin_bytes=len(scene.checkin()),
            fleet=fleet,
            versions={"1": old.version, "2": new.version},
            claims=scene.claims,
            verdicts=verdicts,
        )
        if keep and scene.node is not None:
            processes.release(scene.node)
    return summary


def _tell(
    scene: Scene, images: tuple[Image, Image], link_url: str, links: Path
) -> tuple[list[Verdict], dict[str, Any]]:
    """The whole story; the verdicts on the attacks, and what the fleet had reported by then."""
    old, new = images
    scene.begin("A board, a maker, a thousand devices", "Nobody here trusts anybody.")
    start_board(scene)
    register_maker(scene)
    cast = enrol_devices(scene, old)
    asleep = cast.sleepers

    scene.begin(
        "A staged rollout",
        "A bad release should reach few devices, and none for good.",
    )
    recorded = first_release(scene, old, cast.live)
    ill = second_release(scene, new, cast.live)
    fleet = scene.maker_call("fleet", "status", scene.class_name)

    scene.begin("Something is wrong", "What is known to be bad must not come back.")
    withdraw(scene, new)
    raise_floor(scene)
    ask_before(scene, asleep["sleeper"])
    revoke(scene, ill)

    scene.begin(
        "Keys are lost and stolen",
        "Devices live longer than keys, and sleep through what happens to them.",
    )
    stolen = hold_ceremonies(scene, link_url)
    wake(scene, asleep["sleeper"])
    ask_after(scene, asleep["sleeper"], cast.stranger)

    scene.begin("Without a network", "Not everything is online, or can skip a version.")
    update_from_a_file(scene, asleep["stick"])
    step_over(scene, asleep["steps"], new)

    scene.begin("Attacks, each from a hostile server of its own", "A gateway, a mirror, a thief.")
    updated = next(device for device in cast.live if device is not ill)
    verdicts = attack_all(
        scene,
        victims=cast.victims,
        updated=updated,
        stranger=cast.stranger,
        recorded=recorded,
        stolen=stolen,
    )
    _leave(scene, images, cast, links)
    return verdicts, fleet


def _leave(scene: Scene, images: tuple[Image, Image], cast: Cast, links: Path) -> None:
    scene.begin("The way out", "A board may turn bad, or die. Its devices need not die with it.")
    old_urls, old_node = scene.urls, scene.node
    moved, late, drawer, ladder = (
        cast.sleepers[name] for name in ("moved", "late", "drawer", "ladder")
    )
    board = move_fleet(scene, images, links, [moved, late, drawer, ladder])
    follow_the_living(scene, moved, board)
    close_old_board(scene, old_urls, late, board)
    if old_node is not None:
        scene.processes.stop(old_node)
    follow_after_death(scene, drawer, board)
    follow_by_hand(scene, ladder, links, board)


def _clear(root: Path) -> None:
    """Make an empty folder; only an earlier demonstration's is ever removed."""
    if root.exists() and any(root.iterdir()):
        if not (root / _MARK).exists():
            raise Misconfigured(f"{root} is not empty and no demonstration's; choose another --dir")
        shutil.rmtree(root)
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARK).touch()
