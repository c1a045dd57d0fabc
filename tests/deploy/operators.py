# SPDX-License-Identifier: Apache-2.0
"""Four operators found a board, run it, and lose each other; the same for units and containers.

They type docs/operations/operator-service.md. A fifth place of the network is a maker's desk with
a device on it. Each step goes on from where the one before it left the board.
"""

import shutil
import sqlite3
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.deploy.line import LINE
from tests.deploy.machine import Failed, until
from tests.deploy.network import Place
from tests.deploy.page import Page

NAMES: Final = ("berlin", "oslo", "paris", "rome")
DESK: Final = "desk"
_PATIENCE_S: Final = 300
_OTHER_VERSION: Final = 2


class Site(ABC):
    """One operator, and what it can type and suffer."""

    def __init__(self, place: Place, page: Page, time: str) -> None:
        self.place = place
        self._page = page
        self._time = time

    def type(self, heading: str, number: int = 0) -> str:
        """The output of a block of the page. Raises Failed."""
        words = self._page.commands(heading, number, of=self.place, time=self._time)
        return self.shell(words)

    @property
    @abstractmethod
    def url(self) -> str:
        """Where everybody reaches it."""

    @property
    @abstractmethod
    def data(self) -> Path:
        """The node's folder, as the host sees it."""

    @abstractmethod
    def shell(self, commands: str) -> str:
        """Type commands where this operator's page is typed. Raises Failed."""

    @abstractmethod
    def prepare(self) -> None:
        """Do what this way of running needs before the first start."""

    @abstractmethod
    def kill(self) -> None:
        """End the node as SIGKILL does; return when it runs again."""

    @abstractmethod
    def lose(self) -> None:
        """Let the machine, or what stands for it, lose its power."""

    @abstractmethod
    def bring_back(self) -> None:
        """Switch it on again."""

    @abstractmethod
    def check_contained(self) -> None:
        """Node and CometBFT can do no more than they should. Raises Failed."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it as one should. Raises Failed if that is not clean."""

    @property
    def founding(self) -> Path:
        """Where public files and signatures lie."""
        return self.data / "founding"


def now_as_agreed() -> str:
    """A time for the board to begin at."""
    return (datetime.now(UTC) - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")


def story(sites: Mapping[str, Site], desk: Place, folder: Path) -> Iterator[str]:
    """What must hold, one line for each claim that held. Raises Failed."""
    berlin, oslo, paris, rome = (sites[name] for name in NAMES)
    _found(sites)
    yield "four operators found a board as the page says, and agree on genesis.json"
    for site in sites.values():
        site.type("Settings")
        site.prepare()
        site.type("Start")
    for site in sites.values():
        site.type("Start", 1)
    for site in sites.values():
        site.check_contained()
    yield "all four are ready, each node with a CometBFT of its own, both contained"

    maker = _Desk(desk, folder, [berlin.url, oslo.url, paris.url, rome.url])
    maker.type(LINE)
    _all_show(sites, desk)
    yield "a maker registers, posts and publishes, a device is updated; all show the same head"

    paris.kill()
    paris.type("Start", 1)
    yield "a node that is killed comes back with its CometBFT, by the doing of what runs it"

    rome.lose()
    maker.type("fieldpost class add lamp:r2 --support-end 2036-12-31 --image-bytes 2000000")
    maker.type("fieldpost agent once --home lamp")
    yield "one operator loses its power: three go on, posts and check-ins as before"
    rome.bring_back()
    rome.type("Start", 1)
    _all_show(sites, desk)
    yield "it is switched on again, and catches up by itself"

    for number, site in enumerate(sites.values()):
        site.type("Upgrade")
        maker.type(f"fieldpost class add lamp:u{number} --support-end 2036-12-31")
    _all_show(sites, desk)
    yield "all are upgraded in place, one after the other, and the board takes posts all the time"

    _make_strange(oslo)
    oslo.type("Upgrade")
    _all_show(sites, desk)
    if not (oslo.data / "state.db.aside").exists():
        raise Failed("the strange state.db was not set aside")
    yield "a state.db of another version is set aside, and made anew by CometBFT's blocks"

    paris.type("Begin again")
    _all_show(sites, desk)
    yield "one begins again with nothing but its keys, and gets everything from the others"
    berlin.type("Look")
    for site in sites.values():
        site.stop()
    yield "all stop cleanly"


def _found(sites: Mapping[str, Site]) -> None:
    for site in sites.values():
        site.type("Keys")
    _exchange(sites, "operator")
    for site in sites.values():
        site.type("Found the board")
    _exchange(sites, "signatures")
    sums = {site.type("Found the board", 1).split()[-2] for site in sites.values()}
    if len(sums) != 1:
        raise Failed(f"they do not agree: {sums}")


def _exchange(sites: Mapping[str, Site], ending: str) -> None:
    for name, site in sites.items():
        for other in sites.values():
            if other is not site:
                shutil.copy(site.founding / f"{name}.{ending}", other.founding)


def _make_strange(site: Site) -> None:
    """Leave a state.db as another program may have, behind the back of a node that is stopped."""
    site.stop()
    with closing(sqlite3.connect(site.data / "state.db", isolation_level=None)) as db:
        db.execute(f"PRAGMA user_version = {_OTHER_VERSION}")


def _all_show(sites: Mapping[str, Site], desk: Place) -> None:
    def same() -> str:
        heads = {_head(site, desk) for site in sites.values()}
        if len(heads) != 1:
            raise Failed(f"different heads: {heads}")
        return heads.pop()

    until(same, what="one head at all", most_s=_PATIENCE_S)


def _head(site: Site, desk: Place) -> str:
    note = desk.call("curl", "-sf", "-m", "60", f"{site.url}/log/checkpoint")
    return note.partition("\n\n")[0]


class _Desk:
    """A maker's folder, and commands in it."""

    def __init__(self, place: Place, folder: Path, board: list[str]) -> None:
        self._place = place
        self._folder = folder
        self._settings = (
            f"PATH={Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            f"FIELDPOST_PASSPHRASE_FILE={folder / 'passphrase'}",
            f"FIELDPOST_HOME={folder / 'maker'}",
            f"FIELDPOST_BOARD={' '.join(board)}",
        )

    def type(self, commands: str) -> str:
        commands = f"cd '{self._folder}'\n{commands}"
        return self._place.call("env", *self._settings, "sh", "-e", "-c", commands)
