# SPDX-License-Identifier: Apache-2.0
"""What must hold between the parts of a record, and what must not pass for something else."""

from dataclasses import replace

import pytest

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import Algorithm
from fieldpost.records import limits
from fieldpost.records.board import Witness, decode_board_record
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.head import decode_head
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import KeySet, Role, RoleKey, decode_maker_record
from fieldpost.records.provisioning import decode_provisioning
from fieldpost.records.release import decode_release_record
from fieldpost.records.state_leaf import decode_state_leaf, is_state_leaf
from fieldpost.tlog.cosignature import cosigner_key
from tests.unit.records import record_examples as examples
from tests.unit.records.record_examples import DROP, Place, changed, key

BOARD = examples.BOARD_RECORD
MAKER = examples.MAKER_RECORD

# Python takes True for 1 in comparisons, patterns and enumerations; a decoder in C does not.
TRUE_FOR_ONE = [
    ("version", examples.STATE_LEAF.encode(), decode_state_leaf, (1,)),
    ("key count", examples.STATE_LEAF.encode(), decode_state_leaf, (4,)),
    ("encoding", examples.CLASS_RECORD.encode(), decode_class_record, (9, 3, 1)),
    ("delta format", examples.CLASS_RECORD.encode(), decode_class_record, (9, 4, 0)),
    ("interval", examples.CLASS_RECORD.encode(), decode_class_record, (8, 0)),
    ("epoch", examples.CLASS_RECORD.encode(), decode_class_record, (1,)),
    ("epoch", BOARD.encode(), decode_board_record, (2,)),
    ("admission", BOARD.encode(), decode_board_record, (7,)),
    ("epoch", MAKER.encode(), decode_maker_record, (1,)),
    ("threshold", MAKER.encode(), decode_maker_record, (5, 4, 1)),
    ("kty", MAKER.encode(), decode_maker_record, (4, 2, 0, 1, 1)),
    ("urgency", examples.HEAD.encode(), decode_head, (2, 0, 7, 1)),
    ("range", examples.HEAD.encode(), decode_head, (2, 0, 5, 0)),
    ("window", examples.HEAD.encode(), decode_head, (2, 0, 7, 6, 0)),
    ("encoding", examples.RELEASE_RECORD.encode(), decode_release_record, (7, 1, 3)),
    ("kind", examples.RELEASE_RECORD.encode(), decode_release_record, (9,)),
    ("count", examples.LOT_RECORD.encode(), decode_lot_record, (4,)),
    ("interval", examples.PROVISIONING.encode(), decode_provisioning, (10, 0)),
]


@pytest.mark.parametrize(("name", "encoded", "read", "place"), TRUE_FOR_ONE)
def test_true_is_not_one(name: str, encoded: bytes, read: object, place: Place) -> None:
    assert callable(read)
    read(changed(encoded, place, 1))
    with pytest.raises(Malformed):
        read(changed(encoded, place, True))


@pytest.mark.parametrize("wrong", [None, "1", b"1", [1], {1: 1}, cbor.Tag(1, 1), False])
@pytest.mark.parametrize(("name", "encoded", "read", "place"), TRUE_FOR_ONE)
def test_a_value_of_a_wrong_type_is_malformed(
    name: str, encoded: bytes, read: object, place: Place, wrong: object
) -> None:
    assert callable(read)
    with pytest.raises(Malformed):
        read(changed(encoded, place, wrong))


@pytest.mark.parametrize(
    ("encoded", "read", "label"),
    [
        (BOARD.encode(), decode_board_record, 3),
        (MAKER.encode(), decode_maker_record, 2),
        (examples.CLASS_RECORD.encode(), decode_class_record, 2),
    ],
    ids=["board", "maker", "class"],
)
def test_only_the_first_link_has_none_before_it(encoded: bytes, read: object, label: int) -> None:
    assert callable(read)
    epoch = 2 if label == 3 else 1
    first = changed(changed(encoded, (label,), DROP), (epoch,), 0)
    assert read(first).previous is None
    for bad in (changed(encoded, (label,), DROP), changed(encoded, (epoch,), 0)):
        with pytest.raises(Malformed, match="epoch 0"):
            read(bad)


