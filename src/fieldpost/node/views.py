# SPDX-License-Identifier: Apache-2.0
"""What a published state says, as JSON for people and tools. Pure: a function of the state map.

Nothing here is proof: whoever must not be fooled asks for bundles and links and verifies them.
Every function raises NotFound for what the map has not.
"""

from typing import Final

from fieldpost import cbor
from fieldpost.engines.base import PublishedHead
from fieldpost.errors import NotFound
from fieldpost.posts.release import read_block
from fieldpost.records import map_keys
from fieldpost.records.board import BoardRecord, decode_board_record
from fieldpost.records.counters import (
    ClassCounters,
    Link,
    ReleaseCounters,
    decode_attestation,
)
from fieldpost.records.device_class import ClassRecord, decode_class_record
from fieldpost.records.head import Head, Offer, decode_head
from fieldpost.records.identifiers import origin_of
from fieldpost.records.lot import LotRecord, decode_lot_record
from fieldpost.records.maker import MakerRecord, Role, decode_maker_record
from fieldpost.records.release import Artifact, ReleaseRecord, decode_release_record
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.suit.envelope import AuthenticationBlock
from fieldpost.tlog.note import format_vkey

Json = dict[str, object]
_TRIAL: Final = "localhost."


def value_of(head: PublishedHead, key: bytes, what: str) -> bytes:
    """The value under a map key. Raises NotFound that names `what`."""
    value = head.map.value(key)
    if value is None:
        raise NotFound(f"this board has no such {what} (at size {head.checkpoint.size})")
    return value


def board_record(head: PublishedHead) -> BoardRecord:
    """The board record in force."""
    return decode_board_record(value_of(head, map_keys.board(), "board"))


def maker_record(head: PublishedHead, maker: bytes) -> MakerRecord:
    """A maker's record in force."""
    return decode_maker_record(value_of(head, map_keys.maker(maker), "maker"))


def class_record(head: PublishedHead, class_id: bytes) -> ClassRecord:
    """A class's record in force."""
    return decode_class_record(value_of(head, map_keys.device_class(class_id), "class"))


def release_record(head: PublishedHead, class_id: bytes, sequence: int) -> ReleaseRecord:
    """One release."""
    return decode_release_record(value_of(head, map_keys.release(class_id, sequence), "release"))


def release_of_manifest(head: PublishedHead, class_id: bytes, digest: bytes) -> ReleaseRecord:
    """The release of a class that a SUIT manifest digest names."""
    match cbor.decode(value_of(head, map_keys.manifest(class_id, digest), "manifest")):
        case int(sequence):
            return release_record(head, class_id, sequence)
    raise AssertionError("a manifest value that no rule writes")


def posted_blocks(
    head: PublishedHead, class_id: bytes, sequence: int
) -> tuple[AuthenticationBlock, ...]:
    """The signatures that `release.sign` added to a release's manifest."""
    value = head.map.value(map_keys.release_blocks(class_id, sequence))
    blocks = () if value is None else cbor.decode(value)
    assert isinstance(blocks, tuple)
    return tuple(map(read_block, blocks))


def lot_record(head: PublishedHead, lot: bytes) -> LotRecord:
    """One lot."""
    return decode_lot_record(value_of(head, map_keys.lot(lot), "lot"))


def _link(head: PublishedHead, record_key: bytes, what: str) -> Link:
    return Link.decode(value_of(head, map_keys.link(record_key), what))


def is_trial(board: str) -> bool:
    """Whether a board was made without an origin, to try things out."""
    return origin_of(board).startswith(_TRIAL)


def board_labels(board: str, record: BoardRecord) -> str:
    """What every output must say of a board: solo, trial; empty for neither."""
    labels = [("solo", record.is_solo), ("trial", is_trial(board))]
    return ", ".join(label for label, applies in labels if applies)


def board_view(head: PublishedHead, board: str) -> Json:
    """`GET /v1/board`."""
    record = board_record(head)
    link = _link(head, map_keys.board(), "board")
    return {
        "board": board,
        "origin": record.origin,
        "solo": record.is_solo,
        "trial": is_trial(board),
        "epoch": link.epoch,
        "link": link.digest.hex(),
        "size": head.checkpoint.size,
        "epoch_s": record.epoch_s,
        "operators": [
            {
                "name": operator.name,
                "urls": list(operator.urls),
                "log_key": format_vkey(operator.log_key),
                "cosigner_keys": [format_vkey(key) for key in operator.cosigner_keys],
            }
            for operator in record.operators
        ],
        "witnesses": [format_vkey(witness.key) for witness in record.witnesses],
        "record": record.encode().hex(),
        "time": decode_state_leaf(head.state_leaf).time,
    }


