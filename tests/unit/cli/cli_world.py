# SPDX-License-Identifier: Apache-2.0
"""A whole node on loopback, and the command line of a maker who posts to it, in this process."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldpost.checkin.belief import Belief, believe
from fieldpost.checkin.verify import Verified, verify_bundle
from fieldpost.cli.main import fieldpost
from fieldpost.client.transport import HttpClient
from fieldpost.node.app import open_node
from fieldpost.node.config import Limits, NodeConfig
from fieldpost.node.server import Server
from fieldpost.records import map_keys
from fieldpost.records.limits import MAX_CHECKIN_BYTES

LIMITS = Limits(body_silence_s=5.0, body_s=10.0, drain_s=5, piece_bytes=64 * 1024)


@dataclass(slots=True)
class CliWorld:
    """Commands run in one folder, with one maker's home, against one node."""

    url: str
    board: str
    root: Path
    data: Path
    class_id: str = ""

    @property
    def home(self) -> Path:
        return self.root / "home"

    def call(self, *words: str) -> Any:
        """The JSON that a command prints. Errors are raised as they are."""
        result = CliRunner().invoke(
            fieldpost,
            [*words, "--json"],
            env={"FIELDPOST_HOME": str(self.home)},
            standalone_mode=False,
            catch_exceptions=False,
        )
        code = result.return_value
        assert not isinstance(code, int) or code == 0, result.output
        return json.loads(result.stdout)

    def code(self, *words: str) -> tuple[int, Any]:
        """(exit code, JSON) of a command that answers by its exit code."""
        result = CliRunner().invoke(
            fieldpost,
            [*words, "--json"],
            env={"FIELDPOST_HOME": str(self.home)},
            catch_exceptions=False,
        )
        return result.exit_code, json.loads(result.stdout)

    def text(self, *words: str) -> str:
        """What a command prints for people."""
        result = CliRunner().invoke(
            fieldpost,
            list(words),
            env={"FIELDPOST_HOME": str(self.home)},
            standalone_mode=False,
            catch_exceptions=False,
        )
        return result.output

    def with_maker(self, *options: str) -> None:
        """A maker with the class `bulb:r1`, and the file that its devices trust."""
        self.call("maker", "init", "--name", "Acme", "--no-passphrase", *options)
        self.call("maker", "register", "--board", self.url, "--yes")
        self.class_id = self.call("class", "add", "bulb:r1", "--support-end", "2036-12-31")["class"]
        self.call("class", "trust", "bulb:r1", "--out", str(self.provisioning))

    @property
    def provisioning(self) -> Path:
        return self.root / "bulb.provisioning"

    def publish(self, version: str, *options: str) -> int:
        """Publish some image; its sequence."""
        image = self.root / f"{version}.bin"
        image.write_bytes(f"image {version} ".encode() * 40)
        made = self.call(
            "release", "publish", "bulb:r1", str(image), "--version", version, *options
        )
        sequence: int = made["sequence"]
        return sequence

    def offer(self, *offers: str) -> None:
        words = [word for offer in offers for word in ("--offer", offer)]
        self.call("rollout", "set", "bulb:r1", *words)

    def check_in(self, channel: str = "stable", *, links: bool = True) -> Verified:
        """What a device that was provisioned at the start believes of a channel now."""
        belief, record = believe(self.provisioning.read_bytes())
        with HttpClient(self.url) as http:
            path = f"/v1/checkin/{self.class_id}/{channel}"
            data = http.fetch(path, most_bytes=MAX_CHECKIN_BYTES)
            return verify_bundle(
                belief,
                data,
                key=map_keys.head(record.class_id, channel),
                now=None,
                least_time=record.least_time,
                maker_links=self._links(http, belief) if links else (),
                board_links=self._entries(http, "/v1/board?since=0"),
            )

    def _links(self, http: HttpClient, belief: Belief) -> list[bytes]:
        since = belief.maker_view().epoch
        return self._entries(http, f"/v1/makers/{belief.maker.hex()}/links?since={since}")

    def _entries(self, http: HttpClient, path: str) -> list[bytes]:
        from fieldpost import cbor

        value = cbor.decode(http.fetch(path, most_bytes=1 << 20))
        assert isinstance(value, tuple)
        return [entry for entry in value if isinstance(entry, bytes)]


@contextmanager
def cli_world(root: Path) -> Iterator[CliWorld]:
    data = root / "node"
    config = NodeConfig(data=data, origin=None, limits=LIMITS)
    with open_node(config, clock=lambda: int(time.time())) as node:  # noqa: TID251 - the CLI's own
        ready = threading.Event()
        server = Server(node.app, listen=[("127.0.0.1", 0)], limits=LIMITS, on_ready=ready.set)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(60)
            yield CliWorld(server.url, node.board, root, data)
        finally:
            server.stop()
            thread.join(timeout=60)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[CliWorld]:
    """A world with a maker and a class."""
    with cli_world(tmp_path) as made:
        made.with_maker()
        yield made
