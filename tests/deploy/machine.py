# SPDX-License-Identifier: Apache-2.0
"""A machine to deploy on: Debian with a systemd of its own as process 1, booted by systemd-nspawn.

Base system and wheels are kept in .cache/deploy; each machine is a layer over them, removed at the
end. It has a network of its own: a loopback and nothing else, or a namespace that it is given.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.conftest import REPOSITORY

CACHE: Final = REPOSITORY / ".cache" / "deploy"
BASE: Final = CACHE / "base"
WHEELS: Final = CACHE / "wheels"
VENV: Final = Path("/opt/fieldpost")
PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "ca-certificates", "curl"),
    *("nginx-light", "openssl", "procps", "iproute2"),
)
RELEASE: Final = "bookworm"
PATH: Final = f"{VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_S: Final = 120
# Nobody configures the network from within, so nobody would ever say that it is online.
_NOT_STARTED: Final = (
    *("systemd-networkd.service", "systemd-networkd.socket"),
    "systemd-networkd-wait-online.service",
)
# Two systemds in one control group would end each other's processes.
_IN_GROUP: Final = """
for all in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
  if test -w "$all/cgroup.procs"; then
    mkdir -p "$all/$0" && echo $$ > "$all/$0/cgroup.procs"
  fi
done
exec "$@"
"""


class Failed(Exception):
    """A command that should have succeeded."""


class NotTried(Exception):
    """What a check needs is not here."""


def missing() -> str | None:
    """What this host lacks to boot a machine; None where nothing is missing."""
    programs = [name for name in ("debootstrap", "systemd-nspawn") if shutil.which(name) is None]
    if programs:
        return f"no {' and no '.join(programs)}: run  make deploy-deps"
    return None if os.geteuid() == 0 else "mounts and namespaces need root"


def call(*words: str | Path, timeout: float = 600, **settings: str) -> str:
    """Run a program of the host: its output. Raises Failed."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **settings},
    )
    if done.returncode:
        raise Failed(f"{' '.join(map(str, words))}: {done.returncode}\n{done.stderr[-2_000:]}")
    return done.stdout


def wheel() -> Path:
    """The wheel for every system that `make dist` built. Raises Failed."""
    found = list((REPOSITORY / "dist").glob("*-none-any.whl"))
    if not found:
        raise Failed("there is no wheel: run  make dist")
    return found[0]


def base() -> Path:
    """A Debian with Python, nginx and systemd, made once."""
    done = CACHE / "base.done"
    if not done.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(BASE, ignore_errors=True)
        include = f"--include={','.join(PACKAGES)}"
        call("debootstrap", "--variant=minbase", include, RELEASE, BASE, timeout=1_800)
        done.touch()
    return BASE


def wheels() -> Path:
    """Our wheel, and all that a node needs as the lock has it, for a machine without network."""
    lock = (REPOSITORY / "requirements" / "dev.lock").read_text().splitlines()
    pinned = [line.split(" ")[0] for line in lock if "==" in line and line[:1].isalnum()]
    shutil.rmtree(WHEELS, ignore_errors=True)
    WHEELS.mkdir(parents=True)
    constraints = WHEELS / "constraints.txt"
    constraints.write_text("\n".join(pinned))
    wanted = f"{wheel()}[node,pkcs11,cometbft]"
    pip = (sys.executable, "-m", "pip", "--quiet")
    call(*pip, "download", "--dest", WHEELS, "-c", constraints, wanted)
    # Where there is one for this kind of system, pip takes that.
    for made in (REPOSITORY / "dist").glob("*.whl"):
        shutil.copy(made, WHEELS)
    return WHEELS


