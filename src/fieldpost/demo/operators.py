# SPDX-License-Identifier: Apache-2.0
"""The board of the demonstration, run by four operators, one of which dies and comes back."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from fieldpost.client.transport import HttpClient
from fieldpost.demo.scene import Scene
from fieldpost.errors import FieldpostError
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.treehead import parse_checkpoint

T = TypeVar("T")
COUNT: Final = 4
# The one that the maker's commands ask first.
_VICTIM: Final = 1
_READY_S: Final = 120.0
_SAME_S: Final = 60.0
_PAUSE_S: Final = 0.1


def start_operators(scene: Scene) -> None:
    """Four operators on this machine, each a node, a CometBFT and a cosigner of its own."""
    with scene.screen.step(f"{COUNT} operators found a board together, and start"):
        scene.node = scene.processes.start(
            "cluster", "up", "--nodes", str(COUNT), "--dir", str(_folder(scene)), "--json",
            log="operators",
        )  # fmt: skip
        ready = scene.node.wait_for(lambda event: event.get("event") == "ready", _READY_S)
        scene.urls = tuple(ready["urls"])
    scene.screen.fact(f"each is asked at {', '.join(scene.urls)}")
    scene.screen.fact("a head counts once three of the four have cosigned it")


def lose_operator(scene: Scene) -> None:
    """In the middle of what happens: kill -9, of its node and of its CometBFT."""
    if not scene.is_replicated:
        return
    with scene.screen.step(f"operator {_VICTIM} of {COUNT} dies: kill -9, both its processes"):
        scene.processes.call("cluster", "kill", str(_VICTIM), "--dir", str(_folder(scene)))


def regain_operator(scene: Scene) -> None:
    """It comes back, and must show what the others do: the same history, the same fleet."""
    if not scene.is_replicated:
        return
    dead = scene.urls[_VICTIM - 1]
    others = [url for url in scene.urls if url != dead]
    before = _head(others[0])
    with scene.screen.step(f"operator {_VICTIM} comes back, and catches up"):
        scene.processes.call("cluster", "restart", str(_VICTIM), "--dir", str(_folder(scene)))
        heads = _until(lambda: {url: _head(url) for url in scene.urls}, _is_one)
        fleets = _until(lambda: {url: _fleet(scene, url) for url in scene.urls}, _is_one)
    size, root = heads[dead]
    scene.claim(
        "nobody waited for a dead operator, and it comes back to the same history",
        held=_is_one(heads) and size >= before[0],
        seen=f"all {COUNT} show size {size}, root {root[:16]}…; posts and updates went on without "
        "it",
    )
    scene.claim(
        "every operator counts the same fleet, whomever the devices reported to",
        held=_is_one(fleets) and json.loads(fleets[dead])["devices"] > 0,
        seen="also the one that was dead: the others passed on what it had missed",
    )


def close_by_ceremony(scene: Scene, urls: tuple[str, ...], *words: str) -> None:
    """What one operator alone may not do: three of four governance keys sign one file."""
    first, *rest = (_folder(scene) / f"operator-{n}" for n in range(1, COUNT))
    desk = ("--data", str(first / "data"), "--board", urls[0])
    unsigned = scene.root / "close.unsigned"
    scene.processes.call(*words, *desk, "--export-unsigned", str(unsigned))
    signed = []
    for folder in rest:
        signatures = scene.root / f"{folder.name}.signatures"
        key = folder / "data" / "keys" / "governance.pem"
        scene.processes.call(
            "maker", "sign", str(unsigned), "--key", str(key), "--out", str(signatures), "--yes"
        )
        signed.append(str(signatures))
    scene.processes.call("operator", "import", *signed, *desk)


def any_data(scene: Scene) -> Path:
    """The data folder of one operator."""
    return _folder(scene) / "operator-1" / "data"


def _folder(scene: Scene) -> Path:
    return scene.root / "operators"


def _head(url: str) -> tuple[int, str]:
    with HttpClient(url) as http:
        checkpoint = parse_checkpoint(parse_note(http.fetch("/log/checkpoint")).text)
    return checkpoint.size, checkpoint.root.hex()


def _fleet(scene: Scene, url: str) -> str:
    with HttpClient(url) as http:
        return json.dumps(http.send("GET", f"/v1/fleet/{scene.class_id}").json(), sort_keys=True)


def _is_one(values: dict[str, Any]) -> bool:
    return len(set(values.values())) == 1


def _until(ask: Callable[[], T], is_there: Callable[[T], bool]) -> T:
    """The first answer that is there, or the last one after a while."""
    until = time.monotonic() + _SAME_S
    while True:
        try:
            found = ask()
        except FieldpostError:
            if time.monotonic() > until:
                raise
        else:
            if is_there(found) or time.monotonic() > until:
                return found
        time.sleep(_PAUSE_S)
