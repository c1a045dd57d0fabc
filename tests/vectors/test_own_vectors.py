# SPDX-License-Identifier: Apache-2.0
"""The project's own vectors, run through the library as a stranger would through a rewrite."""

from hashlib import sha256

import pytest

from fieldpost import cbor
from fieldpost.cli.domain_proof import domain_line
from fieldpost.errors import Malformed
from fieldpost.identity.challenge import verify_challenge
from fieldpost.identity.enrolment import verify_request
from fieldpost.identity.leaf import decode_leaf, format_device_id, ueid
from fieldpost.identity.lot import verify_membership
from fieldpost.identity.report import verify_report
from fieldpost.identity.status import read_status
from fieldpost.keys import check_key, decode_key, verify_signature
from fieldpost.ledger.rules import RULES
from fieldpost.posts.envelope import decode_post
from fieldpost.posts.kinds import DECODERS
from fieldpost.records import identifiers
from fieldpost.records.board import decode_board_record
from fieldpost.records.device_class import decode_class_record
from fieldpost.records.fields import Reading
from fieldpost.records.head import cohort_draw, decode_head
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import decode_maker_record
from fieldpost.records.provisioning import decode_provisioning
from fieldpost.records.release import decode_release_record
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.statemap import StateMap
from fieldpost.statemap.proof import verify_proof
from fieldpost.suit.envelope import decode_envelope, verify_envelope
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.cosignature import Cosignature, cosigned_message, verify_cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import parse_vkey
from fieldpost.tlog.policy import threshold_timestamp
from fieldpost.tlog.proof import root_from_edge, verify_consistency, verify_inclusion
from fieldpost.tlog.tiles import Tile, entries_path, parse_tile_path, tile_path
from fieldpost.tlog.tree import CompactRange
from fieldpost.tlog.treehead import parse_checkpoint
from tests.vectors.own_vectors import Case, cases, load, many, octets, optional, reason_of
from vectors import generate

RECORDS = {
    "board": decode_board_record,
    "maker": decode_maker_record,
    "class": decode_class_record,
    "release": decode_release_record,
    "lot": decode_lot_record,
    "head": decode_head,
    "provisioning": decode_provisioning,
}


def test_the_generator_writes_what_is_checked_in() -> None:
    """Nobody edits a vector by hand, and the page of the spec shows true bytes."""
    for path, text in generate.files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run vectors/generate.py"


def test_every_file_of_vectors_is_run_here() -> None:
    names = {path.stem for path in (generate.ROOT / "vectors").glob("*.json")}
    assert names == set(generate.SECTIONS)


# --- cbor, keys ---


@cases("cbor", "good")
def test_cbor_good(case: Case) -> None:
    data = octets(case["hex"])
    assert cbor.encode(cbor.decode(data)) == data


@cases("cbor", "bad")
def test_cbor_bad(case: Case) -> None:
    assert reason_of(lambda: cbor.decode(octets(case["hex"]))) == case["reason"]


@cases("keys", "keys")
def test_keys(case: Case) -> None:
    key = decode_key(octets(case["cose_key"]))
    assert (int(key.algorithm), key.raw.hex()) == (case["alg"], case["raw"])
    assert key.thumbprint().hex() == case["thumbprint"]
    assert sha256(octets(case["cose_key"])).hexdigest() == case["thumbprint"]


@cases("keys", "bad_keys")
def test_bad_keys(case: Case) -> None:
    assert reason_of(lambda: decode_key(octets(case["hex"]))) == case["reason"]


@cases("keys", "registration")
def test_keys_at_registration(case: Case) -> None:
    key = decode_key(octets(case["key"]))
    if case["reason"] is None:
        check_key(key)
    else:
        with pytest.raises(Malformed):
            check_key(key)


@cases("keys", "signatures")
def test_signatures(case: Case) -> None:
    key, message = decode_key(octets(case["key"])), octets(case["message"])
    signature = octets(case["signature"])
    assert reason_of(lambda: verify_signature(key, message, signature)) == case["reason"]


# --- log ---


@cases("log", "roots")
def test_roots(case: Case) -> None:
    entries = many(load("log")["entries"])[: case["size"]]
    tree = CompactRange.empty().extend(map(leaf_hash, entries))
    assert tree.root().hex() == case["root"]


@cases("log", "inclusion")
def test_inclusion(case: Case) -> None:
    def verify() -> None:
        verify_inclusion(
            leaf_hash=octets(case["leaf_hash"]),
            index=case["index"],
            size=case["size"],
            root=octets(case["root"]),
            path=many(case["path"]),
        )

    assert reason_of(verify) == case["reason"]