def maker_view(head: PublishedHead, maker: bytes) -> Json:
    """`GET /v1/makers/<id>`."""
    record = maker_record(head, maker)
    link = _link(head, map_keys.maker(maker), "maker")
    listed = head.map.value(map_keys.maker_classes(maker))
    classes = () if listed is None else cbor.decode(listed)
    assert isinstance(classes, tuple)
    return {
        "maker": maker.hex(),
        "name": record.name,
        "epoch": link.epoch,
        "link": link.digest.hex(),
        "record": record.encode().hex(),
        "classes": [item.hex() for item in classes if isinstance(item, bytes)],
        "nonces": {
            role.name.lower(): _nonces(head, maker, record, role)
            for role in (Role.ROOT, *sorted(record.roles))
        },
        **_domain_view(head, maker, link),
    }


def _domain_view(head: PublishedHead, maker: bytes, link: Link) -> Json:
    """The domain that operators attested to the maker's keys of now.

    What was attested to former keys is named apart: until operators look again it is unverified.
    """
    value = head.map.value(map_keys.domain_of_maker(maker))
    given = None if value is None else decode_attestation(value)
    if given is None:
        return {"domain": "unverified", "domain_attested": None, "domain_lapsed": None}
    if given.epoch != link.epoch:
        return {"domain": "unverified", "domain_attested": None, "domain_lapsed": given.domain}
    return {"domain": given.domain, "domain_attested": given.time, "domain_lapsed": None}


def _nonces(head: PublishedHead, maker: bytes, record: MakerRecord, role: Role) -> dict[str, int]:
    """The last nonce by key, or under "role" where several must sign."""
    keys = record.keys_of(role)
    if keys.threshold > 1:
        return {"role": _count(head, map_keys.nonce_of_role(maker, int(role)))}
    return {kid.hex(): _count(head, map_keys.nonce_of_key(kid)) for kid in keys.by_kid()}


def _count(head: PublishedHead, key: bytes) -> int:
    value = head.map.value(key)
    number = 0 if value is None else cbor.decode(value)
    assert isinstance(number, int)
    return number


def class_view(head: PublishedHead, class_id: bytes) -> Json:
    """`GET /v1/classes/<id>`."""
    record = class_record(head, class_id)
    link = _link(head, map_keys.device_class(class_id), "class")
    counters = class_counters(head, class_id)
    return {
        "class": class_id.hex(),
        "maker": record.maker.hex(),
        "name": record.name,
        "record": record.encode().hex(),
        "epoch": link.epoch,
        "link": link.digest.hex(),
        "channels": {name: _channel_view(head, class_id, name) for name in record.channels},
        "newest": counters.newest,
        "floor": counters.floor,
        "devices": counters.devices,
    }


def class_counters(head: PublishedHead, class_id: bytes) -> ClassCounters:
    """What rules count for a class; zeros where nothing was counted yet."""
    counted = head.map.value(map_keys.class_counters(class_id))
    return ClassCounters() if counted is None else ClassCounters.decode(counted)


def _channel_view(head: PublishedHead, class_id: bytes, channel: str) -> Json:
    shown: Head = decode_head(value_of(head, map_keys.head(class_id, channel), "channel"))
    return {
        "change_count": shown.change_count,
        "interval_s": shown.interval_s,
        "maker_epoch": shown.maker_epoch,
        "maker_link": shown.maker_link.hex(),
        "offers": [_offer_view(offer) for offer in shown.offers],
    }


def _offer_view(offer: Offer) -> Json:
    conditions = offer.conditions
    return {
        "sequence": offer.sequence,
        "manifest": offer.manifest.hex(),
        "threshold": offer.threshold,
        "salt": None if offer.salt is None else offer.salt.hex(),
        "from_range": None if offer.from_range is None else list(offer.from_range),
        "not_before": offer.not_before,
        "conditions": None
        if conditions is None
        else {
            "urgency": conditions.urgency,
            "postpone_s": conditions.postpone_s,
            "battery_percent": conditions.battery_percent,
            "external_power": conditions.external_power,
            "downtime_s": conditions.downtime_s,
            "window": None if conditions.window is None else list(conditions.window),
        },
        "lots": [lot.hex() for lot in offer.lots],
    }


def release_view(
    head: PublishedHead, record: ReleaseRecord, *, manifest_stored: bool, stored: set[bytes]
) -> Json:
    """One release of `GET /v1/classes/<id>/releases`; `stored`: digests of blobs that are here."""
    counted = head.map.value(map_keys.release_counters(record.class_id, record.sequence))
    counters = ReleaseCounters() if counted is None else ReleaseCounters.decode(counted)
    return {
        "sequence": record.sequence,
        "version": record.version,
        "manifest": record.manifest.hex(),
        "kind": record.kind.name.lower(),
        "artifacts": [_artifact_view(a, stored=a.digest in stored) for a in record.artifacts],
        "sources": list(record.sources),
        "manifest_stored": manifest_stored,
        "withdrawn": counters.withdrawn,
    }


def _artifact_view(artifact: Artifact, *, stored: bool) -> Json:
    delta = artifact.delta_format
    return {
        "digest": artifact.digest.hex(),
        "size": artifact.size,
        "encoding": artifact.encoding.name.lower(),
        "image": artifact.image.hex(),
        "delta_format": None if delta is None else delta.name.lower(),
        "base": None if artifact.base is None else artifact.base.hex(),
        "stored": stored,
    }
