# SPDX-License-Identifier: Apache-2.0
"""Every function that reads bytes, text or decoded values which others wrote, ready to be fed.

One entry for each, by its dotted name; `apart` names what needs none, and
`test_no_decoder_is_forgotten` compares both with the source.
"""

from collections.abc import Callable
from typing import Final

from fieldpost import cbor, keys
from fieldpost.agent.membership import read_claim
from fieldpost.agent.trust import believe_factory, follow_links
from fieldpost.checkin.belief import believe, decode_belief
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.chains import Tip, follow_board_links, follow_maker_links
from fieldpost.checkin.evidence import decode_evidence, verify_evidence
from fieldpost.checkin.manifests import verify_release
from fieldpost.checkin.offline_bundle import read_offline_bundle
from fieldpost.checkin.older import verify_older
from fieldpost.checkin.verify import verify_bundle
from fieldpost.checkin.way_out import believe_links
from fieldpost.checkin.went_back import decode_went_back, verify_went_back
from fieldpost.engines.carried import carry, receive
from fieldpost.engines.verification import read_post
from fieldpost.errors import (
    Malformed,
    Untrusted,
)
from fieldpost.identity.challenge import verify_challenge
from fieldpost.identity.enrolment import verify_request
from fieldpost.identity.leaf import decode_leaf
from fieldpost.identity.leaves import decode_leaves
from fieldpost.identity.lot import verify_membership
from fieldpost.identity.outcome import read_outcome
from fieldpost.identity.report import open_report, verify_report
from fieldpost.identity.status import read_status
from fieldpost.ledger.batch import apply_batch
from fieldpost.ledger.payloads import decode_ahead
from fieldpost.node.manifests import NamedRelease, verify_upload
from fieldpost.posts.attestation import decode_maker_attest
from fieldpost.posts.blob import decode_blob_gone
from fieldpost.posts.device import decode_device_status
from fieldpost.posts.envelope import decode_post
from fieldpost.posts.fleet import decode_fleet_summary
from fieldpost.posts.permit import decode_permit, verify_permit
from fieldpost.posts.release import (
    decode_release_floor,
    decode_release_sign,
    decode_release_withdraw,
)
from fieldpost.posts.rollout import decode_rollout_set
from fieldpost.records import counters, limits, map_keys
from fieldpost.records.advisory import decode_advisory
from fieldpost.records.board import decode_board_record
from fieldpost.records.device_class import DeviceLimits, decode_class_record
from fieldpost.records.fields import Reading
from fieldpost.records.head import decode_head
from fieldpost.records.lot import decode_lot_record
from fieldpost.records.maker import Role, decode_maker_record
from fieldpost.records.provisioning import decode_provisioning
from fieldpost.records.release import decode_release_record
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.records.state_proof import decode_state_proof
from fieldpost.statemap.proof import verify_proof
from fieldpost.suit.envelope import decode_envelope, verify_envelope
from fieldpost.suit.manifest import decode_manifest
from fieldpost.tlog.checkpoint import open_checkpoint
from fieldpost.tlog.note import parse_base64, parse_note, parse_signature_lines, parse_vkey
from fieldpost.tlog.offline import parse_offline_proof, verify_offline_proof
from fieldpost.tlog.policy import parse_policy
from fieldpost.tlog.tiles import (
    Tile,
    decode_entry_bundle,
    decode_tile,
    parse_entries_path,
    parse_tile_path,
)
from fieldpost.tlog.treehead import parse_checkpoint, parse_decimal
from fieldpost.tlog.witness import parse_add_checkpoint, parse_known_size
from fieldpost.watch.state_evidence import decode_state_evidence, verify_state_evidence
from fieldpost.watch.witness.logs import parse_log_list
from tests.fuzz import seeds
from tests.fuzz.own_files import OWN
from tests.fuzz.target import Target, as_text, as_value


def _both(decode: Callable[[bytes, Reading], object]) -> Callable[[bytes], object]:
    """As the ledger reads and as devices do."""

    def read(data: bytes) -> None:
        refused = 0
        for reading in Reading:
            try:
                decode(data, reading)
            except Malformed:
                refused += 1
            except Untrusted as error:
                # A device says so of labels that it does not know.
                assert (reading, error.reason) == (Reading.DEVICE, "unsupported")  # noqa: PT017
        if refused == len(Reading):
            raise Malformed("both")

    return read


