# SPDX-License-Identifier: Apache-2.0
"""Operators under systemd: each on a machine of its own, behind its own nginx."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.conftest import REPOSITORY
from tests.deploy import machine
from tests.deploy.machine import Failed, Machine, NotTried, call
from tests.deploy.network import Place, joined
from tests.deploy.operators import DESK, NAMES, Site, now_as_agreed, story
from tests.deploy.page import Page

WAY: Final = "Under systemd"
# Where an operator begins, with what the page says that it has there.
_BEGIN: Final = "/srv/fieldpost"
_MOST_EXPOSED: Final = 20  # of 100, by `systemd-analyze security`
_READY: Final = "curl -sf http://127.0.0.1:8479/readyz"


def cometbft() -> Path:
    """The program. Raises NotTried."""
    program = shutil.which("cometbft") or str(Path.home() / "go" / "bin" / "cometbft")
    if not Path(program).exists():
        raise NotTried("CometBFT is not here: run  make cluster-deps")
    return Path(program)


def checks() -> Iterator[str]:
    """Try it; a line for each claim that held. Raises Failed, NotTried."""
    program, page = cometbft(), Page.read(WAY)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        common = stack.enter_context(machine.layered("operators", machine.base()))
        _install(common, page, program)
        places = stack.enter_context(joined((*NAMES, DESK)))
        time = now_as_agreed()
        sites = {}
        for name in NAMES:
            root = stack.enter_context(machine.layered(name, common))
            (root / "etc/hostname").write_text(f"{name}\n")
            on = stack.enter_context(
                machine.switched_on(root, f"fieldpost-try-{name}", places[name].path)
            )
            sites[name] = UnitSite(places[name], page, time, on)
        yield from story(sites, places[DESK], folder)


def _install(root: Path, page: Page, program: Path) -> None:
    """What the page's first block says, once for all machines, by wheels instead of an index."""
    begin = root / _BEGIN.lstrip("/")
    begin.mkdir(parents=True)
    shutil.copytree(REPOSITORY / "deploy", begin / "deploy")
    shutil.copy(program, begin / "cometbft")
    shutil.copytree(machine.wheels(), root / "wheels")
    (root / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    (commands,) = page.blocks["Install"]
    commands = f"cd {_BEGIN}\n{commands}"
    # No systemd runs yet that could be told to look at its units again.
    clean = ("env", "-i", f"PATH={machine.PATH}", "SYSTEMD_OFFLINE=1")
    call("chroot", root, *clean, "sh", "-e", "-c", commands)
    machine.quiet(root)


class UnitSite(Site):
    """An operator whose node is a unit of a machine."""

    def __init__(self, place: Place, page: Page, time: str, on: Machine) -> None:
        super().__init__(place, page, time)
        self._machine = on

    @property
    def url(self) -> str:
        """See Site."""
        return f"http://{self.place.address}"

    @property
    def data(self) -> Path:
        """See Site."""
        return self._machine.root / "var/lib/fieldpost"

    def shell(self, commands: str) -> str:
        """See Site."""
        return self._machine.run("sh", "-e", "-c", f"cd {_BEGIN}\n{commands}", timeout=600)

    def prepare(self) -> None:
        """See Site."""
        self.type("nginx")

    def kill(self) -> None:
        """See Site."""
        process = self._main()
        self._machine.run("kill", "-9", process)
        again = f'test "$(systemctl show -p MainPID --value fieldpost)" != {process} && {_READY}'
        self._machine.until("sh", "-c", again, what="running again", most_s=300)
        self.check_contained()

    def lose(self) -> None:
        """See Site."""
        self._machine.cut()

    def bring_back(self) -> None:
        """See Site."""
        self._machine.boot()

    def check_contained(self) -> None:
        """See Site."""
        node = self._main()
        children = self._machine.run("pgrep", "-P", node, "cometbft").split()
        if len(children) != 1:
            raise Failed(f"{len(children)} CometBFTs of the node")
        for process in (node, *children):
            status = self._machine.run("cat", f"/proc/{process}/status")
            for line in ("CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
                if line not in status:
                    raise Failed(f"no {line!r} in\n{status}")
            for path in ("/etc/x", "/usr/x", "/opt/fieldpost/x"):
                self._machine.fails("nsenter", "-t", process, "-m", "touch", path)
        words = ("systemd-analyze", "security", "--no-pager", f"--threshold={_MOST_EXPOSED}")
        self._machine.run(*words, "fieldpost")

    def stop(self) -> None:
        """See Site."""
        self._machine.run("systemctl", "stop", "fieldpost")
        shown = self._machine.run("systemctl", "show", "-p", "Result,ExecMainStatus", "fieldpost")
        if sorted(shown.split()) != ["ExecMainStatus=0", "Result=success"]:
            raise Failed(shown)
        self._machine.fails("pgrep", "cometbft")

    def _main(self) -> str:
        words = ("systemctl", "show", "-p", "MainPID", "--value", "fieldpost")
        return self._machine.run(*words).strip()
