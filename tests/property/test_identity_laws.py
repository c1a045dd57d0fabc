# SPDX-License-Identifier: Apache-2.0
"""Laws of leaves, lots, statuses and reports."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.errors import Malformed, Untrusted
from fieldpost.identity.enrolment import encode_request, verify_request
from fieldpost.identity.leaf import DeviceLeaf, decode_leaf
from fieldpost.identity.lot import LotTree, verify_membership
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, open_report, sign_report
from fieldpost.identity.status import DeviceStatus, change_statuses, read_status
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner

SIGNERS = [
    DeterministicSigner(algorithm, f"device/{i}")
    for i in range(3)
    for algorithm in (Algorithm.ESP256, Algorithm.ED25519)
]
octets16 = st.binary(min_size=16, max_size=16)
octets32 = st.binary(min_size=32, max_size=32)
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=64)
uints = st.integers(0, 2**63 - 1)
serials = printable.filter(bool) | octets32
leaves = st.builds(
    lambda serial, signer, class_id: DeviceLeaf(serial, signer.public_key, class_id),
    serials,
    st.sampled_from(SIGNERS),
    octets16,
)
components = st.lists(
    st.builds(ReportedComponent, st.integers(0, 15), uints, octets32), unique_by=lambda c: c.index
).map(lambda items: tuple(sorted(items, key=lambda c: c.index)))
reports = st.builds(
    Report,
    board=printable.filter(bool),
    device=octets32,
    boot_count=uints,
    counter=uints,
    components=components,
    outcome=st.sampled_from(Outcome),
    reason=printable,
    head=st.none() | st.tuples(uints, octets32, uints),
)


@given(leaves)
def test_a_leaf_comes_back_as_it_was(leaf: DeviceLeaf) -> None:
    assert decode_leaf(leaf.encode()) == leaf


@given(st.sampled_from(SIGNERS), serials, octets16)
def test_a_request_comes_back_as_it_was(
    signer: DeterministicSigner, serial: str | bytes, class_id: bytes
) -> None:
    leaf = DeviceLeaf(serial, signer.public_key, class_id)
    assert verify_request(encode_request(leaf, signer)) == leaf


@given(reports, st.sampled_from(SIGNERS))
def test_a_report_comes_back_as_it_was(report: Report, signer: DeterministicSigner) -> None:
    report = replace(report, device=signer.public_key.thumbprint())
    assert open_report(sign_report(report, signer)) == (report.device, report)


@given(st.lists(leaves, min_size=1, max_size=40), st.data())
def test_every_device_has_its_place_and_no_other(
    devices: list[DeviceLeaf], data: st.DataObject
) -> None:
    encoded = [leaf.encode() for leaf in devices]
    lot = LotTree.build(encoded)
    index = data.draw(st.integers(0, lot.count - 1))
    path = lot.path(index)
    found = verify_membership(
        leaf=encoded[index], index=index, count=lot.count, root=lot.root, path=path
    )
    assert found == devices[index]
    other = data.draw(st.integers(0, lot.count - 1))
    if encoded[other] != encoded[index]:
        with pytest.raises((Malformed, Untrusted)):
            verify_membership(
                leaf=encoded[other], index=index, count=lot.count, root=lot.root, path=path
            )


@given(
    st.integers(0, 1023),
    st.lists(st.tuples(st.integers(0, 1023), st.sampled_from(DeviceStatus)), max_size=50),
)
def test_a_page_is_the_dictionary_of_its_changes(
    number: int, changes: list[tuple[int, DeviceStatus]]
) -> None:
    absolute = [(number * 1024 + slot, status) for slot, status in changes]
    page = change_statuses(None, absolute, number=number)
    expected = dict(absolute)
    for index in range(number * 1024, (number + 1) * 1024):
        assert read_status(page, index) is expected.get(index, DeviceStatus.VALID)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    for read in (decode_leaf, open_report, verify_request):
        with pytest.raises(Malformed):
            read(data)