def _verify_bundle(data: bytes) -> object:
    board = seeds.paper()
    return verify_bundle(seeds.belief(), data, key=board.head_key, now=board.time)


def _follow(which: str) -> Callable[[bytes], object]:
    """Links one after the other, as a node hands them out, to the end that is true."""

    def follow(data: bytes) -> object:
        board = seeds.paper()
        entries = cbor.decode_byte_strings(data, most=50)
        if which == "board":
            tip = Tip(board.board_record.encode(), board.board_link)
            return follow_board_links(tip, entries, until=b"\x01" * 32, board=board.id)
        tip = Tip(board.maker_record.encode(), board.maker_link)
        return follow_maker_links(tip, entries, until=b"\x01" * 32, maker=board.maker_id)

    return follow


def _verify_upload(data: bytes) -> object:
    world = seeds.world()
    value = world.value(map_keys.release(world.maker.class_id("tracker"), 11))
    assert value is not None
    release = NamedRelease(
        record=decode_release_record(value),
        maker=world.maker.id,
        keys=world.maker.key_set(Role.RELEASE),
        limits=DeviceLimits(),
        posted=(),
    )
    return verify_upload(data, release)


def _verify_release(data: bytes) -> object:
    board = seeds.paper()
    record = decode_class_record(seeds.seeds("class")[0])
    return verify_release(
        data,
        board.head.offers[0],
        maker=board.maker_record,
        maker_id=board.maker_id,
        class_id=board.class_id,
        limits=record.limits,
    )


def _verify_envelope(data: bytes) -> object:
    known = [keys.decode_key(bytes.fromhex(key)) for key in seeds.vectors("manifests")["keys"]]
    by_kid = {key.thumbprint(): key for key in known}
    return verify_envelope(data, keys=by_kid, threshold=2, most_bytes=limits.MAX_ENVELOPE_BYTES)


def _open_checkpoint(data: bytes) -> object:
    return open_checkpoint(data, [parse_vkey(v.decode()) for v in seeds.seeds("vkey")])


def _verify_offline_proof(data: bytes) -> object:
    policy = parse_policy(seeds.seeds("policy")[0])
    return verify_offline_proof(b"\x00", parse_offline_proof(data), policy)


def _apply(data: bytes) -> object:
    """A stranger's post in a batch of a living board: included, or refused by number."""
    batch = apply_batch(seeds.world().state, (data,), time=seeds.world().time + 60)
    assert len(batch.outcomes) == 1
    return batch


def _decode_ahead(data: bytes) -> object:
    """A post's payload as a verifying process decodes it and hands it over, or None."""
    statement = decode_post(data).statement
    return receive(carry([decode_ahead(statement.kind, statement.payload)]))


def _verify_signature(data: bytes) -> None:
    for row in seeds.vectors("keys")["keys"]:
        key = keys.decode_key(bytes.fromhex(row["cose_key"]))
        try:
            keys.verify_signature(key, b"fieldpost", data)
        except Untrusted:
            continue


def _verify_permit(data: bytes) -> object:
    shown = decode_permit(data)
    return verify_permit(shown, _KEY, digest=b"\x01" * 32, board="b.test/1#00", now=seeds.NOW)


def _verify_proof(data: bytes) -> None:
    rows = [row for row in seeds.vectors("state-map")["proofs"] if row["root"]]
    for row in rows[10:40:10]:
        value = row["value"] and bytes.fromhex(row["value"])
        key, root = bytes.fromhex(row["key"]), bytes.fromhex(row["root"])
        verify_proof(root=root, key=key, value=value, path=data)


def _read_offline(data: bytes) -> object:
    return read_offline_bundle(lambda at, count: data[at : at + count], len(data))


_TRUST: Final = (Malformed, Untrusted)
_KEY: Final = seeds.DEVICE.public_key

