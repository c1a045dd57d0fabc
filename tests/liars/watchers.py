# SPDX-License-Identifier: Apache-2.0
"""Who looks at a board while somebody lies: each function is one real watcher, and what it saw."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fieldpost.agent.home import Home
from fieldpost.agent.memory import Memory, load_memory
from fieldpost.client.transport import HttpClient
from fieldpost.engines.cometbft.publishing import Wanted
from fieldpost.errors import FieldpostError, Misbehaviour
from fieldpost.ledger.reading import read_board
from fieldpost.node.peers import Peers
from tests.liars.programs import fieldpost, program, until
from tests.liars.rig import IMAGES, Rig, head_at, monitor_words


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watcher made of a lie. `said`: in a few words that stay; `files`: its evidence.

    `looks`: how many polls it took until it said so; `seconds`: how long that was by the clock.
    """

    said: str
    files: tuple[Path, ...] = ()
    looks: int = 0
    seconds: float = 0.0


def ask_device(home: Path, *urls: str) -> tuple[str, Memory]:
    """One check-in by these addresses; why nothing came of it ("" if all did), and the memory.

    Whatever it was told, it remembers no smaller head than before, and boots one of the maker's
    images, no older than before.
    """
    asked = ", ".join(f'"{url}"' for url in urls)
    (home / "agent.toml").write_text(f'urls = [{asked}]\nhealth_check = ["true"]\n')
    before = load_memory(Home(home).memory)
    with program(fieldpost("agent", "once", "--home", home), home / "agent.log") as agent:
        code = agent.wait()
    after = load_memory(Home(home).memory)
    assert (after.belief.size, after.belief.board_link) >= (before.belief.size, b"")
    if after.belief.size == before.belief.size:
        assert after.belief.root == before.belief.root
    assert after.running >= before.running
    assert (home / "slots" / "current" / "image").read_bytes() == IMAGES[after.running]
    if code == 0:
        return "", after
    said: dict[str, Any] = json.loads((home / "agent.log").read_text().splitlines()[-1])
    return str(said.get("reason") or said["error"]), after


def evidence_of_device(home: Path) -> tuple[Path, ...]:
    """What it kept."""
    return tuple(sorted((home / "evidence").glob("*.evidence")))


def look_of_monitor(rig: Rig, case: str, *urls: str) -> Seen:
    """Looks of a monitor that knows the board as it was, until it alarms; two at most."""
    data = rig.copy("monitor", case)
    words = monitor_words(rig.cluster.maker.id.hex(), data)
    sources = [word for url in urls for word in ("--board", url)]
    began = time.monotonic()
    alarms: list[str] = []
    looks = 0
    while not alarms and looks < 2:
        looks += 1
        with program(fieldpost(*words, *sources), data / "monitor.log") as look:
            code = look.wait()
            alarms = sorted({line["kind"] for line in look.lines if "kind" in line})
        assert code in (0, 1, 4, 75), (data / "monitor.log").read_text()[-3000:]
    files = (
        tuple(sorted((data / "evidence").glob("*.evidence")))
        if (data / "evidence").exists()
        else ()
    )
    seconds = time.monotonic() - began
    return Seen(", ".join(alarms), files, looks if alarms else 0, seconds if alarms else 0.0)


def follow_as_mirror(rig: Rig, case: str, *urls: str, keeps: bool) -> Seen:
    """A mirror that knows the board as it was, until it has the true head or stops for good.

    And until it has evidence, if it `keeps` some.
    """
    data = rig.copy("mirror", case)
    words: tuple[str | Path, ...] = (
        "mirror",
        "run",
        *urls,
        "--data",
        data,
        "--every",
        "0.5",
        "--listen",
        "127.0.0.1:0",
    )
    journal = data / "mirror.log"
    began = time.monotonic()
    with program(fieldpost(*words), journal) as mirror:

        def is_done() -> bool:
            if mirror.process.poll() is not None:
                return True
            ready = next((line for line in mirror.lines if line.get("event") == "ready"), None)
            if ready is None or (keeps and not (data / "evidence").exists()):
                return False
            return head_at(ready["url"]) == rig.now

        until(is_done, "the mirror stopped, or has the true head")
        seconds = time.monotonic() - began
        halted = (data / "halted").exists()
    files = (
        tuple(sorted((data / "evidence").glob("*.evidence")))
        if (data / "evidence").exists()
        else ()
    )
    refused = "source-refused" in journal.read_text()
    said = "halted" if halted else "refused" if refused else ""
    return Seen(said, files, 1 if said else 0, seconds if said else 0.0)


def ask_as_peer(rig: Rig, url: str) -> Seen:
    """Another operator asks for the liar's line over the newest size, as it does all the time."""
    publisher = rig.cluster.operators[1].publisher
    kept: list[str] = []
    peers = Peers(
        publisher,
        record=lambda: replace(read_board(rig.cluster.state.map), operators=()),
        own=lambda _: None,
        keep_evidence=lambda name, fork: kept.append(name),
    )
    began = time.monotonic()
    try:
        with HttpClient(url, timeout_s=3, total_s=6) as http:
            peers._ask(http, "op3", Wanted(rig.now.size, 0))
    except Misbehaviour:
        assert kept == ["op3"]
        return Seen("split-view", (), 1, time.monotonic() - began)
    except FieldpostError as error:
        said = getattr(error, "reason", "") or type(error).__name__.lower()
        return Seen(str(said), (), 1, time.monotonic() - began)
    finally:
        peers.close()
    return Seen("")
