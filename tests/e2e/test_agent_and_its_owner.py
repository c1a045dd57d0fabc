# SPDX-License-Identifier: Apache-2.0
"""What a device's owner may arrange: channel, addresses, conditions, commands that install.

The agent is a real process of the command line; the board is written by hand, in this process.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from time import localtime
from typing import Any

import pytest

from fieldpost.identity.outcome import Outcome
from fieldpost.records import map_keys
from fieldpost.records.head import Conditions
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.paper_node import PaperNode
from fieldpost.testing.relay import QuietServer, Relay
from tests.e2e.maker_cli import Answer, Maker

pytestmark = pytest.mark.e2e

OLD, NEW = b"the image of release 1", b"the image of release 2"


@dataclass
class Device:
    """One device that runs release 1, and the command line at it."""

    node: PaperNode
    home: Path
    cli: Maker

    def set_up(self, *settings: str, urls: tuple[str, ...] = ()) -> None:
        asked = ", ".join(json.dumps(url) for url in urls or (self.node.url,))
        lines = (f"urls = [{asked}]", "trial_check_in_s = 5", *settings)
        self.home.mkdir(exist_ok=True)
        (self.home / "agent.toml").write_text("\n".join(lines) + "\n")

    def enrol(self, **changes: Any) -> None:
        folder = self.home.parent
        (folder / "prov").write_bytes(self.node.board.provisioning(**changes))
        (folder / "old.bin").write_bytes(OLD)
        self.cli.must(
            *("agent", "enrol", "--home", self.home, "--provisioning", folder / "prov"),
            *("--serial", "SN1", "--base", folder / "old.bin", "--base-sequence", "1"),
        )

    def agent(self, *words: str | Path) -> Answer:
        return self.cli("agent", words[0], "--home", self.home, *words[1:], "--json")

    def once(self) -> list[dict[str, Any]]:
        done = self.agent("once")
        assert done.code == 0, (done.out, done.err)
        return [json.loads(line) for line in done.out.splitlines()]

    def runs(self) -> int:
        return int(self.cli.must("agent", "status", "--home", self.home)["sequence"])

    def offer(self, sequence: int, image: bytes, **conditions: Any) -> None:
        self.node.publish(sequence, image)
        (offer,) = self.node.board.head.offers
        self.node.board.offer(replace(offer, conditions=Conditions(**conditions)))

    def last_outcome(self) -> Outcome:
        return self.node.reports[-1].outcome


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    with PaperNode(PaperBoard()) as node:
        made = Device(node, tmp_path / "device", Maker(tmp_path / "nobody"))
        made.set_up()
        yield made


# --- the end of the factory line ---


def test_a_device_leaves_the_factory_when_its_selftest_says_so(device: Device) -> None:
    device.enrol()
    fit = device.agent("selftest", "--online")
    assert fit.json["fit"] is True
    assert [check["name"] for check in fit.json["checks"] if not check["passed"]] == ["clock"]
    (device.home / "SN1.enrol").unlink()
    unfit = device.agent("selftest")
    assert unfit.code == 1
    assert json.loads(unfit.out)["fit"] is False


# --- addresses ---


class _Elsewhere(BaseHTTPRequestHandler):
    """Sends everybody to another place, as a captive portal does."""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.1:9/login")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_dead_addresses_portals_and_redirects_do_not_keep_a_device_from_its_board(
    device: Device,
) -> None:
    elsewhere = QuietServer(("127.0.0.1", 0), _Elsewhere)
    thread = Thread(target=elsewhere.serve_forever, args=(0.02,))
    thread.start()
    try:
        with Relay(device.node.url) as portal:
            portal.alter = lambda _, __: b"<html>please log in</html>"
            redirect = f"http://127.0.0.1:{elsewhere.server_address[1]}"
            bad = ("http://127.0.0.1:9", portal.url, redirect)
            device.set_up(urls=bad)
            device.enrol()
            device.node.publish(2, NEW)
            alone = device.agent("once")
            assert alone.code == 75
            assert [json.loads(line)["event"] for line in alone.out.splitlines()] == ["unavailable"]
            device.set_up(urls=(*bad, device.node.url))
            assert "confirmed" in [event["event"] for event in device.once()]
    finally:
        elsewhere.shutdown()
        thread.join()
        elsewhere.server_close()
    assert device.runs() == 2
    assert not (device.home / "evidence").exists()


# --- channel ---


def test_the_owner_changes_the_channel_within_the_provisioned_list(device: Device) -> None:
    device.enrol(channels=("stable", "beta"))
    board = device.node.board
    device.node.publish(2, NEW)
    beta = map_keys.head(board.class_id, "beta")
    board.map = board.map.update({beta: board.head.encode()})
    board.offer()
    device.once()
    assert device.runs() == 1
    refused = device.agent("channel", "nightly").error
    assert (refused["exit"], "beta" in refused["detail"]) == (78, True)
    assert device.agent("channel", "beta").json == {"channel": "beta"}
    device.once()
    assert device.runs() == 2


# --- conditions ---


def test_an_update_waits_for_power_and_says_so(device: Device) -> None:
    told = device.home.parent / "power.json"
    device.set_up(f'power = ["/bin/cat", "{told}"]')
    device.enrol()
    device.offer(2, NEW, battery_percent=50, external_power=True)
    for power, outcome in (
        ('{"battery_percent": 49, "external": true}', Outcome.LOW_POWER),
        ('{"battery_percent": 90, "external": false}', Outcome.LOW_POWER),
        ("nonsense", Outcome.LOW_POWER),
        ('{"battery_percent": 50, "external": true}', Outcome.CONFIRMED),
    ):
        told.write_text(power)
        device.once()
        assert device.last_outcome() is outcome
    assert device.runs() == 2


def test_an_update_is_put_off_by_a_person_and_no_longer_than_it_allows(device: Device) -> None:
    device.set_up("postpone_s = 3600")
    device.enrol()
    device.offer(2, NEW, postpone_s=7_200)
    device.once()
    assert (device.last_outcome(), device.runs()) == (Outcome.POSTPONED, 1)
    refused = device.agent("postpone", "7201").error
    assert (refused["exit"], "7200" in refused["detail"]) == (78, True)
    device.agent("postpone", "0")
    device.once()
    assert (device.last_outcome(), device.runs()) == (Outcome.CONFIRMED, 2)
    assert device.agent("postpone", "60").code != 0


def test_an_update_waits_for_its_window_and_for_consent(device: Device) -> None:
    consent = device.home.parent / "consent"
    device.set_up(f'consent = ["/bin/sh", "{consent}"]')
    consent.write_text("exit 1")
    device.enrol()
    # A window that is six hours away on this machine's clock, whatever that says.
    later = (localtime().tm_hour * 3_600 + 6 * 3_600) % 86_400
    device.offer(2, NEW, window=(later, later + 3_599))
    device.once()
    assert device.last_outcome() is Outcome.POSTPONED
    device.offer(3, NEW, window=(0, 86_399), urgency=2)
    device.once()
    assert device.last_outcome() is Outcome.DECLINED
    consent.write_text('test "$FIELDPOST_SEQUENCE $FIELDPOST_URGENCY" = "3 2"')
    device.once()
    assert (device.last_outcome(), device.runs()) == (Outcome.CONFIRMED, 3)


# --- slots behind commands ---

# As an installer for two partitions and a co-processor: writes what does not run, and boots it.
INSTALLER = """\
set -e
cd "$(dirname "$0")"
other=$(test "$(cat current)" = a && echo b || echo a)
case $1 in
install)
    i=0
    while [ $i -lt "$FIELDPOST_COMPONENTS" ]; do
        eval "name=\\$FIELDPOST_COMPONENT_$i image=\\$FIELDPOST_IMAGE_$i digest=\\$FIELDPOST_DIGEST_$i"
        echo "$digest  $image" | sha256sum -c --quiet -
        cp "$image" "$other.$name"
        i=$((i + 1))
    done ;;