TARGETS: Final[dict[str, Target]] = {
    "cbor.decode": Target(cbor.decode, "cbor"),
    "cbor.decode_byte_strings": Target(lambda d: cbor.decode_byte_strings(d, most=9), "leaves"),
    "cbor.split_sequence": Target(lambda d: cbor.split_sequence(d, most=100), "post"),
    "keys.decode_key": Target(keys.decode_key, "key"),
    "keys.parse_cose_key": Target(as_value(keys.parse_cose_key), "key"),
    "keys.verify_signature": Target(_verify_signature, "signature"),
    # posts
    "posts.envelope.decode_post": Target(decode_post, "post"),
    "posts.permit.decode_permit": Target(decode_permit, "permit"),
    "posts.permit.verify_permit": Target(_verify_permit, "permit", _TRUST),
    "engines.verification.read_post": Target(
        lambda d: read_post(d, seeds.world().state.map), "live post"
    ),
    "ledger.batch.apply_batch": Target(_apply, "live post"),
    "ledger.payloads.decode_ahead": Target(_decode_ahead, "post"),
    "posts.release.decode_release_floor": Target(decode_release_floor, "release.floor"),
    "posts.release.decode_release_sign": Target(decode_release_sign, "release.sign"),
    "posts.release.decode_release_withdraw": Target(decode_release_withdraw, "release.withdraw"),
    "posts.rollout.decode_rollout_set": Target(decode_rollout_set, "rollout.set"),
    "posts.attestation.decode_maker_attest": Target(decode_maker_attest, "maker.attest"),
    "posts.blob.decode_blob_gone": Target(decode_blob_gone, "blob.gone"),
    "posts.device.decode_device_status": Target(decode_device_status, "device.status"),
    "posts.fleet.decode_fleet_summary": Target(decode_fleet_summary, "fleet.summary"),
    # records
    "records.advisory.decode_advisory": Target(_both(decode_advisory), "advisory.publish"),
    "records.board.decode_board_record": Target(_both(decode_board_record), "board"),
    "records.device_class.decode_class_record": Target(_both(decode_class_record), "class"),
    "records.head.decode_head": Target(_both(decode_head), "head"),
    "records.lot.decode_lot_record": Target(_both(decode_lot_record), "lot"),
    "records.maker.decode_maker_record": Target(_both(decode_maker_record), "maker"),
    "records.provisioning.decode_provisioning": Target(
        _both(decode_provisioning), "provisioning record"
    ),
    "records.release.decode_release_record": Target(_both(decode_release_record), "release"),
    "records.state_leaf.decode_state_leaf": Target(decode_state_leaf, "state leaf"),
    "records.counters.Link.decode": Target(counters.Link.decode, "link"),
    "records.counters.ClassCounters.decode": Target(
        counters.ClassCounters.decode, "class counters"
    ),
    "records.counters.ReleaseCounters.decode": Target(
        counters.ReleaseCounters.decode, "release counters"
    ),
    "records.counters.DailyCount.decode": Target(counters.DailyCount.decode, "daily count"),
    "records.counters.decode_domain_holder": Target(counters.decode_domain_holder, "domain"),
    "records.counters.decode_attestation": Target(counters.decode_attestation, "domain"),
    # releases
    "suit.envelope.decode_envelope": Target(decode_envelope, "envelope", _TRUST),
    "suit.envelope.verify_envelope": Target(_verify_envelope, "envelope", _TRUST),
    "suit.manifest.decode_manifest": Target(
        lambda d: decode_manifest(d, decrypts=True), "manifest", _TRUST
    ),
    "checkin.manifests.verify_release": Target(_verify_release, "envelope", _TRUST),
    "node.manifests.verify_upload": Target(_verify_upload, "envelope", _TRUST),
    # check-ins
    "checkin.bundle.decode_bundle": Target(
        lambda d: decode_bundle(d, most_bytes=limits.MAX_PROOF_BYTES), "bundle"
    ),
    "checkin.verify.verify_bundle": Target(_verify_bundle, "bundle", _TRUST),
    "checkin.older.verify_older": Target(
        lambda d: verify_older(
            seeds.belief(), d, key=seeds.paper().head_key, now=seeds.paper().time
        ),
        "bundle",
        _TRUST,
    ),
    "checkin.evidence.decode_evidence": Target(decode_evidence, "evidence"),
    "checkin.evidence.verify_evidence": Target(
        lambda d: verify_evidence(decode_evidence(d)), "evidence", _TRUST
    ),
    "checkin.belief.decode_belief": Target(decode_belief, "belief", _TRUST),
    "checkin.belief.believe": Target(believe, "provisioning", _TRUST),
    "checkin.chains.follow_board_links": Target(_follow("board"), "links", _TRUST),
    "checkin.chains.follow_maker_links": Target(_follow("maker"), "links", _TRUST),
    "checkin.way_out.believe_links": Target(
        lambda d: believe_links(seeds.belief(), cbor.decode_byte_strings(d, most=50)),
        "links",
        _TRUST,
    ),
    "agent.trust.follow_links": Target(
        lambda d: follow_links(
            seeds.belief(), cbor.decode_byte_strings(d, most=50), algorithms=tuple(keys.Algorithm)
        ),
        "links",
        _TRUST,
    ),
    "agent.trust.believe_factory": Target(believe_factory, "provisioning", _TRUST),
    "agent.membership.read_claim": Target(read_claim, "claim"),
    "checkin.offline_bundle.read_offline_bundle": Target(_read_offline, "offline"),
    "statemap.proof.verify_proof": Target(_verify_proof, "map path", _TRUST),
    # identity
    "identity.leaf.decode_leaf": Target(decode_leaf, "leaf"),
    "identity.enrolment.verify_request": Target(verify_request, "enrolment", _TRUST),
    "identity.report.open_report": Target(open_report, "report"),
    "identity.report.verify_report": Target(lambda d: verify_report(d, _KEY), "report", _TRUST),
    "identity.status.read_status": Target(lambda d: read_status(d, 1_023), "status"),
    "identity.challenge.verify_challenge": Target(
        lambda d: verify_challenge(
            d, challenge=seeds.CHALLENGE, board="board.example/1#00", key=_KEY
        ),
        "challenge",
        _TRUST,
    ),
    "identity.leaves.decode_leaves": Target(
        lambda d: list(decode_leaves([d[:50], d[50:]], count=3)), "leaves"
    ),
    "identity.lot.verify_membership": Target(
        lambda d: verify_membership(leaf=d, index=0, count=1, root=b"\x01" * 32, path=()),
        "leaf",
        _TRUST,
    ),
    "identity.outcome.read_outcome": Target(as_value(read_outcome), "report"),
    # the log
    "tlog.note.parse_note": Target(parse_note, "note"),
    "tlog.note.parse_vkey": Target(as_text(parse_vkey), "vkey"),
    "tlog.note.parse_base64": Target(as_text(parse_base64), "vkey"),
    "tlog.note.parse_signature_lines": Target(
        lambda d: parse_signature_lines(d.decode("utf-8", "surrogateescape").partition("\n\n")[2]),
        "note",
    ),
    "tlog.checkpoint.open_checkpoint": Target(_open_checkpoint, "note", _TRUST),
    "tlog.treehead.parse_checkpoint": Target(as_text(parse_checkpoint), "checkpoint"),
    "tlog.treehead.parse_decimal": Target(as_text(parse_decimal), "words"),
    "tlog.policy.parse_policy": Target(parse_policy, "policy"),
    "tlog.offline.parse_offline_proof": Target(parse_offline_proof, "proof"),
    "tlog.offline.verify_offline_proof": Target(_verify_offline_proof, "proof", _TRUST),
    "tlog.witness.parse_add_checkpoint": Target(parse_add_checkpoint, "witness request"),
    "tlog.witness.parse_known_size": Target(parse_known_size, "witness size"),
    "records.state_proof.decode_state_proof": Target(decode_state_proof, "state proof"),
    "checkin.went_back.decode_went_back": Target(decode_went_back, "evidence"),
    "checkin.went_back.verify_went_back": Target(
        lambda d: verify_went_back(decode_went_back(d)), "evidence", _TRUST
    ),
    "watch.state_evidence.decode_state_evidence": Target(decode_state_evidence, "state evidence"),
    "watch.state_evidence.verify_state_evidence": Target(
        lambda d: verify_state_evidence(
            decode_state_evidence(d),
            [bytes.fromhex(one) for one in seeds.vectors("state-evidence")["before"]],
        ),
        "state evidence",
        _TRUST,
    ),
    "watch.witness.logs.parse_log_list": Target(parse_log_list, "log list"),
    "tlog.tiles.decode_tile": Target(lambda d: decode_tile(Tile(0, 0, 5), d), "tile"),
    "tlog.tiles.decode_entry_bundle": Target(decode_entry_bundle, "entry bundle"),
    "tlog.tiles.parse_tile_path": Target(as_text(parse_tile_path), "tile path"),
    "tlog.tiles.parse_entries_path": Target(as_text(parse_entries_path), "tile path"),
    **OWN,
}