class Machine:
    """A machine that is on, or off: commands are run in it, as its root or as another user.

    `network` is the path of a namespace; without one it has a loopback alone.
    """

    def __init__(self, root: Path, name: str, network: Path | None = None) -> None:
        self.root = root
        self._name = name
        self._network = network
        self._leader = 0
        self._booting: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        """Switch it on, and wait until its systemd has started everything. Raises Failed."""
        network = f"--network-namespace-path={self._network}" if self._network else None
        words: Sequence[str | Path] = (
            *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit"),
            *("--link-journal=no", "--console=pipe", f"--machine={self._name}"),
            *(network or "--private-network", "-D", self.root),
            *("--boot", "systemd.unit=multi-user.target"),
        )
        log = CACHE / f"boot-{self._name}.log"
        with log.open("wb") as out:
            self._booting = subprocess.Popen(
                ["sh", "-c", _IN_GROUP, self._name, *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._leader = _leader_of(self._booting, log)
        is_up = "systemctl is-system-running | grep -qE 'running|degraded'"
        self.until("sh", "-c", is_up, what="boot", most_s=_BOOT_S)

    def cut(self) -> None:
        """Let it lose its power, so to say: every process is gone at once."""
        os.kill(self._leader, signal.SIGKILL)
        self._off()

    def shut_down(self) -> None:
        """Switch it off as one should, if it is on."""
        if self._booting is not None:
            self._booting.terminate()
            self._off()

    def _off(self) -> None:
        if self._booting is not None:
            self._booting.wait(_BOOT_S)
            self._booting = None

    def run(self, *words: str, user: str | None = None, timeout: float = 180) -> str:
        """The output of a command. Raises Failed."""
        enter = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C", "--"]
        become = [] if user is None else ["setpriv", f"--reuid={user}", f"--regid={user}"]
        become += [] if user is None else ["--init-groups"]
        clean = ["env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8"]
        return call(*enter, *become, *clean, *words, timeout=timeout)

    def fails(self, *words: str) -> str:
        """What a command says that must fail. Raises Failed if it does not."""
        try:
            self.run(*words)
        except Failed as failed:
            return str(failed)
        raise Failed(f"{' '.join(words)} succeeded")

    def write(self, path: str, text: str, *, mode: int = 0o644, group: str = "root") -> None:
        """A file of the machine, from outside."""
        target = self.root / path.lstrip("/")
        if target.is_symlink() or not target.resolve().is_relative_to(self.root.resolve()):
            raise Failed(f"{path} is a link, which may lead out of the machine")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        if group != "root":
            self.run("chgrp", group, path)

    def until(self, *words: str, what: str, most_s: float = 120) -> str:
        """The output of a command once it succeeds. Raises Failed."""
        return until(lambda: self.run(*words), what=what, most_s=most_s)


def until(attempt: Callable[[], str], *, what: str, most_s: float) -> str:
    """What `attempt` returns once it raises Failed no more. Raises Failed."""
    end = time.monotonic() + most_s
    while True:
        try:
            return attempt()
        except Failed as failed:
            if time.monotonic() > end:
                raise Failed(f"{what}: not in {most_s} s; {failed}") from None
            time.sleep(0.2)


def _install(root: Path) -> None:
    """The wheel, into a virtual environment of the machine's own Python."""
    shutil.copytree(wheels(), root / "wheels")
    call("chroot", root, "python3", "-m", "venv", VENV)
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-index", "--find-links")
    wanted = "fieldpost[node,pkcs11,cometbft]"
    call("chroot", root, VENV / "bin/pip", *install, "/wheels", wanted, PIP_FIND_LINKS="")
    shutil.rmtree(root / "wheels")


@contextmanager
def layered(name: str, below: Path) -> Iterator[Path]:
    """A folder that shows `below`, where whatever is written stays in a layer of its own."""
    layer = CACHE / "layers" / name
    shutil.rmtree(layer, ignore_errors=True)
    for part in ("upper", "work", "root"):
        (layer / part).mkdir(parents=True)
    root = layer / "root"
    options = f"lowerdir={below},upperdir={layer / 'upper'},workdir={layer / 'work'}"
    call("mount", "-t", "overlay", "overlay", "-o", options, root)
    try:
        yield root
    finally:
        call("umount", root)
        shutil.rmtree(layer, ignore_errors=True)


@contextmanager
def switched_on(root: Path, name: str, network: Path | None = None) -> Iterator[Machine]:
    """A machine over this root, on at first, and off at the end."""
    machine = Machine(root, name, network)
    try:
        machine.boot()
        yield machine
    finally:
        machine.shut_down()
        groups = Path("/sys/fs/cgroup").glob(f"**/{name}")
        for group in [below for top in groups for below in (*top.rglob("*"), top)]:
            with suppress(OSError):
                group.rmdir()


def quiet(root: Path) -> None:
    """Keep services of a root from its start that have nothing to do on these machines."""
    call("chroot", root, "systemctl", "--quiet", "mask", *_NOT_STARTED)


@contextmanager
def booted(*users: str) -> Iterator[Machine]:
    """A new machine with the wheel in /opt/fieldpost and system users of these names."""
    with layered("one", base()) as root:
        _install(root)
        for user in users:
            home = f"/var/lib/{user}"
            words = ("useradd", "--system", "--home-dir", home, "--shell", "/usr/sbin/nologin")
            call("chroot", root, *words, user)
        quiet(root)
        call("chroot", root, "systemctl", "--quiet", "mask", "nginx.service")
        with switched_on(root, "fieldpost-try") as machine:
            yield machine


def _leader_of(booting: "subprocess.Popen[bytes]", log: Path) -> int:
    children = Path(f"/proc/{booting.pid}/task/{booting.pid}/children")
    end = time.monotonic() + _BOOT_S
    while time.monotonic() < end and booting.poll() is None:
        found = children.read_text().split()
        if found and Path(f"/proc/{found[0]}/comm").read_text().strip() == "systemd":
            return int(found[0])
        time.sleep(0.1)
    raise Failed(f"it does not boot: {log.read_text()[-2_000:]}")
