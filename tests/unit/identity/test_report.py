# SPDX-License-Identifier: Apache-2.0
"""Reports: the shape on the wire, the limits, and what a reader skips."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.identity.outcome import NUMBERS, Outcome, outcome_claim, read_outcome
from fieldpost.identity.report import (
    Report,
    ReportedComponent,
    open_report,
    sign_report,
    signer_of,
    verify_report,
)
from fieldpost.identity.report_envelope import MAX_REPORT_BYTES
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.cosignature import Cosignature

DEVICE = DeterministicSigner(Algorithm.ESP256, "device")
ID = DEVICE.public_key.thumbprint()
BOARD = "board.example/1#" + "ab" * 16
REPORT = Report(
    board=BOARD,
    device=ID,
    boot_count=4,
    counter=17,
    components=(ReportedComponent(0, 9, b"\x11" * 32),),
    outcome=Outcome.CONFIRMED,
    head=(123_456, b"\x22" * 32, 1_790_000_000),
)


@pytest.mark.parametrize("algorithm", [Algorithm.ESP256, Algorithm.ED25519])
@pytest.mark.parametrize("outcome", Outcome)
def test_a_report_comes_back_as_it_was(algorithm: Algorithm, outcome: Outcome) -> None:
    signer = DeterministicSigner(algorithm, "device")
    device = signer.public_key.thumbprint()
    report = replace(REPORT, device=device, outcome=outcome, reason="fan is stuck", head=None)
    data = sign_report(report, signer)
    assert open_report(data) == (device, report)
    assert verify_report(data, signer.public_key, board=BOARD) == report


def test_the_shape_is_the_one_of_the_specification() -> None:
    value: Any = cbor.decode(sign_report(replace(REPORT, reason="why"), DEVICE))
    assert value.number == 18
    protected, unprotected, payload, _ = value.value
    assert cbor.decode(protected) == {1: -9, 4: ID, 16: "application/eat+cwt"}
    assert unprotected == {}
    assert cbor.decode(payload) == {
        3: BOARD,
        256: b"\x01" + ID,
        265: "tag:fieldpost,2026:report-v1",
        267: 4,
        -65537: 17,
        -65538: ((0, 9, b"\x11" * 32),),
        -65539: {4: True, -1: 1, -2: "why"},
        -65540: (123_456, b"\x22" * 32, 1_790_000_000),
    }


COSIGNATURES = (Cosignature(b"abcd", 7, b"\x33" * 64), Cosignature(b"efgh", 8, b"\x44" * 64))


def test_the_cosignatures_under_the_head_come_along() -> None:
    data = sign_report(replace(REPORT, cosignatures=COSIGNATURES), DEVICE)
    assert verify_report(data, DEVICE.public_key).cosignatures == COSIGNATURES


def test_cosignatures_need_a_head_and_are_few_and_small() -> None:
    with pytest.raises(Malformed, match="without the head"):
        replace(REPORT, head=None, cosignatures=COSIGNATURES)
    with pytest.raises(Malformed, match="at most 16"):
        replace(REPORT, cosignatures=COSIGNATURES * 9)
    with pytest.raises(Malformed, match="Ed25519"):
        replace(REPORT, cosignatures=(Cosignature(b"abcd", 7, b"\x33" * 2_420),))


def test_a_usual_report_is_small_and_the_largest_is_within_the_limit() -> None:
    assert len(sign_report(REPORT, DEVICE)) <= 384
    largest = replace(
        REPORT,
        board="b" * 256,
        boot_count=2**63 - 1,
        counter=2**63 - 1,
        components=tuple(ReportedComponent(i, 2**63 - 1, b"d" * 32) for i in range(16)),
        reason="r" * 256,
        head=(2**63 - 1, b"r" * 32, 2**63 - 1),
    )
    assert len(sign_report(largest, DEVICE)) <= MAX_REPORT_BYTES


def test_the_words_of_outcomes_are_fixed() -> None:
    """They are burnt into devices: a number never gets another meaning."""
    assert {str(outcome): number for outcome, number in NUMBERS.items()} == {
        "confirmed": 1,
        "failed": 2,
        "reverted": 3,
        "checked-in": 4,
        "postponed": 5,
        "declined": 6,
        "low-power": 7,
        "stale": 8,
    }


@pytest.mark.parametrize("outcome", Outcome)
def test_an_outcome_is_a_suit_result_too(outcome: Outcome) -> None:
    result = outcome_claim(outcome, "")[4]
    went_well = outcome in (Outcome.CONFIRMED, Outcome.CHECKED_IN)
    assert (result is True) == went_well
    if not went_well:
        assert isinstance(result, dict)
        assert result[5] == NUMBERS[outcome]
        assert 1 <= result[7] <= 12


@pytest.mark.parametrize(
    "claim",
    [
        {4: True},
        {-1: 1},
        {4: True, -1: 9},
        {4: True, -1: True},
        {4: 1, -1: 1},
        {4: False, -1: 2},
        {4: True, -1: 2},
        {4: {5: 3, 7: 11}, -1: 2},
        {4: True, -1: 1, -2: b"why"},
        {4: True, -1: 1, -2: "\x1b[2J"},
        {4: True, -1: 1, -2: "r" * 257},
        [],
    ],
)
def test_an_outcome_that_contradicts_itself_is_malformed(claim: object) -> None:
    with pytest.raises(Malformed):
        read_outcome(cbor.decode(cbor.encode(claim)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(REPORT, board=""),
        lambda: replace(REPORT, board="b" * 257),
        lambda: replace(REPORT, device=ID[1:]),
        lambda: replace(REPORT, boot_count=-1),
        lambda: replace(REPORT, counter=2**63),
        lambda: replace(REPORT, reason="\x00"),
        lambda: replace(REPORT, components=REPORT.components * 2),
        lambda: replace(
            REPORT, components=(ReportedComponent(1, 1, bytes(32)), *REPORT.components)
        ),
        lambda: replace(REPORT, head=(-1, bytes(32), 0)),
        lambda: replace(REPORT, head=(1, bytes(31), 0)),
        lambda: replace(REPORT, head=(1, bytes(32), -1)),
        lambda: ReportedComponent(16, 1, bytes(32)),
        lambda: ReportedComponent(0, -1, bytes(32)),
        lambda: ReportedComponent(0, 1, bytes(33)),
        lambda: sign_report(REPORT, DeterministicSigner(Algorithm.ESP256, "other")),
        lambda: replace(
            REPORT, components=tuple(ReportedComponent(i % 16, 1, bytes(32)) for i in range(17))
        ),
    ],
)
def test_nothing_outside_the_limits_is_a_report(make: Callable[[], object]) -> None:
    with pytest.raises(Malformed):
        make()


def with_claims(change: dict[int, Any], header: dict[int, Any] | None = None) -> bytes:
    """The report with other claims, signed by the device all the same."""
    claims: Any = cbor.decode(REPORT.claims())
    claims = {label: v for label, v in (claims | change).items() if v != "gone"}
    protected = cbor.encode(header or {1: -9, 4: ID, 16: "application/eat+cwt"})
    payload = cbor.encode(claims)
    signature = DEVICE.sign(cbor.encode(["Signature1", protected, b"", payload]))
    return cbor.encode(cbor.Tag(18, (protected, {}, payload, signature)))


def test_unknown_claims_are_skipped() -> None:
    """Also those that an EAT of others carries: nonce, oemid, and private ones."""
    data = with_claims({10: b"nonce" * 3, 258: b"oem", -70_000: {1: [2]}, 6: 1_790_000_000})
    assert verify_report(data, DEVICE.public_key, board=BOARD) == REPORT


@pytest.mark.parametrize(
    "change",
    [
        {label: "gone"}
        for label in (3, 256, 265, 267, -65537, -65538, -65539)
    ]
    + [
        {3: b"board"},
        {256: b"\x02" + ID},
        {256: ID},
        {265: "tag:fieldpost,2026:report-v2"},
        {267: True},
        {-65537: "17"},
        {-65538: {}},
        {-65538: [[0, 9]]},
        {-65538: [[True, 9, bytes(32)]]},
        {-65540: [1, bytes(32)]},
        {-65540: None},
    ],
)  # fmt: skip
def test_a_signed_report_with_wrong_claims_is_malformed(change: dict[int, Any]) -> None:
    data = with_claims(change)
    with pytest.raises(Malformed):
        open_report(data)
    with pytest.raises(Malformed):
        verify_report(data, DEVICE.public_key)
    assert signer_of(data) == ID, "who signed is told without the claims"


@pytest.mark.parametrize(
    "header",
    [
        {1: -9, 4: ID},
        {1: -9, 4: ID, 16: "application/cwt"},
        {1: -9, 4: ID[1:], 16: "application/eat+cwt"},
        {1: -48, 4: ID, 16: "application/eat+cwt"},
        {1: -9, 4: ID, 16: "application/eat+cwt", 2: [16]},
    ],
)
def test_another_protected_header_is_malformed(header: dict[int, Any]) -> None:
    with pytest.raises(Malformed, match="protected header"):
        open_report(with_claims({}, header))


def test_an_endless_report_is_not_even_parsed() -> None:
    with pytest.raises(Malformed, match="at most 4096"):
        open_report(with_claims({-70_000: bytes(4_000)}))


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        cbor.encode(cbor.Tag(61, cbor.decode(sign_report(REPORT, DEVICE)))),
        cbor.encode(cbor.Tag(18, (b"\xa0", {4: ID}, REPORT.claims(), bytes(64)))),
        cbor.encode(cbor.Tag(18, (b"\xa0", {}, None, bytes(64)))),
    ],
)
def test_what_is_no_report_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        open_report(data)
