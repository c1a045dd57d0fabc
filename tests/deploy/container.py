# SPDX-License-Identifier: Apache-2.0
"""The shipped container file, built by buildah and run by podman, without any registry.

The base image is made here, under the name that the file asks for: the base system of the other
machine (`tests.deploy.machine`), with Python as `python` and the wheels that pip takes in place of
an index. The operator's image: `tests.deploy.operator_containers`.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fieldpost.client.transport import HttpClient
from tests.conftest import REPOSITORY
from tests.deploy import machine
from tests.deploy.machine import CACHE, Failed, call
from tests.e2e.maker_cli import make_maker
from tests.ports import free_ports

FILE: Final = REPOSITORY / "deploy" / "container" / "Containerfile"
BASE_IMAGE: Final = "docker.io/library/python:3.11-slim-bookworm"
IMAGE: Final = "localhost/fieldpost:try"
NAME: Final = "fieldpost-try"
_STORE: Final = ("--root", str(CACHE / "images"), "--runroot", str(CACHE / "images-run"))
PODMAN: Final = ("podman", *_STORE, "--runtime", "runc", "--cgroup-manager", "cgroupfs")
_READY_S: Final = 120

buildah = partial(call, "buildah", *_STORE)
podman = partial(call, *PODMAN)


def missing() -> str | None:
    """What this host lacks; None where nothing is missing."""
    programs = [name for name in ("buildah", "podman", "runc") if shutil.which(name) is None]
    if programs:
        return f"no {' and no '.join(programs)}: run  make deploy-deps"
    return machine.missing()


def checks() -> Iterator[str]:
    """Try it; a line for each claim that held. Raises Failed."""
    with TemporaryDirectory() as folder:
        make_base()
        build(Path(folder) / "context", IMAGE)
        yield "the container file builds from the wheel and the lock"
        yield from _try_image(Path(folder))


def make_base() -> None:
    """The image that the container file begins with. Raises Failed."""
    made = buildah("from", "scratch").strip()
    buildah("add", "--quiet", made, machine.base(), "/")
    buildah("run", "--isolation", "chroot", made, "--", "ln", "-sf", "python3", "/usr/bin/python")
    buildah("config", "--env", "PIP_NO_INDEX=1", "--env", "PIP_FIND_LINKS=/wheels", made)
    buildah("commit", "--quiet", "--rm", made, BASE_IMAGE)


def build(context: Path, image: str) -> None:
    """As the file's first lines say, in a new context of what it copies."""
    context.mkdir()
    shutil.copytree(REPOSITORY / "dist", context / "dist")
    (context / "requirements").mkdir()
    shutil.copy(REPOSITORY / "requirements" / "dev.lock", context / "requirements")
    here = ("--isolation", "chroot", "--pull-never", "--volume", f"{machine.wheels()}:/wheels:ro")
    buildah("bud", "--format", "docker", *here, "-f", FILE, "-t", image, context)


def _try_image(folder: Path) -> Iterator[str]:
    data = folder / "data"
    data.mkdir()
    data.chmod(0o777)
    port, private = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    with _running(data, port, private):
        yield "it runs as nobody, on a root that it cannot write to, and is ready"
        podman("exec", NAME, "sh", "-c", "! touch /x 2>/dev/null")
        same = podman("exec", NAME, "sh", "-c", "id -u").strip()
        if same != "8470":
            raise Failed(f"it runs as {same}")
        machine.until(lambda: podman("healthcheck", "run", NAME), what="healthy", most_s=_READY_S)
        yield "its health check is in the image, and passes"
        maker = make_maker(folder / "maker", url)
        class_id = maker.must("class", "show", "bulb")["class"]
        provisioning = folder / "bulb.provisioning"
        maker.must("class", "trust", "bulb", "--out", provisioning)
        (folder / "image").write_bytes(b"firmware")
        enrol = ("agent", "enrol", "--home", folder / "bulb", "--provisioning", provisioning)
        image = ("--base", folder / "image", "--base-sequence", "1", "--base-version", "1.0")
        maker.must(*enrol, "--serial", "B1", *image)
        done = maker("agent", "once", "--home", folder / "bulb")
        if done.code:
            raise Failed(done.err)
        yield "a device checks in at it"
        before = _size_at(url)
    if podman("inspect", NAME, "--format", "{{.State.ExitCode}}").strip() != "0":
        raise Failed("it did not stop cleanly")
    yield "it stops cleanly on the signal that the file names"
    with _running(data, port, private):
        if _size_at(url) != before:
            raise Failed("another board")
        with HttpClient(url, timeout_s=60) as http:
            http.send("GET", f"/v1/checkin/{class_id}/stable")
    yield "the next container goes on with the volume"
    podman("rm", "--force", NAME)


@contextmanager
def _running(data: Path, port: int, private: int) -> Iterator[None]:
    """The container, ready, until the end of the block, where it is stopped.

    On the host's network, with limits below those of the host, since the try may have neither a
    bridge nor the right to raise limits.
    """
    podman("rm", "--force", "--ignore", NAME)
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
    settings = (
        *("-e", f"FIELDPOST_NODE_LISTEN=127.0.0.1:{port}"),
        *("-e", f"FIELDPOST_NODE_METRICS_LISTEN=127.0.0.1:{private}"),
    )
    as_said = ("--read-only", "--tmpfs", "/tmp", "-v", f"{data}:/var/lib/fieldpost")  # noqa: S108
    podman("run", "-d", "--name", NAME, "--network", "host", *limits, *as_said, *settings, IMAGE)
    try:
        machine.until(
            lambda: call("curl", "-sf", f"http://127.0.0.1:{private}/readyz"),
            what="ready",
            most_s=_READY_S,
        )
        yield
    finally:
        podman("stop", "-t", "60", NAME)


def _size_at(url: str) -> int:
    with HttpClient(url, timeout_s=60) as http:
        return int(json.loads(http.send("GET", "/v1/board").body)["size"])
