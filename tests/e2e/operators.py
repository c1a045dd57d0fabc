# SPDX-License-Identifier: Apache-2.0
"""Operators with a machine of their own, so to say: a data folder, settings, and a real process."""

import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from fieldpost.cli.main import fieldpost
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError
from tests.e2e.maker_cli import CLI, environment
from tests.ports import free_ports

PATIENCE_S = 300.0
_HOST = "127.0.0.1"


def call(*words: str | Path) -> Any:
    """The JSON that a command prints, run in this process. Errors are raised as they are."""
    result = CliRunner().invoke(
        fieldpost, [*map(str, words), "--json"], standalone_mode=False, catch_exceptions=False
    )
    return json.loads(result.stdout)


@dataclass(frozen=True, slots=True)
class OperatorSite:
    """One operator, with ports on loopback."""

    root: Path
    name: str
    http: int
    p2p: int
    rpc: int

    @property
    def data(self) -> Path:
        return self.root / self.name

    @property
    def public(self) -> Path:
        return self.root / f"{self.name}.operator"

    @property
    def settings(self) -> Path:
        return self.root / f"{self.name}.toml"

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.http}"

    def localize(self) -> None:
        """Settings as `--settings` wrote them, for one of several operators on one machine."""
        text = self.settings.read_text()
        text = re.sub(r"(?m)^listen = .*$", f'listen = ["{_HOST}:{self.http}"]', text)
        ports = f'p2p_listen = "{_HOST}:{self.p2p}"\nrpc_listen = "{_HOST}:{self.rpc}"'
        text = re.sub(r"(?m)^p2p_listen = .*$", f"{ports}\ntimeout_commit_ms = 200", text)
        self.settings.write_text(text)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Its node and its CometBFT, until the block ends."""
        with subprocess.Popen(
            [*CLI, "operator", "run", "--config", str(self.settings), "--json"],
            env=environment(PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            text=True,
        ) as node:
            try:
                assert node.stdout is not None
                assert node.stdout.readline(), "it did not start"
                yield
            finally:
                node.terminate()
                node.communicate(timeout=PATIENCE_S)


def make_site(root: Path, name: str, origin: str, *, http: int | None = None) -> OperatorSite:
    """Keys and public file of a new operator; at the HTTP port of somebody else, if given."""
    ports = free_ports(3)
    site = OperatorSite(root, name, http or ports[0], ports[1], ports[2])
    call(
        *("operator", "init", name, "--origin", origin, "--url", site.url),
        *("--p2p-address", f"{_HOST}:{site.p2p}", "--data", site.data, "--out", site.public),
    )
    return site


def change_board(
    folder: Path, data: Path, url: str, signers: Sequence[Path], *words: str | Path
) -> Any:
    """An operator's command, signed by others too and brought back; what `import` says."""
    unsigned = folder / "change.unsigned"
    call(*words, "--data", data, "--board", url, "--export-unsigned", unsigned)
    files = []
    for signer in signers:
        files.append(folder / f"{signer.parent.name}-{signer.name}.signatures")
        call("operator", "sign", unsigned, "--data", signer, "--out", files[-1], "--yes")
    return call("operator", "import", *files, "--data", data, "--board", url)


def fetch(url: str, path: str) -> bytes | None:
    """What a node answers; None for whatever is no answer."""
    try:
        with HttpClient(url) as http:
            return http.fetch(path, most_bytes=1024 * 1024)
    except FieldpostError:
        return None


def wait(condition: Callable[[], object], what: str) -> None:
    """Ask until it is so."""
    end = threading.Event()
    for _ in range(int(PATIENCE_S / 0.2)):
        if condition():
            return
        end.wait(0.2)
    raise AssertionError(f"never: {what}")


def wait_ready(url: str) -> None:
    """Until a node can do its work."""
    wait(lambda: fetch(url, "/readyz") is not None, f"{url} is ready")
