# SPDX-License-Identifier: Apache-2.0
"""The processes that benchmarks over HTTP need, on loopback: a node, nginx, wrk."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
SECONDS = 3
_NGINX = """
{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  default_type application/vnd.fieldpost.checkin+cbor; keepalive_requests 100000000;
  open_file_cache max=100; sendfile on; tcp_nopush on;
  server {{
    listen 127.0.0.1:{port}; root {folder}/www; etag on;
    add_header Cache-Control "public, max-age=60, no-transform";
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Serving:
    """A node process that serves at `url`."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Seconds of processors that it and the processes it started have used so far (Linux)."""
        return sum(_cpu_s(pid) for pid in (self.pid, *children(self.pid)))

    def peak_mb(self) -> float:
        """The most memory that it, without those it started, ever held; in 10^6 bytes (Linux)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s*([0-9]+) kB", status)
        assert found is not None
        return int(found[1]) * 1_024 / 1e6


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tree_cpu_s(pid: int) -> float:
    """Seconds of processors that a process and all below it have used so far (Linux)."""
    return sum(_cpu_s(one) for one in _tree(pid))


def tree_rss_mb(pid: int) -> float:
    """The memory that a process and all below it hold now; in 10^6 bytes (Linux)."""
    pages = sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) for one in _tree(pid))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def pause(pid: int, number: int) -> None:
    """Send a signal (SIGSTOP, SIGCONT) to a process and to all below it."""
    for one in _tree(pid):
        os.kill(one, number)


def _tree(pid: int) -> list[int]:
    return [pid, *(one for child in children(pid) for one in _tree(child))]


def children(pid: int) -> list[int]:
    """The processes that it started and that still run (Linux)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@contextmanager
def node(data: Path) -> Iterator[Serving]:
    """A node process over `data`."""
    with _program("node", "run", "--data", str(data)) as served:
        yield served


@contextmanager
def witness(data: Path, policy: Path) -> Iterator[Serving]:
    """A witness process over `data`, for the logs of a tlog-policy file."""
    with _program("witness", "run", "--data", str(data), "--policy", str(policy)) as served:
        yield served


@contextmanager
def mirror(data: Path, source: str, *, every_s: float) -> Iterator[Serving]:
    """A mirror process of the board at a URL, once it has the first copy."""
    with _program("mirror", "run", source, "--data", str(data), "--every", str(every_s)) as served:
        yield served


@contextmanager
def _program(*words: str) -> Iterator[Serving]:
    command = [sys.executable, "-m", "fieldpost.cli", *words, "--json", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Serving(str(json.loads(process.stdout.readline())["url"]), process.pid)
        finally:
            process.terminate()


@contextmanager
def nginx(folder: Path, path: str, body: bytes) -> Iterator[str]:
    """One nginx worker that serves `body` as a static file at `path`; its URL."""
    file = folder / "www" / path.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_bytes(body)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Started by root, nginx would read files as somebody else.
    user = "user root;" if os.geteuid() == 0 else ""
    text = _NGINX.format(user=user, folder=folder, port=port)
    (folder / "nginx.conf").write_text(text)
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def has(*programs: str) -> bool:
    """Whether all of the programs are installed; says loudly which are not."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        print(f"SKIPPED: {' and '.join(missing)} not installed", file=sys.stderr)
    return not missing


def requests_per_second(url: str) -> float:
    """One round of wrk on connections kept alive; no error is allowed."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", url]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec:\s*([0-9.]+)", said)
    if rate is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk met errors:\n{said}")
    return float(rate[1])
