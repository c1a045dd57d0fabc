# SPDX-License-Identifier: Apache-2.0
"""One full example of every record, decoded, for tests that change one place of it.

`changed(value, path, new)` gives the bytes of an example with one place replaced; `DROP` as `new`
takes it away.
"""

from fieldpost import cbor
from fieldpost.keys import Algorithm, PublicKey
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records.board import BoardRecord, Operator, Witness
from fieldpost.records.device_class import ClassRecord, DeltaFormat, DeviceLimits, Encoding
from fieldpost.records.head import Conditions, Head, Offer
from fieldpost.records.lot import LotRecord
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey, Scope, Successor
from fieldpost.records.policy import DevicePolicy
from fieldpost.records.provisioning import ProvisioningRecord
from fieldpost.records.release import Artifact, ReleaseRecord
from fieldpost.records.state_leaf import StateLeaf
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.cosignature import cosigner_key
from fieldpost.tlog.note import ED25519, VerifierKey

DROP = object()
BOARD = "board.test/1#" + "ab" * 16
CLASS = b"\xc1" * 16
LOT = b"\x10" * 16


def key(name: str, algorithm: Algorithm = Algorithm.ED25519) -> PublicKey:
    return DeterministicSigner(algorithm, name).public_key


OPERATOR = Operator(
    name="operator",
    urls=("http://board.test",),
    governance_key=key("governance"),
    log_key=VerifierKey("board.test/1", ED25519, key("log").raw),
    cosigner_keys=(
        cosigner_key("board.test/cosigner", key("cosigner")),
        cosigner_key("board.test/cosigner", key("cosigner", Algorithm.ML_DSA_44)),
    ),
    validator_key=b"\x07" * 32,
)
WITNESS = cosigner_key("witness.test", key("witness"))
BOARD_RECORD = BoardRecord(
    origin="board.test/1",
    epoch=1,
    previous=b"\x01" * 32,
    operators=(OPERATOR,),
    witnesses=(Witness(key=WITNESS, url="http://witness.test"),),
    witnesses_needed=1,
    successor_origin="board.test/2",
)
POLICY = DevicePolicy(
    board=BOARD,
    urls=("http://board.test",),
    board_epoch=0,
    board_link=b"\x02" * 32,
    least_size=2,
    witnesses=(WITNESS,),
    witnesses_needed=1,
    link_urls=("http://maker.test/links",),
)
SCOPE = Scope(classes=(CLASS,), channels=("stable",), devices=5, not_after=9)
MAKER_RECORD = MakerRecord(
    epoch=1,
    previous=b"\x03" * 32,
    name="acme",
    root=KeySet(2, tuple(RoleKey(key(f"root/{n}")) for n in range(3))),
    roles={
        Role.RELEASE: KeySet(1, (RoleKey(key("release", Algorithm.ESP256)),)),
        Role.ENROL: KeySet(1, (RoleKey(key("enrol"), SCOPE),)),
    },
    policy=POLICY,
    report_urls=("http://maker.test/reports",),
    report_key=key("report", Algorithm.ESP256),
    contact="security@maker.test",
    successor=Successor(KeySet(1, (RoleKey(key("heir")),)), silence_s=10, veto_s=20),
    earlier_links=(b"entry",),
)
LIMITS = DeviceLimits(delta_formats=(DeltaFormat.ZSTD_PATCH,))
CLASS_RECORD = ClassRecord(
    epoch=1,
    previous=b"\x04" * 32,
    maker=b"\x05" * 16,
    name="tracker:b:eu",
    family="trackers",
    channels=("stable", "beta"),
    support_end=2_000_000_000,
    limits=LIMITS,
    successor=CLASS,
)
IMAGE = b"\x20" * 32
RELEASE_RECORD = ReleaseRecord(
    nonce=1,
    class_id=CLASS,
    sequence=11,
    version="1.11",
    manifest=b"\x21" * 32,
    envelope_bytes=500,
    artifacts=(
        Artifact(digest=IMAGE, size=100, encoding=Encoding.IDENTITY, image=IMAGE),
        Artifact(digest=b"\x22" * 32, size=50, encoding=Encoding.ZSTD, image=IMAGE),
        Artifact(
            digest=b"\x23" * 32,
            size=5,
            encoding=Encoding.IDENTITY,
            image=IMAGE,
            delta_format=DeltaFormat.DETOOLS,
            base=b"\x24" * 32,
        ),
    ),
    sources=("http://images.test",),
    sbom=b"\x25" * 32,
    notes=b"\x26" * 32,
)
OFFER = Offer(
    sequence=11,
    manifest=b"\x21" * 32,
    threshold=2**30,
    salt=b"\x30" * 8,
    from_range=(3, 10),
    not_before=5,
    conditions=Conditions(
        urgency=3,
        postpone_s=60,
        battery_percent=30,
        external_power=True,
        downtime_s=9,
        window=(79_200, 14_400),
    ),
    lots=(LOT,),
)
BASE_OFFER = Offer(sequence=10, manifest=b"\x27" * 32, threshold=2**32, salt=b"\x31" * 8)
HEAD = Head(
    change_count=4,
    offers=(OFFER, BASE_OFFER),
    interval_s=3_600,
    maker_epoch=1,
    maker_link=b"\x32" * 32,
)
LOT_RECORD = LotRecord(nonce=1, id=LOT, class_id=CLASS, count=100, root=b"\x33" * 32)
PROVISIONING = ProvisioningRecord(
    board=BOARD,
    urls=("http://board.test",),
    board_record=BOARD_RECORD.encode(),
    board_link=b"\x40" * 32,
    maker=b"\x05" * 16,
    maker_record=MAKER_RECORD.encode(),
    maker_link=b"\x41" * 32,
    class_id=CLASS,
    channels=("stable",),
    least_interval_s=60,
    most_interval_s=86_400,
    least_size=2,
    least_time=1_800_000_000,
    limits=LIMITS,
)
STATE_LEAF = StateLeaf(
    covered_size=9,
    map_root=b"\x50" * 32,
    key_count=12,
    previous_state_index=7,
    time=1_800_000_000,
    board_epoch=1,
    board_link=b"\x51" * 32,
)
ROLLOUT = RolloutSet(nonce=1, class_id=CLASS, channel="stable", offers=(), interval_s=60)

Place = tuple[int, ...]


def changed(encoded: bytes, place: Place, new: object) -> bytes:
    """The encoding of a record with what stands at `place` (labels and positions) replaced."""
    return cbor.encode(_changed(cbor.decode(encoded), place, new))


def _changed(value: object, place: Place, new: object) -> object:
    if not place:
        return new
    first, rest = place[0], place[1:]
    if isinstance(value, dict):
        if new is DROP and not rest:
            return {label: item for label, item in value.items() if label != first}
        return value | {first: _changed(value.get(first), rest, new)}
    assert isinstance(value, tuple)
    return [_changed(item, rest, new) if n == first else item for n, item in enumerate(value)]
