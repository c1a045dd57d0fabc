# SPDX-License-Identifier: Apache-2.0
"""Claims that are read the quick way are the ones that the decoder reads, or none."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.errors import Malformed
from fieldpost.identity import report as reports
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent
from fieldpost.identity.report_form import scan_claims
from fieldpost.tlog.cosignature import Cosignature

HEAD = (123_456, b"\x22" * 32, 1_790_000_000)
SIGNED = (Cosignature(b"abcd", 7, b"\x33" * 64), Cosignature(b"efgh", 8, b"\x44" * 64))
PLAIN = Report(
    board="board.example/1#" + "ab" * 16,
    device=b"\x55" * 32,
    boot_count=4,
    counter=300,
    components=(ReportedComponent(0, 9, b"\x11" * 32),),
    outcome=Outcome.CONFIRMED,
    head=HEAD,
)
# Numbers at which the encoding grows.
numbers = st.sampled_from(
    [n + d for n in (0, 24, 2**8, 2**16, 2**32, 2**63) for d in (-1, 0)][1:-1]
)
octets32 = st.binary(min_size=32, max_size=32)
texts = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=256)
many = st.builds(
    Report,
    board=texts,
    device=octets32,
    boot_count=numbers,
    counter=numbers,
    components=st.lists(
        st.builds(ReportedComponent, st.integers(0, 15), numbers, octets32),
        max_size=2,
        unique_by=lambda one: one.index,
    ).map(lambda items: tuple(sorted(items, key=lambda one: one.index))),
    outcome=st.sampled_from(Outcome),
    reason=st.sampled_from(["", "the fan is stuck"]),
    head=st.tuples(numbers, octets32, numbers),
    cosignatures=st.sampled_from([(), SIGNED[:1], SIGNED]),
)


def outcome(read: Callable[[bytes], Report], claims: bytes) -> Report | None:
    try:
        return read(claims)
    except Malformed:
        return None


def both(claims: bytes) -> tuple[Report | None, Report | None]:
    return outcome(reports._read_claims, claims), outcome(reports._decode_claims, claims)


@pytest.mark.parametrize("outcome", Outcome)
@pytest.mark.parametrize("signed", [(), SIGNED])
def test_what_devices_say_needs_no_decoder(
    outcome: Outcome, signed: tuple[Cosignature, ...]
) -> None:
    for report in (
        replace(PLAIN, outcome=outcome, cosignatures=signed),
        replace(PLAIN, outcome=outcome, board="b", head=None),
        replace(PLAIN, outcome=outcome, board="b" * 255, boot_count=2**63 - 1),
    ):
        assert scan_claims(report.claims()) is not None
        assert both(report.claims()) == (report, report)


@given(many)
def test_every_report_comes_back_as_it_was(report: Report) -> None:
    assert both(report.claims()) == (report, report)


@pytest.mark.parametrize(
    "report",
    [
        PLAIN,
        replace(PLAIN, cosignatures=SIGNED[:1]),
        replace(PLAIN, board="b", head=None, outcome=Outcome.STALE, boot_count=2**40),
    ],
)
def test_any_changed_byte_is_judged_as_the_decoder_judges_it(report: Report) -> None:
    """Each byte with each bit turned, left out, doubled, and the claims cut there."""
    claims = report.claims()
    taken = 0
    for at in range(len(claims)):
        turned = [claims[at] ^ 1 << bit for bit in range(8)]
        changed = [claims[:at] + bytes([byte]) + claims[at + 1 :] for byte in turned]
        changed += [claims[:at] + claims[at + 1 :], claims[: at + 1] + claims[at:], claims[:at]]
        for other in changed:
            quick, slow = both(other)
            assert quick == slow, other.hex()
            taken += quick is not None
    assert taken > 500, "digests and numbers are anything"
