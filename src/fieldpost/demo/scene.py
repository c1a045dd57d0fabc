# SPDX-License-Identifier: Apache-2.0
"""Everything that the demonstration has made so far, and the words in which its parts speak."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldpost.checkin.bundle import decode_bundle
from fieldpost.client.sources import Sources
from fieldpost.demo.claims import Claim
from fieldpost.demo.processes import Event, Processes, Program
from fieldpost.demo.screen import Screen
from fieldpost.records.head import Head, decode_head
from fieldpost.records.limits import MAX_CHECKIN_BYTES


@dataclass(slots=True)
class Scene:
    """The board that is shown now, the maker, its class, and what was claimed."""

    root: Path
    home: Path
    provisioning: Path
    processes: Processes
    screen: Screen
    # Whether four operators run the board instead of one.
    is_replicated: bool = False
    node: Program | None = None
    urls: tuple[str, ...] = ()
    board: dict[str, Any] | None = None
    maker: str = ""
    class_name: str = "lamp:r1"
    class_id: str = ""
    section: str = ""
    claims: list[Claim] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the board is asked first."""
        return self.urls[0]

    @property
    def board_options(self) -> list[str]:
        """`--board URL` of every node."""
        return [word for url in self.urls for word in ("--board", url)]

    def begin(self, section: str, why: str) -> None:
        """A new chapter, and why anybody should care."""
        self.section = section
        self.screen.heading(section, why)

    def claim(self, says: str, *, held: bool, seen: str) -> None:
        """Note what was shown; people see at once whether it held."""
        self.claims.append(Claim(section=self.section, says=says, held=held, seen=seen))
        self.screen.claim(says, held=held, seen=seen)

    def maker_call(self, *arguments: str) -> dict[str, Any]:
        """A command of the maker's, which must succeed."""
        return self.processes.call(*arguments, "--home", str(self.home))

    def maker_refusal(self, *arguments: str, home: Path | None = None) -> str:
        """A command that must be refused: the name of the refusal, "" if it was not."""
        told = self.processes.error_of(*arguments, "--home", str(home or self.home))
        return str(told.get("name") or told.get("reason") or told.get("error") or "")

    def checkin(self) -> bytes:
        """The bundle that the board shows to the class now."""
        path = f"/v1/checkin/{self.class_id}/stable"
        with closing(Sources(self.urls)) as sources:
            return sources.ask(lambda node: node.fetch(path, most_bytes=MAX_CHECKIN_BYTES))

    def head(self) -> Head:
        """What the channel offers now, as the check-in says it."""
        value = decode_bundle(self.checkin(), most_bytes=MAX_CHECKIN_BYTES).value
        return decode_head(value or b"")

    def publish(self, image: Path, version: str, *options: str) -> int:
        """Publish one image as the next release; its sequence."""
        made = self.maker_call(
            "release", "publish", self.class_name, str(image), "--version", version, *options
        )
        return int(made["sequence"])

    def offer(self, *offers: str, options: tuple[str, ...] = ()) -> None:
        """Say what the channel offers."""
        words = [word for offer in offers for word in ("--offer", offer)]
        self.maker_call("rollout", "set", self.class_name, "--interval", "1", *words, *options)


def start_node(scene: Scene, folder: Path, log: str) -> tuple[Program, str]:
    """A node with a board of its own, on a free port: the program and its URL."""
    node = scene.processes.start(
        "node", "run", "--data", str(folder), "--listen", "127.0.0.1:0", "--json", log=log
    )
    return node, node.wait_for(lambda event: event.get("event") == "ready")["url"]


def said(events: list[Event], name: str) -> list[Event]:
    """The events of this name."""
    return [event for event in events if event.get("event") == name]