activate) cp current before; echo $other > current ;;
confirm) rm -f before ;;
revert) if [ -e before ]; then mv before current; fi ;;
state) cat current ;;
esac
"""  # noqa: E501 - one line of a shell script


def install_by(device: Device, *settings: str) -> Path:
    root = device.home.parent / "installer"
    root.mkdir()
    (root / "run").write_text(INSTALLER)
    (root / "current").write_text("a\n")
    lines = ["[slot]", 'kind = "exec"', 'components = ["image", "radio"]']
    names = ("install", "activate", "confirm", "revert", "state")
    lines += [f'{name} = ["/bin/sh", "{root}/run", "{name}"]' for name in names]
    device.set_up(*settings, *lines)
    return root


def test_commands_install_all_images_of_a_release_and_keep_them_once_proven(
    device: Device,
) -> None:
    root = install_by(device)
    device.enrol()
    device.node.publish(2, NEW, radio=b"the radio's image")
    events = [event["event"] for event in device.once()]
    assert events[-4:] == ["trial", "checkin", "confirmed", "report"]
    assert (root / "current").read_text() == "b\n"
    assert (root / "b.image").read_bytes() == NEW
    assert (root / "b.radio").read_bytes() == b"the radio's image"
    assert not (root / "before").exists()
    told = [(item.sequence, item.digest) for item in device.node.reports[-1].components]
    assert told == [(2, sha256(NEW).digest()), (2, sha256(b"the radio's image").digest())]
    status = device.cli.must("agent", "status", "--home", device.home)
    assert [item["component"] for item in status["components"]] == ["image", "radio"]


def test_commands_put_back_what_ran_where_the_new_release_is_sick(device: Device) -> None:
    root = install_by(device, 'health_check = ["/bin/false"]')
    device.enrol()
    device.node.publish(2, NEW, radio=b"the radio's image")
    assert device.agent("once").code == 1
    assert (root / "current").read_text() == "a\n"
    assert (device.last_outcome(), device.runs()) == (Outcome.REVERTED, 1)


def test_a_release_that_the_commands_cannot_install_whole_is_refused(device: Device) -> None:
    root = install_by(device)
    device.enrol()
    device.node.publish(2, NEW)
    refused = device.agent("once")
    assert refused.code == 3
    assert "unsupported" in refused.err
    assert not (root / "b.image").exists()