@cases("log", "consistency")
def test_consistency(case: Case) -> None:
    def verify() -> None:
        verify_consistency(
            old_size=case["old_size"],
            old_root=octets(case["old_root"]),
            size=case["size"],
            root=octets(case["root"]),
            path=many(case["path"]),
        )

    assert reason_of(verify) == case["reason"]


@cases("log", "edges")
def test_edges(case: Case) -> None:
    leaf, edge = octets(case["leaf_hash"]), many(case["edge"])
    if case["reason"] is None:
        root = root_from_edge(leaf_hash=leaf, index=case["index"], edge=edge)
        assert root.hex() == case["root"]
    else:
        with pytest.raises(Malformed):
            root_from_edge(leaf_hash=leaf, index=case["index"], edge=edge)


@cases("log", "vkeys")
def test_vkeys(case: Case) -> None:
    key = parse_vkey(case["vkey"])
    assert (key.name, key.type, key.public.hex()) == (case["name"], case["type"], case["public"])
    assert key.key_id.hex() == case["key_id"]


@cases("log", "checkpoints")
def test_checkpoints(case: Case) -> None:
    known = [parse_vkey(key["vkey"]) for key in load("log")["vkeys"]]
    note = case["note"].encode()
    assert reason_of(lambda: open_checkpoint(note, known, origin=case["origin"])) == case["reason"]
    if case["reason"] is None:
        checkpoint, verified = open_checkpoint(note, known, origin=case["origin"])
        assert (checkpoint.size, checkpoint.root.hex()) == (case["size"], case["root"])
        assert len(verified) == len(known)


@cases("log", "cosignatures")
def test_cosignatures(case: Case) -> None:
    key, checkpoint = parse_vkey(case["vkey"]), parse_checkpoint(case["checkpoint"])
    item = Cosignature(key.key_id, case["timestamp"], octets(case["signature"]))
    assert cosigned_message(key, checkpoint, item.timestamp).hex() == case["message"]
    assert reason_of(lambda: verify_cosignature(key, checkpoint, item)) == case["reason"]


@cases("log", "times")
def test_times_of_quorums(case: Case) -> None:
    groups = [(group["needed"], group["timestamps"]) for group in case["groups"]]
    assert threshold_timestamp(groups) == case["time"]


@cases("log", "state_leaves")
def test_state_leaves(case: Case) -> None:
    data = octets(case["hex"])
    assert reason_of(lambda: decode_state_leaf(data)) == case["reason"]
    if case["reason"] is None:
        assert decode_state_leaf(data).encode() == data


@cases("log", "tiles")
def test_tiles(case: Case) -> None:
    tile = Tile(case["level"], case["index"], case["width"])
    assert tile_path(tile) == case["tile"]
    assert parse_tile_path(case["tile"]) == tile
    if case["entries"] is not None:
        assert entries_path(tile) == case["entries"]


# --- state map ---


@cases("state-map", "keys")
def test_map_keys(case: Case) -> None:
    assert sha256(octets(case["preimage"])).hexdigest() == case["key"]


@pytest.mark.usefixtures("each_map_writer")
@cases("state-map", "roots")
def test_map_roots(case: Case) -> None:
    items = [
        (sha256(b"key %d" % number).digest(), b"value %d" % number)
        for number in range(case["count"])
    ]
    assert StateMap.build(items).root.hex() == case["root"]


@pytest.mark.usefixtures("each_map_writer")
@cases("state-map", "proofs")
def test_map_proofs(case: Case) -> None:
    def verify() -> None:
        verify_proof(
            root=octets(case["root"]),
            key=octets(case["key"]),
            value=optional(case["value"]),
            path=octets(case["path"]),
        )

    assert reason_of(verify) == case["reason"]


# --- records, posts, manifests ---


@cases("records", "records")
def test_records(case: Case) -> None:
    decode, data = RECORDS[case["record"]], octets(case["hex"])
    for reading in Reading:
        assert reason_of(lambda r=reading: decode(data, r)) == case[reading.value]  # type: ignore[misc]
    if "offers" in case:
        head = decode_head(data, Reading.DEVICE)
        assert [offer.sequence for offer in head.offers] == case["offers"]


@cases("records", "domains")
def test_domain_lines(case: Case) -> None:
    record = decode_maker_record(octets(case["record"]))
    assert domain_line(octets(case["maker"]), record) == case["line"]


