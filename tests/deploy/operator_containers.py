# SPDX-License-Identifier: Apache-2.0
"""Operators in containers: images built from both container files, run by podman.

The page's `podman` is a script here, which keeps images and containers below .cache/deploy and
gives every container the network of its operator. The base images are made here, as for the node's
(`tests.deploy.container`); the one for Go is the host's Go, with what it has downloaded already.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.deploy import container
from tests.deploy.container import BASE_IMAGE, buildah, podman
from tests.deploy.machine import Failed, NotTried, call, until
from tests.deploy.network import Place, joined
from tests.deploy.operators import DESK, NAMES, Site, now_as_agreed, story
from tests.deploy.page import Page

WAY: Final = "In a container"
NODE_IMAGE: Final = "localhost/fieldpost:0.1.0"
IMAGE: Final = "localhost/fieldpost-operator:0.1.0"
FILE: Final = container.FILE.with_name("operator.Containerfile")
_GO_IMAGE: Final = "docker.io/library/golang:1.26-bookworm"
_PORT: Final = 8470
_STOPPED_S: Final = 120
_SCRIPT: Final = """#!/bin/sh
verb=$1
shift
case $verb in
  run) set -- --network ns:{network} --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@" ;;
esac
exec {podman} "$verb" "$@"
"""


def checks() -> Iterator[str]:
    """Try it; a line for each claim that held. Raises Failed, NotTried."""
    go = _go()
    page = Page.read(WAY)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        container.make_base()
        container.build(folder / "node", NODE_IMAGE)
        _build(folder / "operator", go)
        yield "both container files build, the operator's with its CometBFT by `go install`"
        places = stack.enter_context(joined((*NAMES, DESK)))
        time = now_as_agreed()
        sites = {}
        for name in NAMES:
            site = ContainerSite(places[name], page, time, folder / name)
            stack.callback(site.remove)
            sites[name] = site
        desk = folder / DESK
        desk.mkdir()
        yield from story(sites, places[DESK], desk)


def _go() -> dict[str, str]:
    if shutil.which("go") is None:
        raise NotTried("there is no Go here")
    found: dict[str, str] = json.loads(call("go", "env", "-json"))
    return found


def _build(context: Path, go: dict[str, str]) -> None:
    made = buildah("from", "--pull-never", BASE_IMAGE).strip()
    settings = (
        *(f"PATH={go['GOROOT']}/bin:/usr/bin:/bin", "GOPATH=/go", "GOFLAGS=-mod=mod"),
        *(f"GOPROXY={go['GOPROXY']}", "GOCACHE=/cache"),
    )
    buildah("config", *(word for one in settings for word in ("--env", one)), made)
    buildah("commit", "--quiet", "--rm", made, _GO_IMAGE)
    context.mkdir()
    volumes = (
        *("--volume", f"{go['GOROOT']}:{go['GOROOT']}:ro"),
        *("--volume", f"{go['GOMODCACHE']}:/go/pkg/mod", "--volume", f"{go['GOCACHE']}:/cache"),
        # Whom Go's proxy is certified by is the host's business.
        *("--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"),
    )
    here = ("--isolation", "chroot", "--pull-never", *volumes)
    buildah("bud", "--format", "docker", *here, "-f", FILE, "-t", IMAGE, context)


class ContainerSite(Site):
    """An operator whose node is a container; `folder` is where it types."""

    def __init__(self, place: Place, page: Page, time: str, folder: Path) -> None:
        super().__init__(place, page, time)
        self._folder = folder
        self._name = f"fieldpost-{place.name}"
        programs = folder / "bin"
        programs.mkdir(parents=True)
        script = programs / "podman"
        name, *options = container.PODMAN
        program = " ".join((shutil.which(name) or name, *options))  # not this script again
        script.write_text(_SCRIPT.format(network=place.path, podman=program))
        script.chmod(0o755)
        self._path = f"{programs}{os.pathsep}{os.environ['PATH']}"

    @property
    def url(self) -> str:
        """See Site."""
        return f"http://{self.place.address}:{_PORT}"

    @property
    def data(self) -> Path:
        """See Site."""
        return self._folder / "data"

    def shell(self, commands: str) -> str:
        """See Site."""
        return call("sh", "-e", "-c", f"cd '{self._folder}'\n{commands}", PATH=self._path)

    def prepare(self) -> None:
        """See Site."""

    def kill(self) -> None:
        """See Site."""
        process = self._shown("{{.State.Pid}}")
        call("kill", "-9", process)

        def again() -> str:
            if self._shown("{{.State.Pid}}") in (process, "0"):
                raise Failed("not started again")
            return podman("healthcheck", "run", self._name)

        until(again, what="running again", most_s=300)

    def lose(self) -> None:
        """See Site."""
        podman("kill", "--signal", "KILL", self._name)
        podman("wait", self._name)

    def bring_back(self) -> None:
        """See Site."""
        # What podman-restart.service does at boot; the operators share one store here.
        after_boot = ("--filter", "restart-policy=always", "--filter", f"name={self._name}")
        podman("start", "--all", *after_boot)

    def check_contained(self) -> None:
        """See Site."""
        said = podman("exec", self._name, "sh", "-c", "id -u; ! touch /x /usr/x /etc/x 2>/dev/null")
        if said.strip() != "8470":
            raise Failed(f"it runs as {said}")
        processes = podman("exec", self._name, "pgrep", "cometbft").split()
        if len(processes) != 1:
            raise Failed(f"{len(processes)} CometBFTs of the node")
        for process in ("1", *processes):
            status = podman("exec", self._name, "cat", f"/proc/{process}/status")
            for line in ("CapEff:\t0000000000000000", "Seccomp:\t2"):
                if line not in status:
                    raise Failed(f"no {line!r} in\n{status}")

    def stop(self) -> None:
        """See Site."""
        podman("stop", "-t", str(_STOPPED_S), self._name)
        code = self._shown("{{.State.ExitCode}}")
        if code != "0":
            raise Failed(f"it ended with {code}")

    def remove(self) -> None:
        """Take the container away, whatever it does."""
        podman("rm", "--force", "--ignore", self._name)

    def _shown(self, what: str) -> str:
        return podman("inspect", self._name, "--format", what).strip()
