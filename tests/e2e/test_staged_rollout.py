# SPDX-License-Identifier: Apache-2.0
"""A staged rollout with a real node and a real agent: 11 at one percent, then halted; 9 gets 10."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from fieldpost.checkin.bundle import decode_bundle
from fieldpost.client.transport import HttpClient
from fieldpost.demo.attacks import run_once
from fieldpost.demo.devices import Device, stand
from fieldpost.demo.processes import Processes
from fieldpost.records.head import cohort_draw, decode_head
from fieldpost.records.limits import FULL_THRESHOLD, MAX_CHECKIN_BYTES

pytestmark = pytest.mark.e2e

IMAGES = {sequence: f"image {sequence} ".encode() * 100 for sequence in (9, 10, 11)}


class Maker:
    """A maker on a board of its own, whose devices leave the factory with release 9."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder = folder
        self.processes = processes
        words = ["--data", str(folder / "node"), "--listen", "127.0.0.1:0", "--json"]
        node = processes.start("node", "run", *words, log="node")
        ready = node.wait_for(lambda event: event.get("event") == "ready", timeout_s=120)
        self.url = ready["url"]
        self.call("maker", "init", "--name", "acme", "--roots", "1-of-1", "--one-key")
        self.call("maker", "register", "--board", self.url, "--yes")
        support = ["--support-end", "2035-01-01", "--least-interval", "1"]
        self.class_id = self.call("class", "add", "bulb", *support)["class"]
        self.call("class", "trust", "bulb", "--out", str(folder / "bulb.prov"))
        for sequence in (10, 11):
            self.publish(sequence)

    def call(self, *arguments: str) -> dict[str, Any]:
        return self.processes.call(*arguments, "--home", str(self.folder / "maker"))

    def image(self, sequence: int) -> Path:
        path = self.folder / f"{sequence}.bin"
        path.write_bytes(IMAGES[sequence])
        return path

    def publish(self, sequence: int) -> None:
        version = ["--version", f"1.{sequence}", "--sequence", str(sequence)]
        self.call("release", "publish", "bulb", str(self.image(sequence)), *version)

    def offer(self, *offers: str) -> None:
        words = [word for offer in offers for word in ("--offer", offer)]
        self.call("rollout", "set", "bulb", "--interval", "1", *words)

    def device(self, serial: str) -> Device:
        home = self.folder / "devices" / serial
        trust = ["--provisioning", str(self.folder / "bulb.prov"), "--serial", serial]
        base = ["--base", str(self.image(9)), "--base-sequence", "9"]
        made = self.processes.call("agent", "enrol", "--home", str(home), *trust, *base)
        device = Device(serial, home, bytes.fromhex(made["device_id"]))
        device.point_to(self.url)
        return device

    def is_drawn(self, device: Device, threshold: int) -> bool:
        with HttpClient(self.url) as http:
            data = http.fetch(f"/v1/checkin/{self.class_id}/stable", most_bytes=MAX_CHECKIN_BYTES)
        head = decode_head(decode_bundle(data, most_bytes=MAX_CHECKIN_BYTES).value or b"")
        return cohort_draw(head.offers[0].salt or b"", device.device_id) < threshold


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    folder = tmp_path_factory.mktemp("staged")
    environment = os.environ | {"FIELDPOST_PASSPHRASE": "a test's"}
    with Processes(folder / "logs", environment) as processes:
        yield Maker(folder, processes)


def runs(maker: Maker, device: Device) -> tuple[int, str]:
    run_once(maker.processes, device)
    return stand(maker.processes, device).runs


def image(sequence: int) -> tuple[int, str]:
    return sequence, sha256(IMAGES[sequence]).hexdigest()


def test_a_device_on_9_gets_10_while_11_is_at_one_percent_and_while_it_is_halted(
    maker: Maker,
) -> None:
    """The one device in a hundred that the public lottery draws gets 11 before the halt."""
    maker.offer("11=1%", "10=100%")
    early, late = maker.device("early"), maker.device("late")
    drawn = maker.is_drawn(early, FULL_THRESHOLD // 100)
    assert runs(maker, early) == image(11 if drawn else 10)
    maker.offer("11=0%", "10=100%")
    assert runs(maker, late) == image(10)
    assert runs(maker, early) == image(11 if drawn else 10)
