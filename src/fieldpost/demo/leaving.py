# SPDX-License-Identifier: Apache-2.0
"""The way out: devices leave a board while it lives, after it died, and by a person's hand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fieldpost.demo.attacks import run_once
from fieldpost.demo.devices import Device, start_agents, stop_agents
from fieldpost.demo.firmware import Image
from fieldpost.demo.operators import close_by_ceremony
from fieldpost.demo.rollout import wait
from fieldpost.demo.scene import Scene, said, start_node
from fieldpost.demo.story import add_class, enrol_lot


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nobody reads this server's log."""


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """The maker's own web server, for its links file; its URL."""
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def move_fleet(scene: Scene, images: tuple[Image, Image], links: Path, asleep: list[Device]) -> str:
    """Another board is prepared, and the maker's last link here names it. Returns its id.

    The devices `asleep` have checked in here before, so they know the way out.
    """
    with scene.screen.step("the devices of this chapter check in, and are switched off"):
        for device in asleep:
            run_once(scene.processes, device)
    with scene.screen.step("another board; the maker registers there with its chain of links"):
        node, url = start_node(scene, scene.root / "next-node", "next-node")
        scene.maker_call("maker", "register", "--board", url, "--yes")
        scene.maker_call("maker", "use", url)
    add_class(scene)
    with scene.screen.step("lot and releases follow; nothing has moved yet"):
        enrol_lot(scene)
        for image in images:
            scene.publish(image.path, image.version)
        scene.offer("2=100%")
        scene.maker_call("maker", "use", *scene.urls)
    with scene.screen.step("the roots sign one link: from now on, the other board"):
        scene.maker_call("maker", "set-policy", "--move-to", url)
        moved = scene.maker_call("maker", "register", "--board", url)
        scene.maker_call("maker", "links", "--out", str(links))
    scene.node, scene.urls = node, (url,)
    return str(moved["board"])


def follow_the_living(scene: Scene, device: Device, board: str) -> None:
    """While the old board lives, one check-in is enough."""
    with scene.screen.step("a device checks in while the old board lives"):
        events = run_once(scene.processes, device)
    scene.claim(
        "the old board itself proves the way to the new one",
        held=_stands_on(scene, device) == board,
        seen=_how(events),
    )


def close_old_board(scene: Scene, old: tuple[str, ...], device: Device, board: str) -> None:
    """Whoever runs it closes it: no post any more, and devices still find their way."""
    who = "three of its four operators close" if scene.is_replicated else "its operator closes"
    words = ("board", "close", "--successor", "board.example/2", "--yes")
    with scene.screen.step(f"{who} the old board; a late device checks in there"):
        if scene.is_replicated:
            close_by_ceremony(scene, old, *words)
        else:
            data = str(scene.root / "node")
            scene.processes.call(*words, "--data", data, "--board", old[0])
        events = run_once(scene.processes, device)
    newcomer = scene.root / "newcomer"
    init = ("maker", "init", "--name", "Newcomer", "--one-key", "--no-passphrase")
    scene.processes.call(*init, "--home", str(newcomer))
    refused = scene.maker_refusal("maker", "register", "--board", old[0], "--yes", home=newcomer)
    scene.claim(
        "a closed board takes no post any more, and still leads late devices away",
        held=refused == "closed" and _stands_on(scene, device) == board,
        seen=f"a newcomer's registration is refused: {refused}; the late device {_how(events)}",
    )


def follow_after_death(scene: Scene, device: Device, board: str) -> None:
    """Nobody answers any more: after its grace the device looks where its maker told it to."""
    with scene.screen.step("the old board is dead; a device tries in vain until its grace is over"):
        start_agents(scene.processes, [device])
        wait([device], lambda d: bool(said(d.events, "moved")))
        wait([device], lambda d: d.told("confirmed", 2) or d.told("checked-in", 2))
        stop_agents(scene.processes, [device])
    scene.claim(
        "after the grace period, counted in powered time, it believes its maker's roots alone",
        held=_stands_on(scene, device) == board,
        seen=_how(device.events),
    )


def follow_by_hand(scene: Scene, device: Device, links: Path, board: str) -> None:
    """A person brings the same file."""
    with scene.screen.step("somebody with a ladder brings the links file to another one"):
        scene.processes.run("agent", "follow", "--home", str(device.home), str(links))
        run_once(scene.processes, device)
    scene.claim(
        "a person at the device need not wait",
        held=_stands_on(scene, device) == board,
        seen="every link was signed by the maker's roots; nothing else was asked for",
    )


def _stands_on(scene: Scene, device: Device) -> str:
    return str(scene.processes.call("agent", "status", "--home", str(device.home))["board"])


def _how(events: list[dict[str, object]]) -> str:
    moved = said(events, "moved")
    return f"moved, by {moved[-1].get('by')}" if moved else "did not move"
