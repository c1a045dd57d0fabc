# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for every record and for posts; `strategies_damage` spoils them.

Records are valid by construction, near their limits now and then. Keys are shaped like keys and
need not be points of a curve: no record asks that. `record_formats` lists how each
is written and read.
"""

from hypothesis import strategies as st

from fieldpost import cbor
from fieldpost.keys import SIGNATURE_BYTES, Algorithm, PublicKey
from fieldpost.posts.envelope import Post, PostSignature, Statement
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records import limits
from fieldpost.records.board import (
    Admission,
    BoardRecord,
    Limits,
    Operator,
    Witness,
)
from fieldpost.records.device_class import (
    ClassRecord,
    DeltaFormat,
    DeviceLimits,
    Encoding,
)
from fieldpost.records.head import Conditions, Head, Offer
from fieldpost.records.lot import LotRecord
from fieldpost.records.maker import (
    THRESHOLD_ROLES,
    KeySet,
    MakerRecord,
    Role,
    RoleKey,
    Scope,
    Successor,
)
from fieldpost.records.policy import DevicePolicy
from fieldpost.records.provisioning import ProvisioningRecord
from fieldpost.records.release import Artifact, ReleaseKind, ReleaseRecord
from fieldpost.records.state_leaf import StateLeaf
from fieldpost.tlog.note import COSIGNATURE_ED25519, COSIGNATURE_MLDSA44, ED25519, VerifierKey

DIGESTS = st.binary(min_size=32, max_size=32)
IDS = st.binary(min_size=16, max_size=16)
UINTS = st.one_of(st.integers(0, 30), st.integers(0, cbor.MAX_INT))
COUNTS = st.one_of(st.integers(1, 30), st.integers(1, cbor.MAX_INT))
NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)
URLS = st.builds("http://{}.test/{}".format, st.integers(0, 99), NAMES)
ORIGINS = st.builds("board{}.test/{}".format, st.integers(0, 9), st.integers(1, 9))
CHANNELS = st.from_regex(r"[a-z0-9][a-z0-9-]{0,31}", fullmatch=True)
BOARDS = st.builds("{}#{}".format, ORIGINS, IDS.map(bytes.hex))


@st.composite
def public_keys(draw: st.DrawFn, *, unlike: bytes = b"") -> PublicKey:
    """A key that begins with `unlike`, so that keys of one record differ."""
    algorithm = draw(st.sampled_from(Algorithm))
    length = {Algorithm.ED25519: 32, Algorithm.ESP256: 64, Algorithm.ML_DSA_44: 1312}[algorithm]
    return PublicKey(algorithm, (unlike + draw(DIGESTS)).ljust(length, b"\x5a")[:length])


def cosigner(number: int, kind: int, name: str | None = None) -> VerifierKey:
    """A note key that differs from those of other numbers."""
    length = 1312 if kind == COSIGNATURE_MLDSA44 else 32
    name = f"cosigner{number}.test" if name is None else name
    return VerifierKey(name, kind, number.to_bytes(2, "big").ljust(length, bytes((kind,))))


@st.composite
def operators(draw: st.DrawFn, number: int, origin: str) -> Operator:
    kinds = [COSIGNATURE_ED25519] + [COSIGNATURE_MLDSA44] * draw(st.integers(0, 1))
    return Operator(
        name=f"operator {number}",
        urls=tuple(draw(st.lists(URLS, max_size=3))),
        governance_key=PublicKey(Algorithm.ED25519, bytes((number, 1)) + bytes(30)),
        log_key=cosigner(number, ED25519, origin),
        cosigner_keys=tuple(cosigner(number, kind) for kind in kinds),
        validator_key=draw(st.none() | DIGESTS),
    )


@st.composite
def board_records(draw: st.DrawFn) -> BoardRecord:
    origin = draw(ORIGINS)
    epoch = draw(UINTS)
    witnesses = draw(st.integers(0, 4))
    return BoardRecord(
        origin=origin,
        epoch=epoch,
        previous=draw(DIGESTS) if epoch else None,
        operators=tuple(draw(operators(n, origin)) for n in range(draw(st.integers(1, 4)))),
        witnesses=tuple(
            Witness(key=cosigner(100 + n, COSIGNATURE_ED25519), url=draw(st.none() | URLS))
            for n in range(witnesses)
        ),
        witnesses_needed=draw(st.integers(0, witnesses)),
        admission=draw(st.sampled_from(Admission)),
        limits=Limits(posts_per_day=draw(UINTS), classes_per_maker=draw(st.integers(0, 256))),
        rule_version=draw(st.integers(1, 2**16)),
        epoch_s=draw(st.integers(1, 86_400)),
        successor_origin=draw(st.none() | ORIGINS),
    )


@st.composite
def policies(draw: st.DrawFn) -> DevicePolicy:
    witnesses = draw(st.integers(0, 3))
    return DevicePolicy(
        board=draw(BOARDS),
        urls=tuple(draw(st.lists(URLS, min_size=1, max_size=limits.MAX_URLS))),
        board_epoch=draw(UINTS),
        board_link=draw(DIGESTS),
        least_size=draw(UINTS),
        witnesses=tuple(cosigner(100 + n, COSIGNATURE_ED25519) for n in range(witnesses)),
        witnesses_needed=draw(st.integers(0, witnesses)),
        max_age_s=draw(st.integers(60, limits.MAX_DURATION_S)),
        grace_s=draw(st.integers(0, limits.MAX_DURATION_S)),
        link_urls=tuple(draw(st.lists(URLS, max_size=limits.MAX_LINK_URLS))),
    )


SCOPES = st.builds(
    Scope,
    classes=st.none() | st.lists(IDS, min_size=1, max_size=3, unique=True).map(tuple),
    channels=st.none() | st.lists(CHANNELS, min_size=1, max_size=3, unique=True).map(tuple),
    devices=st.none() | UINTS,
    not_after=st.none() | UINTS,
)


@st.composite
def key_sets(draw: st.DrawFn, role: Role) -> KeySet:
    count = draw(st.integers(1, 3))
    scopes = st.none() if role is Role.ROOT else st.none() | SCOPES
    keys = tuple(
        RoleKey(draw(public_keys(unlike=bytes((role, n)))), draw(scopes)) for n in range(count)
    )
    return KeySet(draw(st.integers(1, count)) if role in THRESHOLD_ROLES else 1, keys)


@st.composite
def maker_records(draw: st.DrawFn) -> MakerRecord:
    epoch = draw(UINTS)
    roles = draw(st.sets(st.sampled_from([role for role in Role if role is not Role.ROOT])))
    successor = st.builds(
        Successor,
        key_sets(Role.ROOT),
        silence_s=st.integers(1, limits.MAX_DURATION_S),
        veto_s=st.integers(1, limits.MAX_DURATION_S),
    )
    return MakerRecord(
        epoch=epoch,
        previous=draw(DIGESTS) if epoch else None,
        name=draw(NAMES),
        root=draw(key_sets(Role.ROOT)),
        roles={role: draw(key_sets(role)) for role in roles},
        policy=draw(policies()),
        report_urls=tuple(draw(st.lists(URLS, max_size=limits.MAX_LINK_URLS))),
        report_key=draw(st.none() | public_keys()),
        contact=draw(st.none() | NAMES),
        successor=draw(st.none() | successor),
        earlier_links=tuple(draw(st.lists(st.binary(max_size=40), max_size=3))),
    )


DEVICE_LIMITS = st.builds(
    DeviceLimits,
    envelope_bytes=st.integers(256, limits.MAX_ENVELOPE_BYTES),
    image_bytes=st.integers(1, limits.MAX_IMAGE_BYTES),
    encodings=st.permutations(list(Encoding)).map(tuple) | st.just((Encoding.IDENTITY,)),
    delta_formats=st.lists(st.sampled_from(DeltaFormat), unique=True).map(tuple),
    algorithms=st.lists(st.sampled_from(Algorithm), min_size=1, unique=True).map(tuple),
)
INTERVALS = st.tuples(
    st.integers(1, limits.MAX_INTERVAL_S), st.integers(1, limits.MAX_INTERVAL_S)
).map(sorted)


@st.composite
def class_records(draw: st.DrawFn) -> ClassRecord:
    epoch = draw(UINTS)
    least, most = draw(INTERVALS)
    return ClassRecord(
        epoch=epoch,
        previous=draw(DIGESTS) if epoch else None,
        maker=draw(IDS),
        name=draw(
            st.from_regex(r"[A-Za-z0-9._-]{1,20}(:[A-Za-z0-9._-]{1,20}){0,2}", fullmatch=True)
        ),
        family=draw(st.none() | NAMES),
        channels=tuple(draw(st.lists(CHANNELS, min_size=1, max_size=8, unique=True))),
        support_end=draw(UINTS),
        least_interval_s=least,
        most_interval_s=most,
        limits=draw(DEVICE_LIMITS),
        most_devices=draw(COUNTS),
        successor=draw(st.none() | IDS),
        sequence_window=draw(st.integers(1, 2**32)),
    )


@st.composite
def release_records(draw: st.DrawFn) -> ReleaseRecord:
    artifacts = []
    for n in range(draw(st.integers(1, 3))):
        image = bytes((n,)) + draw(DIGESTS)[1:]
        size = draw(st.integers(1, limits.MAX_IMAGE_BYTES))
        artifacts.append(Artifact(digest=image, size=size, encoding=Encoding.IDENTITY, image=image))
        if draw(st.booleans()):
            stored = bytes((100 + n,)) + draw(DIGESTS)[1:]
            packed = Artifact(digest=stored, size=1, encoding=Encoding.ZSTD, image=image)
            artifacts.append(packed)
        if draw(st.booleans()):
            artifacts.append(
                Artifact(
                    digest=bytes((200 + n,)) + draw(DIGESTS)[1:],
                    size=size,
                    encoding=draw(st.sampled_from(Encoding)),
                    image=image,
                    delta_format=draw(st.sampled_from(DeltaFormat)),
                    base=draw(DIGESTS),
                )
            )
    return ReleaseRecord(
        nonce=draw(COUNTS),
        class_id=draw(IDS),
        sequence=draw(COUNTS),
        version=draw(NAMES),
        manifest=draw(DIGESTS),
        envelope_bytes=draw(st.integers(1, limits.MAX_ENVELOPE_BYTES)),
        artifacts=tuple(artifacts),
        sources=tuple(draw(st.lists(URLS, max_size=limits.MAX_URLS))),
        kind=draw(st.sampled_from(ReleaseKind)),
        sbom=draw(st.none() | DIGESTS),
        notes=draw(st.none() | DIGESTS),
    )


SECONDS = st.integers(0, 86_399)
CONDITIONS = st.builds(
    Conditions,
    urgency=st.none() | st.integers(0, 3),
    postpone_s=st.none() | st.integers(0, limits.MAX_INTERVAL_S),
    battery_percent=st.none() | st.integers(0, 100),
    external_power=st.none() | st.booleans(),
    downtime_s=st.none() | st.integers(0, limits.MAX_INTERVAL_S),
    window=st.none() | st.tuples(SECONDS, SECONDS),
)


@st.composite
def offer_lists(draw: st.DrawFn, *, salted: bool) -> tuple[Offer, ...]:
    sequences = draw(st.lists(COUNTS, max_size=limits.MAX_OFFERS, unique=True))
    ranges = st.tuples(UINTS, UINTS).map(lambda pair: (min(pair), max(pair)))
    return tuple(
        Offer(
            sequence=sequence,
            manifest=draw(DIGESTS),
            threshold=draw(st.integers(0, limits.FULL_THRESHOLD)),
            salt=draw(st.binary(min_size=8, max_size=8)) if salted else None,
            from_range=draw(st.none() | ranges),
            not_before=draw(st.none() | UINTS),
            conditions=draw(st.none() | CONDITIONS),
            lots=tuple(draw(st.lists(IDS, max_size=limits.MAX_OFFER_LOTS, unique=True))),
        )
        for sequence in sorted(sequences, reverse=True)
    )


HEADS = st.builds(
    Head,
    change_count=UINTS,
    offers=offer_lists(salted=True),
    interval_s=st.integers(1, limits.MAX_INTERVAL_S),
    maker_epoch=UINTS,
    maker_link=DIGESTS,
)
ROLLOUTS = st.builds(
    RolloutSet,
    nonce=COUNTS,
    class_id=IDS,
    channel=CHANNELS,
    offers=offer_lists(salted=False),
    interval_s=st.integers(1, limits.MAX_INTERVAL_S),
)
LOTS = st.builds(
    LotRecord,
    nonce=COUNTS,
    id=IDS,
    class_id=IDS,
    count=st.integers(1, limits.MAX_LOT_DEVICES),
    root=DIGESTS,
)


@st.composite
def provisioning_records(draw: st.DrawFn) -> ProvisioningRecord:
    least, most = draw(INTERVALS)
    return ProvisioningRecord(
        board=draw(BOARDS),
        urls=tuple(draw(st.lists(URLS, min_size=1, max_size=limits.MAX_URLS))),
        board_record=draw(st.binary(max_size=40)),
        board_link=draw(DIGESTS),
        maker=draw(IDS),
        maker_record=draw(st.binary(max_size=40)),
        maker_link=draw(DIGESTS),
        class_id=draw(IDS),
        channels=tuple(draw(st.lists(CHANNELS, min_size=1, max_size=8, unique=True))),
        least_interval_s=least,
        most_interval_s=most,
        least_size=draw(UINTS),
        least_time=draw(UINTS),
        limits=draw(DEVICE_LIMITS),
    )


@st.composite
def state_leaves(draw: st.DrawFn) -> StateLeaf:
    covered = draw(COUNTS)
    return StateLeaf(
        covered_size=covered,
        map_root=draw(DIGESTS),
        key_count=draw(UINTS),
        previous_state_index=draw(st.none() | st.integers(0, covered - 1)),
        time=draw(UINTS),
        board_epoch=draw(UINTS),
        board_link=draw(DIGESTS),
    )


@st.composite
def posts(draw: st.DrawFn) -> Post:
    statement = Statement(
        kind=draw(NAMES),
        issuer=draw(NAMES),
        subject=draw(NAMES),
        audience=draw(NAMES),
        payload=draw(st.binary(max_size=60)),
    )
    kids = draw(st.lists(DIGESTS, min_size=1, max_size=4, unique=True))
    signatures = []
    for kid in sorted(kids):
        algorithm = draw(st.sampled_from(Algorithm))
        signature = draw(DIGESTS).ljust(SIGNATURE_BYTES[algorithm], b"\x01")
        signatures.append(PostSignature(kid, algorithm, signature))
    return Post(statement, tuple(signatures))
