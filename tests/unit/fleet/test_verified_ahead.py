# SPDX-License-Identifier: Apache-2.0
"""Signatures of reports verified ahead: a memory of what was found, which decides nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import pytest

from fieldpost import cbor
from fieldpost.engines.verifiers import Verifiers
from fieldpost.errors import FieldpostError, Untrusted
from fieldpost.fleet.ahead import Check, Incoming, VerifiedAhead, verify_none
from fieldpost.fleet.database import FleetDb
from fieldpost.fleet.service import FleetService
from fieldpost.identity.report import signature_check
from fieldpost.keys import verify_signature
from tests.unit.fleet.test_fleet_service import (
    BOARD,
    CLASS,
    LEAVES,
    LOT,
    NOW,
    SIGNERS,
    Posted,
    open_fleet,
    report,
)


class Asked:
    """A `VerifyMany` that answers truly and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches: list[Sequence[Check]] = []
        self.verifiers = Verifiers(0)

    def __call__(self, checks: Sequence[Check]) -> Sequence[bool]:
        self.batches.append(checks)
        return self.verifiers.verify(checks).result()


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def fleet(tmp_path: Path, asked: Asked) -> Iterator[FleetService]:
    service = FleetService(
        tmp_path / "fleet.db", board=BOARD, lots=Posted(), clock=lambda: NOW, verify=asked
    )
    service.store_leaves(LOT, [cbor.encode(LEAVES)])
    yield service
    service.close()


def forged(number: int) -> bytes:
    """A report whose last signature byte is another."""
    data = report(number)
    return data[:-1] + bytes((data[-1] ^ 1,))


def test_reports_that_wait_together_are_verified_together(
    fleet: FleetService, asked: Asked
) -> None:
    """While the writing thread is held up, reports wait; then one question asks for all of them."""
    began, go_on = Event(), Event()

    def hold() -> None:
        began.set()
        assert go_on.wait(60)

    held = fleet._writer.submit(hold)
    assert began.wait(60)
    taken = [fleet.take_report(data) for data in (report(0), forged(1), report(2))]
    go_on.set()
    held.result(60)
    outcomes = [done.exception(60) for done in taken]
    assert [type(outcome) for outcome in outcomes] == [type(None), Untrusted, type(None)]
    (together,) = [checks for checks in asked.batches if checks]
    assert [key for key, _, _ in together] == [SIGNERS[n].public_key for n in range(3)]
    assert fleet.summary(CLASS)["never_seen"] == 3


def ahead_of(folder: Path, verify: Asked, reports: Sequence[bytes]) -> VerifiedAhead:
    open_with_leaves = open_fleet(folder)
    open_with_leaves.store_leaves(LOT, [cbor.encode(LEAVES)])
    open_with_leaves.close()
    ahead = VerifiedAhead(FleetDb(folder / "fleet.db"), verify)
    ahead.prepare([Incoming(SIGNERS[n].public_key.thumbprint(), r) for n, r in enumerate(reports)])
    return ahead


def test_a_verdict_counts_for_its_key_message_and_signature_alone(
    tmp_path: Path, asked: Asked
) -> None:
    ahead = ahead_of(tmp_path, asked, [report(0)])
    key, message, signature = signature_check(report(0), SIGNERS[0].public_key)
    ahead.check_signature(key, message, signature)
    for other in (
        (SIGNERS[2].public_key, message, signature),
        (key, message + b"!", signature),
        (key, message, signature[:-1] + bytes((signature[-1] ^ 1,))),
    ):
        with pytest.raises(Untrusted, match="bad-signature"):
            ahead.check_signature(*other)


def test_what_was_valid_in_one_batch_is_asked_again_in_the_next(
    tmp_path: Path, asked: Asked
) -> None:
    ahead = ahead_of(tmp_path, asked, [report(0)])
    assert len(ahead._valid) == 1
    ahead.prepare([])
    assert not ahead._valid
    ahead.check_signature(*signature_check(report(0), SIGNERS[0].public_key))


@pytest.mark.parametrize("data", [b"", b"\xd2\x84", report(1)])
def test_what_cannot_be_asked_ahead_is_left_to_the_judge(
    tmp_path: Path, asked: Asked, data: bytes
) -> None:
    """No report, or another device's: nothing is remembered as valid, and nothing fails."""
    ahead = ahead_of(tmp_path, asked, [data])
    assert not ahead._valid


def test_a_device_in_no_lot_has_no_key_to_ask_for(tmp_path: Path, asked: Asked) -> None:
    ahead = ahead_of(tmp_path, asked, [])
    ahead.prepare([Incoming(b"?" * 32, report(0))])
    assert asked.batches == [[], []]


def test_without_verdicts_everything_is_verified_when_asked(tmp_path: Path) -> None:
    """The default: whoever verifies nothing ahead takes and refuses the same reports."""
    check = signature_check(report(0), SIGNERS[0].public_key)
    assert verify_none([check, check]) == [False, False]
    verify_signature(*check)
    service = open_fleet(tmp_path)
    service.store_leaves(LOT, [cbor.encode(LEAVES)])
    try:
        service.take_report(report(0)).result(60)
        refused = service.take_report(forged(1)).exception(60)
    finally:
        service.close()
    assert isinstance(refused, FieldpostError)
    assert str(refused).startswith("bad-signature")
