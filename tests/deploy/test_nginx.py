# SPDX-License-Identifier: Apache-2.0
"""The shipped nginx site in front of a real node: files, cache, uploads, and a device behind it."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.maker_cli import CLI, Maker, environment, make_maker, running_node
from tests.ports import free_port

pytestmark = pytest.mark.e2e

PATIENCE_S = 60.0
SITE = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "fieldpost.conf"
IMAGE = bytes(range(256)) * 8_000
MAIN = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What nginx answered. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Site:
    """A node with a release on its board, and nginx in front of it."""

    folder: Path
    node: str
    nginx: str
    class_id: str
    maker: Maker

    def ask(self, method: str, path: str, *, node: bool = False, **headers: str) -> Answer:
        address = urlsplit(self.node if node else self.nginx).netloc
        connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=names)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    @property
    def checkin(self) -> str:
        return f"/v1/checkin/{self.class_id}/stable"

    @property
    def blob(self) -> str:
        return f"/v1/blobs/sha256/{sha256(IMAGE).hexdigest()}"


def site_of(folder: Path, *, node: str, port: int) -> str:
    """The shipped site with this test's places; every one of them must be in it."""
    text = SITE.read_text()
    for shipped, here in (
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("listen [::]:80;", ""),
        ("server 127.0.0.1:8470;", f"server {urlsplit(node).netloc};"),
        ("/var/lib/fieldpost", str(folder / "board")),
        ("/var/lib/nginx/fieldpost", str(folder / "cache")),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    return text


@contextmanager
def running_nginx(folder: Path, node: str) -> Iterator[str]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: run  make system-deps")
    port = free_port()
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    (folder / "site.conf").write_text(site_of(folder, node=node, port=port))
    words = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c"]
    subprocess.run(
        [*words, str(folder / "nginx.conf"), "-t"], check=True, capture_output=True, timeout=60
    )
    with subprocess.Popen([*words, str(folder / "nginx.conf")]) as nginx:
        try:
            yield _answering(f"http://127.0.0.1:{port}", nginx)
        finally:
            nginx.terminate()
            nginx.wait(timeout=60)


def _answering(url: str, nginx: "subprocess.Popen[bytes]") -> str:
    """Wait until the socket is there."""
    place, pause = ("127.0.0.1", int(url.rpartition(":")[2])), threading.Event()
    end = time.monotonic() + PATIENCE_S
    while nginx.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(place, PATIENCE_S).close()
        except ConnectionRefusedError:
            pause.wait(0.05)
        else:
            return url
    raise AssertionError("nginx did not start")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with running_node(folder / "board") as node, running_nginx(folder, node) as nginx:
        maker = make_maker(folder / "maker", nginx)
        (folder / "image.bin").write_bytes(IMAGE)
        maker.must("release", "publish", "bulb", folder / "image.bin", "--version", "1.0")
        maker.must("rollout", "set", "bulb", "--offer", "1=100%")
        made = maker.must("class", "trust", "bulb", "--out", folder / "bulb.prov")
        yield Site(folder, node, nginx, made["class"], maker)


def test_a_device_behind_nginx_checks_in_downloads_confirms_and_reports(site: Site) -> None:
    home = site.folder / "device"
    site.maker.must(
        *("agent", "enrol", "--home", home, "--provisioning", site.folder / "bulb.prov"),
        *("--serial", "SN1"),
    )
    site.maker.must("lot", "enrol", "bulb", "--requests", home)
    config = (home / "agent.toml").read_text()
    (home / "agent.toml").write_text(config + f'\nurls = ["{site.nginx}"]\n')
    done = subprocess.run(
        [*CLI, "agent", "once", "--home", str(home), "--json"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "confirmed" in [event["event"] for event in events]
    assert events[-1]["delivery"] == "sent"
    assert (home / "slots" / "current" / "image").read_bytes() == IMAGE


def test_a_check_in_from_the_cache_is_the_node_s_byte_for_byte_with_its_tag_and_rules(
    site: Site,
) -> None:
    direct, cached, again, zipped = _of_one_minute(site)
    assert cached.body == direct.body
    assert cached.headers["content-type"] == direct.headers["content-type"]
    assert "no-transform" in cached.headers["cache-control"]
    assert "content-encoding" not in cached.headers
    assert (again.status, again.body) == (304, b"")
    assert zipped.body == direct.body


def _of_one_minute(site: Site) -> tuple[Answer, Answer, Answer, Answer]:
    """The node's check-in, the cache's, and the cache's to who has it or takes it compressed.

    Asked again where the node cosigned anew meanwhile, as it does every minute: what it shows
    before and after is the same, and what the cache gives is from the cache, and has its tag.
    """
    pause, end = threading.Event(), time.monotonic() + 2 * PATIENCE_S
    while True:
        direct = site.ask("GET", site.checkin, node=True)
        site.ask("GET", site.checkin)
        cached = site.ask("GET", site.checkin)
        again = site.ask("GET", site.checkin, If_None_Match=direct.headers["etag"])
        zipped = site.ask("GET", site.checkin, Accept_Encoding="gzip, br")
        after = site.ask("GET", site.checkin, node=True)
        tags = {answer.headers["etag"] for answer in (direct, cached, zipped, after)}
        if after.body == direct.body and len(tags) == 1 and cached.headers["x-cache"] == "HIT":
            return direct, cached, again, zipped
        assert time.monotonic() < end, f"the cache never had what the node shows: {cached}"
        pause.wait(0.5)


def test_an_image_is_a_file_with_ranges_and_lives_for_ever(site: Site) -> None:
    whole = site.ask("GET", site.blob)
    assert whole.body == IMAGE
    assert whole.headers["cache-control"] == "public, max-age=31536000, immutable, no-transform"
    part = site.ask("GET", site.blob, Range="bytes=1000-1999")
    assert (part.status, part.body) == (206, IMAGE[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(IMAGE)}"
    rest = site.ask("GET", site.blob, Range=f"bytes={len(IMAGE) - 7}-")
    assert rest.body == IMAGE[-7:]
    assert site.ask("GET", site.blob, Range=f"bytes={len(IMAGE)}-").status == 416


def test_the_log_is_files_and_the_checkpoint_is_never_kept(site: Site) -> None:
    note = site.ask("GET", "/log/checkpoint")
    # The lines below the head are made anew every minute.
    direct = site.ask("GET", "/log/checkpoint", node=True)
    assert note.body.partition(b"\n\n")[0] == direct.body.partition(b"\n\n")[0]
    assert note.headers["cache-control"] == "no-cache, no-transform"
    assert note.headers["content-type"].startswith("text/plain")
    size = int(note.body.split(b"\n")[1])
    tile = f"/log/tile/entries/000.p/{size}"
    found = site.ask("GET", tile)
    assert found.body == site.ask("GET", tile, node=True).body
    assert "immutable" in found.headers["cache-control"]
    assert site.ask("GET", "/log/tile/entries/999").status == 404
    for path in ("/log/tile/../../keys/log.pem", "/log/tile/%2e%2e/%2e%2e/keys/log.pem"):
        assert site.ask("GET", path).status in {400, 404}


@pytest.mark.parametrize("name", ["state.db", "keys/log.pem", "fleet.db", "blobs/partial/x"])
def test_nothing_else_of_the_data_folder_is_served(site: Site, name: str) -> None:
    for path in (f"/{name}", f"/log/{name}", f"/v1/blobs/{name}"):
        assert site.ask("GET", path).status in {400, 404}


def test_how_far_an_upload_is_says_the_node_and_not_the_file(site: Site) -> None:
    found = site.ask("HEAD", site.blob)
    assert found.status == 200
    assert found.headers["upload-complete"] == "?1"
    assert found.headers["upload-offset"] == str(len(IMAGE))
    unknown = f"/v1/blobs/sha256/{'ab' * 32}"
    assert site.ask("GET", unknown).status == 404
    assert site.ask("HEAD", unknown).status == 404
    assert site.ask("PATCH", unknown).status in {400, 401, 403, 404, 415}


def test_a_large_upload_passes_through_without_being_kept_by_nginx(site: Site) -> None:
    image = bytes(range(250)) * 48_000
    (site.folder / "large.bin").write_bytes(image)
    site.maker.must("release", "publish", "bulb", site.folder / "large.bin", "--version", "2.0")
    found = site.ask("GET", f"/v1/blobs/sha256/{sha256(image).hexdigest()}")
    assert sha256(found.body).digest() == sha256(image).digest()
    assert not list((site.folder / "body").glob("*"))


def test_what_goes_wrong_keeps_the_node_s_words_and_nginx_s_request_id(site: Site) -> None:
    problem = site.ask("GET", "/v1/makers/00")
    assert problem.status == 404
    assert problem.headers["content-type"] == "application/problem+json"
    assert json.loads(problem.body)["next"]
    assert len(problem.headers["x-request-id"]) == 32


def test_devices_are_served_from_the_cache_while_the_node_is_down(tmp_path: Path) -> None:
    with running_node(tmp_path / "board") as node:
        nginx = running_nginx(tmp_path, node)
        url = nginx.__enter__()
        try:
            maker = make_maker(tmp_path / "maker", url)
            made = maker.must("class", "trust", "bulb", "--out", tmp_path / "bulb.prov")
            site = Site(tmp_path, node, url, made["class"], maker)
            before = site.ask("GET", site.checkin)
            assert before.status == 200
            pid = _pid_listening(node)
            os.kill(pid, 9)
            assert site.ask("GET", site.checkin).body == before.body
            assert site.ask("GET", "/log/checkpoint").status == 200
            assert site.ask("GET", "/v1/board").status == 502
        finally:
            nginx.__exit__(None, None, None)


def _pid_listening(url: str) -> int:
    """The process behind a port of this machine, by its socket."""
    port = int(url.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    (inode,) = {
        fields[9]
        for fields in map(str.split, lines)
        if fields[1].endswith(f":{port:04X}") and fields[3] == "0A"
    }
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(link.readlink()) == f"socket:[{inode}]":
                return int(link.parts[2])
        except OSError:
            continue
    raise AssertionError("nobody listens")
