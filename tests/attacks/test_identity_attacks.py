# SPDX-License-Identifier: Apache-2.0
"""Attacks on devices' identities and reports: what the fleet service believes afterwards."""

from dataclasses import replace
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted
from fieldpost.identity.enrolment import encode_request
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree, verify_membership
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import (
    Report,
    ReportedComponent,
    open_report,
    sign_report,
    verify_report,
)
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner

DEVICE = DeterministicSigner(Algorithm.ESP256, "device")
OTHER = DeterministicSigner(Algorithm.ESP256, "other")
BOARD = "board.example/1#" + "ab" * 16
REPORT = Report(
    board=BOARD,
    device=DEVICE.public_key.thumbprint(),
    boot_count=4,
    counter=17,
    components=(ReportedComponent(0, 9, b"\x11" * 32),),
    outcome=Outcome.CONFIRMED,
)
HONEST = sign_report(REPORT, DEVICE)


def refusal_of(data: bytes) -> str:
    with pytest.raises(Untrusted) as refusal:
        verify_report(data, DEVICE.public_key, board=BOARD)
    return refusal.value.reason


def signed_by(signer: DeterministicSigner, report: Report, kid: bytes) -> bytes:
    """A report about anybody by anybody, as `sign_report` would never make it."""
    algorithm = int(signer.public_key.algorithm)
    protected = cbor.encode({1: algorithm, 4: kid, 16: "application/eat+cwt"})
    payload = report.claims()
    signature = signer.sign(cbor.encode(["Signature1", protected, b"", payload]))
    return cbor.encode(cbor.Tag(18, (protected, {}, payload, signature)))


def parts(report: bytes) -> Any:
    """Protected header, unprotected header, claims, signature."""
    sign1: Any = cbor.decode(report)
    return sign1.value


def test_control_the_honest_report_is_believed() -> None:
    assert verify_report(HONEST, DEVICE.public_key, board=BOARD) == REPORT
    assert signed_by(DEVICE, REPORT, REPORT.device) == HONEST


def test_a_report_for_another_board_is_refused() -> None:
    """A staging board's report says nothing about the production board."""
    other = sign_report(replace(REPORT, board="other.example/1#" + "cd" * 16), DEVICE)
    assert refusal_of(other) == "wrong-board"
    assert verify_report(other, DEVICE.public_key).board.startswith("other")  # the defence off


def test_a_report_by_another_devices_key_is_refused() -> None:
    own_name = signed_by(OTHER, REPORT, OTHER.public_key.thumbprint())
    assert refusal_of(own_name) == "wrong-device"
    stolen_name = signed_by(OTHER, REPORT, REPORT.device)
    assert refusal_of(stolen_name) == "bad-signature"


def test_a_device_cannot_report_about_another() -> None:
    """A compromised device with a good key, telling that another one is updated."""
    about_other = replace(REPORT, device=OTHER.public_key.thumbprint())
    assert refusal_of(signed_by(DEVICE, about_other, REPORT.device)) == "wrong-device"


def test_a_key_of_another_algorithm_does_not_verify_a_report() -> None:
    twin = DeterministicSigner(Algorithm.ED25519, "device")
    assert refusal_of(signed_by(twin, REPORT, REPORT.device)) == "wrong-device"


def test_no_tampered_bit_of_a_report_is_believed() -> None:
    for at in range(len(HONEST)):
        data = HONEST[:at] + bytes([HONEST[at] ^ 1 << at % 8]) + HONEST[at + 1 :]
        with pytest.raises((Malformed, Untrusted)):
            verify_report(data, DEVICE.public_key, board=BOARD)


def test_a_failure_turned_into_a_success_is_refused() -> None:
    failed = replace(REPORT, outcome=Outcome.FAILED)
    _, _, _, signature = parts(sign_report(failed, DEVICE))
    protected, _, payload, _ = parts(HONEST)
    forged = cbor.encode(cbor.Tag(18, (protected, {}, payload, signature)))
    assert open_report(forged)[1].outcome is Outcome.CONFIRMED  # as claimed, and only that
    assert refusal_of(forged) == "bad-signature"


def test_an_enrolment_request_is_no_report() -> None:
    request = encode_request(DeviceLeaf("A-1", DEVICE.public_key, b"c" * 16), DEVICE)
    with pytest.raises(Malformed, match="protected header"):
        verify_report(request, DEVICE.public_key)


# --- Lots ---------------------------------------------------------------------------------------


def leaves(first: str) -> list[bytes]:
    return [
        DeviceLeaf(
            f"{first}-{i}",
            DeterministicSigner(Algorithm.ED25519, f"{first}/{i}").public_key,
            b"c" * 16,
        ).encode()
        for i in range(11)
    ]


MINE, THEIRS = leaves("mine"), leaves("theirs")
LOT, OTHER_LOT = LotTree.build(MINE), LotTree.build(THEIRS)


def test_a_proof_for_another_index_is_refused() -> None:
    for index in range(11):
        for claimed in range(11):
            if claimed != index:
                with pytest.raises((Malformed, Untrusted)):
                    verify_membership(
                        leaf=MINE[index],
                        index=claimed,
                        count=11,
                        root=LOT.root,
                        path=LOT.path(index),
                    )


def test_a_proof_of_another_lot_is_refused() -> None:
    with pytest.raises(Untrusted, match="bad-proof"):
        verify_membership(leaf=THEIRS[4], index=4, count=11, root=LOT.root, path=OTHER_LOT.path(4))


def test_a_device_that_was_never_enrolled_has_no_place() -> None:
    """With a real index and a real path of the lot."""
    for index in range(11):
        with pytest.raises(Untrusted, match="bad-proof"):
            verify_membership(
                leaf=THEIRS[index], index=index, count=11, root=LOT.root, path=LOT.path(index)
            )


def test_an_inner_node_is_no_device() -> None:
    """64 bytes that hash to a node of the tree are a node's, not a leaf's, preimage."""
    pair = LotTree.build(MINE[:2])
    inside = pair.path(1)[0] + pair.path(0)[0]
    with pytest.raises(Untrusted, match="bad-proof"):
        verify_membership(leaf=inside, index=0, count=1, root=pair.root, path=())