@cases("records", "draws")
def test_draws(case: Case) -> None:
    assert cohort_draw(octets(case["salt"]), octets(case["device"])) == case["draw"]


@cases("posts", "posts")
def test_posts(case: Case) -> None:
    post = decode_post(octets(case["hex"]))
    assert post.encode().hex() == case["hex"]
    said = post.statement
    assert [said.kind, said.issuer, said.subject, said.audience, said.payload.hex()] == [
        case[name] for name in ("kind", "iss", "sub", "aud", "payload")
    ]
    keys = [decode_key(key) for key in many(case["keys"])]
    assert len(keys) == len(post.signatures)
    for key, signature, signed in zip(keys, post.signatures, case["signed"], strict=True):
        assert key.thumbprint() == signature.kid
        assert post.signed_bytes(signature).hex() == signed
        verify_signature(key, octets(signed), signature.signature)


@cases("posts", "payloads")
def test_payloads(case: Case) -> None:
    decode, data = DECODERS[case["kind"]], octets(case["hex"])
    assert reason_of(lambda: decode(data)) == case["reason"]
    if case["reason"] is None:
        assert decode(data).encode() == data


def test_every_kind_with_a_rule_has_a_post_here() -> None:
    kinds = {case["kind"] for case in load("posts")["posts"]}
    assert set(RULES) <= kinds


@cases("posts", "malformed")
def test_malformed_posts(case: Case) -> None:
    assert reason_of(lambda: decode_post(octets(case["hex"]))) == case["reason"]


@cases("posts", "bad_signatures")
def test_posts_with_bad_signatures(case: Case) -> None:
    post = decode_post(octets(case["hex"]))

    def verify() -> None:
        for key, signature in zip(many(case["keys"]), post.signatures, strict=True):
            verify_signature(decode_key(key), post.signed_bytes(signature), signature.signature)

    assert reason_of(verify) == case["reason"]


@cases("manifests", "cases")
def test_manifests(case: Case) -> None:
    vectors = load("manifests")
    keys = {key.thumbprint(): key for key in map(decode_key, many(vectors["keys"]))}
    data = octets(case["envelope"])

    def verify() -> None:
        _, manifest = verify_envelope(
            data, keys=keys, threshold=case["threshold"], most_bytes=case["most_bytes"]
        )
        assert manifest.sequence == vectors["sequence"]
        assert (manifest.vendor.hex(), manifest.class_id.hex()) == (
            vectors["vendor"],
            vectors["class"],
        )
        assert decode_envelope(data).encode() == data

    assert reason_of(verify) == case["reason"]


# --- identity ---


@cases("identity", "devices")
def test_devices(case: Case) -> None:
    leaf = decode_leaf(octets(case["leaf"]))
    serial = leaf.serial if isinstance(leaf.serial, str) else leaf.serial.hex()
    assert (serial, leaf.device.hex()) == (case["serial"], case["device"])
    assert format_device_id(leaf.device) == case["shown"]
    assert ueid(leaf.device).hex() == case["ueid"]


@cases("identity", "enrolments")
def test_enrolments(case: Case) -> None:
    assert reason_of(lambda: verify_request(octets(case["hex"]))) == case["reason"]


@cases("identity", "proofs")
def test_proofs_of_a_unit(case: Case) -> None:
    key = decode_key(octets(case["key"]))

    def verify() -> None:
        verify_challenge(
            octets(case["hex"]), challenge=octets(case["challenge"]), board=case["board"], key=key
        )

    assert reason_of(verify) == case["reason"]


@cases("identity", "lot", "members")
def test_lot_members(case: Case) -> None:
    lot = load("identity")["lot"]
    root, maker, of_class = octets(lot["root"]), octets(lot["maker"]), octets(lot["class"])
    identity = identifiers.lot_id(maker=maker, class_=of_class, count=lot["count"], root=root)
    assert identity.hex() == lot["lot"]

    def verify() -> None:
        leaf, path = octets(case["leaf"]), many(case["path"])
        verify_membership(leaf=leaf, index=case["index"], count=lot["count"], root=root, path=path)

    assert reason_of(verify) == case["reason"]


@cases("identity", "statuses")
def test_statuses(case: Case) -> None:
    assert read_status(optional(case["page"]), case["index"]) == case["status"]


@cases("identity", "reports")
def test_reports(case: Case) -> None:
    key = decode_key(octets(case["key"]))

    def verify() -> None:
        verify_report(octets(case["hex"]), key, board=case["board"])

    assert reason_of(verify) == case["reason"]
