# SPDX-License-Identifier: Apache-2.0
"""A maker posts numbers of its fleet, sees them first, and shows one report under them later."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fieldpost.client.transport import HttpClient
from fieldpost.errors import Conflict, Misconfigured, NotFound
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.keys import Algorithm
from fieldpost.node.fleet_alone import open_fleet
from fieldpost.node.server import Server
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.cli.cli_world import CliWorld
from tests.unit.cli.test_care import enrol


@contextmanager
def serving(world: CliWorld, clock: Callable[[], int]) -> Iterator[str]:
    """A fleet service of the maker's own; its URL."""
    provisioning = world.provisioning.read_bytes()
    with open_fleet(
        board_urls=[world.url], provisioning=provisioning, data=world.root / "fleet", clock=clock
    ) as alone:
        ready = threading.Event()
        server = Server(
            alone.app, listen=[("127.0.0.1", 0)], limits=alone.limits, on_ready=ready.set
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(60)
            yield server.url
        finally:
            server.stop()
            thread.join(timeout=60)


class Fleet:
    """Three devices of the world's class, and the service that hears of them."""

    def __init__(self, world: CliWorld) -> None:
        # A day behind the node's own clock, which is the machine's.
        self.now = int(time.time()) - 86_400  # noqa: TID251
        self.world = world
        self.url = ""
        self.devices: list[str] = []

    def report(self, number: int, sequence: int, outcome: Outcome, boot: int = 1) -> None:
        signer = DeterministicSigner(Algorithm.ED25519, f"device {number}")
        report = Report(
            board=self.world.board,
            device=signer.public_key.thumbprint(),
            boot_count=boot,
            counter=1,
            components=(ReportedComponent(0, sequence, b"i" * 32),),
            outcome=outcome,
        )
        with HttpClient(self.url) as http:
            data = sign_report(report, signer)
            http.send("POST", "/v1/reports", data, content_type="application/eat+cwt")
        self.now += 10


@pytest.fixture
def fleet(world: CliWorld) -> Iterator[Fleet]:
    made = Fleet(world)
    with serving(world, lambda: made.now) as url:
        made.url = url
        made.devices = enrol(world, fleet_url=url)
        world.publish("1.0")
        yield made


def posted(fleet: Fleet, *options: str) -> dict[str, object]:
    result: dict[str, object] = fleet.world.call(
        "fleet", "summary", "bulb:r1", "--fleet", fleet.url, "--yes", *options
    )
    return result


def test_a_summary_is_posted_and_the_next_begins_where_it_ended(fleet: Fleet) -> None:
    fleet.report(0, 1, Outcome.CONFIRMED)
    fleet.report(1, 1, Outcome.FAILED)
    first = posted(fleet)
    assert first["reports"] == 2
    assert first["outcomes"] == ["release 1: confirmed 1, failed 1, reverted 0"]
    fleet.report(2, 1, Outcome.REVERTED)
    second = posted(fleet)
    assert (second["from"], second["reports"]) == (first["to"], 1)
    assert second["outcomes"] == ["release 1: confirmed 0, failed 0, reverted 1"]


def test_a_period_is_never_counted_twice_and_never_empty(fleet: Fleet) -> None:
    fleet.report(0, 1, Outcome.CONFIRMED)
    posted(fleet)
    with pytest.raises(Conflict, match="last summary ends"):
        posted(fleet, "--from", "2020-01-01")
    fleet.now += 10
    with pytest.raises(NotFound, match="nothing to post"):
        posted(fleet)


def test_a_device_cannot_spoil_the_summary_with_a_release_that_never_was(fleet: Fleet) -> None:
    fleet.report(0, 1, Outcome.CONFIRMED)
    fleet.report(1, 77, Outcome.CONFIRMED)
    made = posted(fleet)
    assert made["reports"] == 2
    assert made["outcomes"] == ["release 1: confirmed 1, failed 0, reverted 0"]


def test_nothing_is_posted_before_somebody_has_seen_it(fleet: Fleet) -> None:
    fleet.report(0, 1, Outcome.CONFIRMED)
    with pytest.raises(Misconfigured, match="say --yes"):
        fleet.world.call("fleet", "summary", "bulb:r1", "--fleet", fleet.url)
    with pytest.raises(NotFound, match="no summary yet"):
        fleet.world.call("fleet", "prove", "bulb:r1", fleet.devices[0], "--fleet", fleet.url)


def test_one_report_is_proven_under_the_posted_root(fleet: Fleet) -> None:
    for number in range(2):
        fleet.report(number, 1, Outcome.CONFIRMED)
    made = posted(fleet)
    fleet.report(0, 1, Outcome.REVERTED, boot=2)
    words = ("fleet", "prove", "bulb:r1", "--fleet", fleet.url)
    proven = fleet.world.call(*words, fleet.devices[1])
    assert (proven["root"], proven["counted"]) == (made["root"], ["confirmed 1 (report 1 of 2)"])
    with pytest.raises(NotFound, match="keeps no report"):
        fleet.world.call(*words, fleet.devices[2])


def test_a_summary_is_signed_on_another_machine(fleet: Fleet, tmp_path: Path) -> None:
    fleet.report(0, 1, Outcome.CONFIRMED)
    out = tmp_path / "summary.unsigned"
    made = posted(fleet, "--export-unsigned", str(out))
    assert made["unsigned"] == str(out)
    assert out.exists()
