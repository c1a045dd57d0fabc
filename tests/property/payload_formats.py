# SPDX-License-Identifier: Apache-2.0
"""Payloads of the kinds of post that write no record of `record_formats`, near their limits too."""

from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.keys import SIGNATURE_BYTES, Algorithm
from fieldpost.posts.attestation import MakerAttest
from fieldpost.posts.blob import BlobGone
from fieldpost.posts.device import DeviceStatusSet
from fieldpost.posts.fleet import FleetSummary, Outcomes
from fieldpost.posts.kinds import Payload
from fieldpost.posts.release import ReleaseFloor, ReleaseSign, ReleaseWithdraw
from fieldpost.records import limits
from fieldpost.records.advisory import Advisory, DocumentType, Severity
from fieldpost.suit.envelope import AuthenticationBlock
from tests.property.strategies_records import COUNTS, DIGESTS, IDS, NAMES, UINTS

_RISING = st.lists(COUNTS, min_size=2, max_size=8, unique=True).map(sorted)
_DOMAINS = st.builds("maker{}.example".format, st.integers(0, 99))


@st.composite
def _advisories(draw: st.DrawFn) -> Advisory:
    ends = draw(_RISING)
    affected = tuple(zip(ends[::2], ends[1::2], strict=False))
    fixed_in = draw(st.none() | st.integers(1, cbor.MAX_INT))
    if fixed_in is not None and any(first <= fixed_in <= last for first, last in affected):
        fixed_in = None
    years = st.builds("CVE-{:04}-{:04}".format, st.integers(1999, 2099), st.integers(0, 99_999))
    return Advisory(
        nonce=draw(COUNTS),
        class_id=draw(IDS),
        number=draw(COUNTS),
        cves=tuple(draw(st.lists(years, max_size=3, unique=True))),
        affected=affected,
        severity=draw(st.sampled_from(Severity)),
        exploited=draw(st.booleans()),
        document_type=draw(st.sampled_from(DocumentType)),
        document=draw(DIGESTS),
        fixed_in=fixed_in,
    )


@st.composite
def _signatures(draw: st.DrawFn) -> Payload:
    kids = sorted(draw(st.lists(DIGESTS, min_size=1, max_size=3, unique=True)))
    blocks = []
    for kid in kids:
        algorithm = draw(st.sampled_from(Algorithm))
        blocks.append(AuthenticationBlock(kid, int(algorithm), bytes(SIGNATURE_BYTES[algorithm])))
    return ReleaseSign(
        nonce=draw(COUNTS), class_id=draw(IDS), sequence=draw(COUNTS), blocks=tuple(blocks)
    )


ADVISORIES = _advisories()
_CHANGES = st.dictionaries(
    st.integers(0, limits.MAX_LOT_DEVICES - 1), st.integers(0, 3), min_size=1, max_size=5
).map(lambda changes: tuple(sorted(changes.items())))
_OUTCOMES = st.dictionaries(COUNTS, st.builds(Outcomes, UINTS, UINTS, UINTS), max_size=3)
_PERIODS = st.lists(UINTS, min_size=2, max_size=2, unique=True).map(sorted)

PAYLOADS: dict[str, st.SearchStrategy[Payload]] = {
    "release.floor": st.builds(ReleaseFloor, nonce=COUNTS, class_id=IDS, floor=COUNTS),
    "release.sign": _signatures(),
    "release.withdraw": st.builds(
        ReleaseWithdraw, nonce=COUNTS, class_id=IDS, sequence=COUNTS, reason=NAMES
    ),
    "advisory.publish": ADVISORIES,
    "device.status": st.builds(DeviceStatusSet, nonce=COUNTS, lot=IDS, changes=_CHANGES),
    "fleet.summary": _PERIODS.flatmap(
        lambda period: st.builds(
            FleetSummary,
            nonce=COUNTS,
            class_id=IDS,
            start=st.just(period[0]),
            end=st.just(period[1]),
            reports=UINTS,
            root=DIGESTS,
            outcomes=_OUTCOMES,
        )
    ),
    "maker.attest": st.builds(MakerAttest, nonce=COUNTS, maker=IDS, epoch=UINTS, domain=_DOMAINS),
    "blob.gone": st.builds(BlobGone, nonce=COUNTS, digest=DIGESTS, reason=NAMES),
}
