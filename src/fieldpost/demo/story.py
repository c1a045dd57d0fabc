# SPDX-License-Identifier: Apache-2.0
"""How it begins: a board, a maker, a class, and a lot of a thousand devices."""

from dataclasses import dataclass
from typing import Final

from fieldpost.demo.devices import Device, enrol, write_other_leaves
from fieldpost.demo.firmware import Image
from fieldpost.demo.operators import start_operators
from fieldpost.demo.scene import Scene, start_node

LIVE: Final = 20
LOT: Final = 1_000
# Switched off in a box, each until its own part of the story.
SLEEPERS: Final = ("sleeper", "stick", "steps", "moved", "late", "drawer", "ladder")
VICTIMS: Final = 5


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part: devices that run all the time, those that are attacked, those that sleep,
    and one that is in no lot."""

    live: list[Device]
    victims: list[Device]
    sleepers: dict[str, Device]
    stranger: Device


def start_board(scene: Scene) -> None:
    """A node with a board of its own, or one of four operators."""
    if scene.is_replicated:
        start_operators(scene)
    else:
        with scene.screen.step("a node starts: a new board, keys and genesis"):
            scene.node, url = start_node(scene, scene.root / "node", "node")
            scene.urls = (url,)
        scene.screen.fact(f"at {url}; solo: one operator, so nobody else vouches for one history")
    scene.board = scene.processes.call("board", "show", *scene.board_options)
    scene.screen.fact(f"board {scene.board['board']}, for trials")


def register_maker(scene: Scene) -> None:
    """A maker with 2-of-3 roots, a class, and what its devices are to trust."""
    with scene.screen.step("a maker makes keys (2-of-3 roots) and registers"):
        scene.maker = scene.maker_call("maker", "init", "--name", "Example Lamps")["maker"]
        scene.maker_call("maker", "register", *scene.board_options, "--yes")
    add_class(scene)
    scene.maker_call("class", "trust", scene.class_name, "--out", str(scene.provisioning))
    scene.screen.fact(
        f"what its devices trust, signed: {scene.provisioning.stat().st_size:,} bytes"
    )


def add_class(scene: Scene) -> None:
    """The class of the story, on the board on which the maker acts."""
    with scene.screen.step(f"a class of devices: {scene.class_name}"):
        added = scene.maker_call(
            "class", "add", scene.class_name, "--support-end", "2036-12-31",
            "--least-interval", "1",
        )  # fmt: skip
        scene.class_id = added["class"]


def enrol_devices(scene: Scene, first: Image) -> Cast:
    """The cast, and a lot of a thousand of which it is a part.

    The live devices leave the factory empty; all others with the first image.
    """
    lot = scene.root / "requests"
    serials = [f"live-{n:02d}" for n in range(LIVE)]
    prey = [f"victim-{n}" for n in range(VICTIMS)]
    others = len(prey) + len(SLEEPERS)
    with scene.screen.step(f"{LIVE} devices make their keys, and {others + 1} for later"):
        live = enrol(scene.processes, scene.root, scene.provisioning, serials, None)
        later = [*prey, *SLEEPERS, "stranger"]
        *made, stranger = enrol(scene.processes, scene.root, scene.provisioning, later, first)
        lot.mkdir()
        for device in (*live, *made):
            (lot / f"{device.serial}.enrol").write_bytes(
                (device.home / f"{device.serial}.enrol").read_bytes()
            )
        leaves = scene.root / "other-leaves.cbor"
        write_other_leaves(leaves, bytes.fromhex(scene.class_id), LOT - len(live) - len(made))
    with scene.screen.step(f"the factory enrols a lot of {LOT:,} devices in one post"):
        enrol_lot(scene)
    sleepers = dict(zip(SLEEPERS, made[VICTIMS:], strict=True))
    return Cast(live, made[:VICTIMS], sleepers, stranger)


def enrol_lot(scene: Scene) -> None:
    """The lot, on the board on which the maker acts."""
    requests, leaves = scene.root / "requests", scene.root / "other-leaves.cbor"
    scene.maker_call(
        "lot", "enrol", scene.class_name, "--requests", str(requests), "--leaves", str(leaves)
    )
