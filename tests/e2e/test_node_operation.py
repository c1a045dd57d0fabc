# SPDX-License-Identifier: Apache-2.0
"""A node process as its operator meets it: one settings file, events, metrics, TLS, hang-ups."""

import json
import os
import pty
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.e2e.maker_cli import CLI, environment
from tests.unit.node.test_tls import Authority, connect, serial

pytestmark = pytest.mark.e2e


class Node:
    """A node started from a settings file; its ready line and its events."""

    def __init__(self, folder: Path, settings: str, authority: Authority) -> None:
        self.authority = authority
        self.file = folder / "node.toml"
        self.file.write_text(settings)
        self.errors = (folder / "stderr").open("w+")
        self.popen = subprocess.Popen(
            [*CLI, "node", "run", "--config", str(self.file), "--json"],
            env=environment(PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, (folder / "stderr").read_text()
        self.ready: dict[str, Any] = json.loads(line)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in Path(self.errors.name).read_text().splitlines()]

    def end(self) -> int:
        if self.popen.poll() is None:
            self.popen.terminate()
        self.popen.communicate(timeout=60)
        self.errors.close()
        return self.popen.returncode


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    authority = Authority(tmp_path)
    made = Node(
        tmp_path,
        'data = "board"\nlisten = ["127.0.0.1:0", "[::1]:0"]\nmetrics_listen = "127.0.0.1:0"\n'
        f'[tls]\ncertificate = "{authority.chain.name}"\nkey = "{authority.key.name}"\n'
        '[log]\nformat = "json"\nlevel = "info"\naccess = true\n',
        authority,
    )
    yield made
    made.end()


def fetch(url: str, cafile: Path | None = None) -> str:
    context = None if cafile is None else ssl.create_default_context(cafile=str(cafile))
    with urlopen(url, timeout=60, context=context) as answer:
        text: str = answer.read().decode()
        return text


def test_an_operator_sees_what_the_node_does_and_renews_its_certificate_by_a_hang_up(
    node: Node, tmp_path: Path
) -> None:
    urls = node.ready["urls"]
    assert [url.rpartition(":")[0] for url in urls] == ["https://127.0.0.1", "https://[::1]"]
    port = int(urls[0].rpartition(":")[2])
    board = fetch(f"https://localhost:{port}/v1/board", tmp_path / "ca.pem")
    assert json.loads(board)["board"] == node.ready["board"]

    metrics = fetch(node.ready["metrics"] + "/metrics")
    assert "fieldpost_ready 1\n" in metrics
    assert 'fieldpost_requests_total{noun="board",status="2xx"} 1\n' in metrics
    assert "fieldpost_certificate_expires_seconds " in metrics
    ready = json.loads(fetch(node.ready["metrics"] + "/readyz"))
    assert ready == {"ready": True, "witnesses": []}

    issued = node.authority.issue()
    node.popen.send_signal(signal.SIGHUP)
    with connect(port, node.authority) as standing:
        found = serial(standing)
        until = time.monotonic() + 60
        while found != issued and time.monotonic() < until:
            with connect(port, node.authority) as fresh:
                found = serial(fresh)
        assert found == issued

    assert node.end() == 0
    events = node.events()
    names = [event["event"] for event in events]
    assert names[:2] == ["certificate-loaded", "node-ready"]
    assert names.count("certificate-loaded") == 2
    assert names[-2:] == ["node-stopping", "node-stopped"]
    (request,) = [event for event in events if event.get("noun") == "board"]
    assert request["status"] == 200
    assert request["bytes"] == len(board)


def test_a_certificate_that_cannot_be_used_stops_the_start_before_anything_is_made(
    tmp_path: Path,
) -> None:
    (tmp_path / "node.toml").write_text(
        'data = "board"\n[tls]\ncertificate = "none.pem"\nkey = "none.key"\n'
    )
    words = [*CLI, "node", "run", "--config", str(tmp_path / "node.toml")]
    done = subprocess.run(
        words, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78
    assert "none.pem: No such file or directory; the node's user must be able to" in done.stderr
    assert not (tmp_path / "board").exists()


def test_a_closed_terminal_ends_a_node_calmly_and_a_reload_without_tls_does_not(
    tmp_path: Path,
) -> None:
    words = [*CLI, "node", "run", "--listen", "127.0.0.1:0", "--json", "--data"]
    controller, terminal = pty.openpty()
    for stdin, ends in ((terminal, True), (subprocess.DEVNULL, False)):
        with subprocess.Popen(
            [*words, str(tmp_path / str(ends))],
            env=environment(PYTHONUNBUFFERED="1"),
            stdin=stdin,
            stdout=subprocess.PIPE,
            text=True,
        ) as node:
            assert node.stdout is not None
            url = json.loads(node.stdout.readline())["url"]
            node.send_signal(signal.SIGHUP)
            if not ends:
                assert fetch(url + "/healthz") == "ok\n"
                node.terminate()
            assert node.wait(timeout=60) == 0
    os.close(controller)
    os.close(terminal)