def refuse_board(record: object, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode_board_record(record.encode())  # type: ignore[attr-defined]


def test_a_party_counts_once_on_a_board() -> None:
    """Two names for one key would be two votes of one party."""
    first = BOARD.operators[0]
    second = replace(
        first,
        name="second",
        governance_key=key("governance/2"),
        log_key=replace(first.log_key, public=key("log/2").raw),
        cosigner_keys=(cosigner_key("second.test", key("cosigner/2")),),
    )
    both = replace(BOARD, operators=(first, second))
    assert decode_board_record(both.encode()) == both
    for change, why in [
        ({"name": first.name}, "operators' names"),
        ({"governance_key": first.governance_key}, "governance keys"),
        ({"log_key": first.log_key}, "log keys"),
        ({"cosigner_keys": first.cosigner_keys}, "key ids"),
        ({"cosigner_keys": (cosigner_key("other.test", key("cosigner")),)}, "cosigners' keys"),
    ]:
        refuse_board(replace(BOARD, operators=(first, replace(second, **change))), why)  # type: ignore[arg-type]
    operator_as_witness = Witness(key=cosigner_key("other.test", key("cosigner")))
    refuse_board(replace(BOARD, witnesses=(operator_as_witness,)), "cosigners' keys")


def test_key_types_of_a_board() -> None:
    first = BOARD.operators[0]
    ed25519, mldsa = first.cosigner_keys
    for change, why in [
        ({"governance_key": key("g", Algorithm.ESP256)}, "governance key must be Ed25519"),
        ({"log_key": replace(ed25519, name=BOARD.origin)}, "log key must be Ed25519"),
        ({"log_key": replace(first.log_key, name="board.test/2")}, "name of a log key"),
        ({"cosigner_keys": (mldsa,)}, "one Ed25519 cosigner key"),
        ({"cosigner_keys": (mldsa, ed25519)}, "one Ed25519 cosigner key"),
    ]:
        refuse_board(replace(BOARD, operators=(replace(first, **change),)), why)  # type: ignore[arg-type]
    refuse_board(replace(BOARD, witnesses=(Witness(key=first.log_key),)), "cosigner's key")
    with pytest.raises(Malformed, match="note key"):
        decode_board_record(changed(BOARD.encode(), (4, 0, 4), ["board.test/1", b""]))


def test_a_policy_counts_each_witness_once_and_only_those_that_cosign() -> None:
    witness = examples.POLICY.witnesses[0]
    twin = replace(witness, name="twin.test")
    for witnesses, why in [
        ((witness, witness), "key ids"),
        ((witness, twin), "witnesses' keys"),
        ((examples.OPERATOR.log_key,), "cosigner's key"),
    ]:
        policy = replace(examples.POLICY, witnesses=witnesses)
        with pytest.raises(Malformed, match=why):
            decode_maker_record(replace(MAKER, policy=policy).encode())


def test_a_policy_names_a_board_by_origin_and_genesis() -> None:
    for board in ("board.test/1", "board.test/1#" + "AB" * 16, "board#" + "ab" * 16):
        policy = replace(examples.POLICY, board=board)
        with pytest.raises(Malformed):
            decode_maker_record(replace(MAKER, policy=policy).encode())


def refuse_maker(record: object, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decode_maker_record(record.encode())  # type: ignore[attr-defined]


def test_a_makers_key_has_one_role() -> None:
    root = MAKER.root.keys[0]
    refuse_maker(replace(MAKER, roles={Role.CARE: KeySet(1, (RoleKey(root.key),))}), "roles")
    refuse_maker(replace(MAKER, root=KeySet(1, (root, root))), "keys of a role")


def test_only_root_and_release_need_several_keys_and_root_has_no_scope() -> None:
    several = KeySet(2, tuple(RoleKey(key(f"several/{n}")) for n in range(2)))
    released = replace(MAKER, roles={Role.RELEASE: several})
    assert decode_maker_record(released.encode()) == released
    for role in (Role.ROLLOUT, Role.ENROL, Role.CARE):
        refuse_maker(replace(MAKER, roles={role: several}), "several keys")
    scoped = RoleKey(MAKER.root.keys[0].key, examples.SCOPE)
    refuse_maker(replace(MAKER, root=KeySet(1, (scoped,))), "no scope")


def test_a_maker_record_has_no_two_forms() -> None:
    with pytest.raises(Malformed, match="left out"):
        decode_maker_record(changed(MAKER.encode(), (7,), {}))


def test_roles_are_numbers_that_exist() -> None:
    for role in (1, 6, -1, "release"):
        keys = MAKER.roles[Role.ENROL].value()
        bad = cbor.decode(MAKER.encode())
        assert isinstance(bad, dict)
        with pytest.raises(Malformed):
            decode_maker_record(cbor.encode(bad | {5: {role: keys}}))


def test_items_that_name_things_occur_once() -> None:
    lot, image = examples.LOT, examples.RELEASE_RECORD.artifacts[0].value()
    for encoded, read, place, twice in [
        (examples.CLASS_RECORD.encode(), decode_class_record, (6,), ["stable", "stable"]),
        (examples.CLASS_RECORD.encode(), decode_class_record, (9, 3), [0, 0]),
        (examples.CLASS_RECORD.encode(), decode_class_record, (9, 5), [-19, -19]),
        (examples.PROVISIONING.encode(), decode_provisioning, (9,), ["stable", "stable"]),
        (examples.HEAD.encode(), decode_head, (2, 0, 8), [lot, lot]),
        (examples.RELEASE_RECORD.encode(), decode_release_record, (7,), [image, image]),
    ]:
        with pytest.raises(Malformed, match="more than once"):
            read(changed(encoded, place, twice))


def test_every_image_is_there_as_it_is() -> None:
    release = examples.RELEASE_RECORD
    whole, packed, delta = release.artifacts
    for artifacts in [
        (packed,),
        (delta,),
        (replace(whole, digest=b"\x99" * 32),),
        (whole, replace(packed, digest=whole.digest)),
        (whole, replace(packed, image=b"\x98" * 32)),
        # A delta is no image, whatever its digest.
        (whole, delta, replace(packed, image=delta.digest)),
    ]:
        with pytest.raises(Malformed):
            decode_release_record(replace(release, artifacts=artifacts).encode())
    for label in (5, 6):
        with pytest.raises(Malformed, match="format and its base"):
            decode_release_record(changed(release.encode(), (7, 2, label), DROP))


def test_names_of_classes_and_channels() -> None:
    encoded = examples.CLASS_RECORD.encode()
    for name in ("a:b:c:d", "a::b", ":a", "a b", "a/b"):
        with pytest.raises(Malformed):
            decode_class_record(changed(encoded, (4,), name))
    for channel in ("Stable", "-beta", "a.b", "a_b"):
        with pytest.raises(Malformed):
            decode_class_record(changed(encoded, (6, 0), channel))
        with pytest.raises(Malformed):
            decode_maker_record(changed(MAKER.encode(), (5, 4, 2, 0, 2, 2), [channel]))


def test_state_leaves_are_told_from_posts_by_their_first_byte() -> None:
    assert is_state_leaf(examples.STATE_LEAF.encode())
    assert not is_state_leaf(b"\xd2\x84")
    assert not is_state_leaf(b"\xd8\x62\x84")
    assert not is_state_leaf(b"")


@pytest.mark.parametrize("previous", [True, False, -1, 9, 10])
def test_a_state_leaf_names_an_earlier_one(previous: object) -> None:
    with pytest.raises(Malformed):
        decode_state_leaf(changed(examples.STATE_LEAF.encode(), (5,), previous))


def test_what_a_policy_demands_fits_into_one_bundle() -> None:
    """Else a maker could lock its own devices out: no bundle would ever satisfy them."""
    witnesses = tuple(cosigner_key(f"w{n}.test", key(f"w/{n}")) for n in range(6))
    for needed, fits in ((5, True), (6, False)):
        policy = replace(examples.POLICY, witnesses=witnesses, witnesses_needed=needed)
        encoded = replace(MAKER, policy=policy).encode()
        if fits:
            assert decode_maker_record(encoded).policy == policy
        else:
            with pytest.raises(Malformed):
                decode_maker_record(encoded)
    largest_quorum = replace(BOARD, operators=BOARD.operators * limits.MAX_OPERATORS).quorum
    assert largest_quorum + limits.MAX_WITNESSES_NEEDED <= limits.MAX_COSIGNATURES
