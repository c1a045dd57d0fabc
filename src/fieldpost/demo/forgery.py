# SPDX-License-Identifier: Apache-2.0
"""What an attacker can build who holds a stolen release key and copies the board's format.

The forger writes a state of his own in which the victim's channel offers his release, proves it
perfectly, and lets cosigners of his choice sign. Only who signed the checkpoint tells his board
from the real one.
"""

from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256

from fieldpost.checkin.build import build_bundle
from fieldpost.checkin.bundle import decode_bundle, encode_bundle
from fieldpost.errors import Malformed
from fieldpost.keys import Signer
from fieldpost.records import map_keys
from fieldpost.records.head import Head, Offer, decode_head
from fieldpost.records.identifiers import vendor_id
from fieldpost.records.limits import FULL_THRESHOLD, MAX_CHECKIN_BYTES
from fieldpost.records.state_leaf import decode_state_leaf
from fieldpost.statemap.tree import StateMap
from fieldpost.suit.envelope import Envelope, manifest_digest, sign_manifest
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.cosignature import Cosignature, cosign
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.proof import root_from_edge


class Cosigning(Enum):
    """Whose signatures the forged checkpoint carries."""

    NONE = "none"
    OWN_KEYS = "own-keys"
    FORGED = "forged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """A release of the attacker's: what hostile servers hand out."""

    bundle: bytes
    manifest_digest: bytes
    envelope: bytes
    image: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom the lie is for."""

    origin: str
    maker: bytes
    class_id: bytes
    channel: str


def forge(
    target: Target,
    *,
    image: bytes,
    genuine: bytes,
    stolen: Signer,
    own: Signer,
    cosigning: Cosigning,
    now: int,
) -> Lie:
    """A newer release on a board of the attacker's own, shaped after a genuine check-in."""
    shown = decode_bundle(genuine, most_bytes=MAX_CHECKIN_BYTES)
    if shown.value is None:
        raise Malformed("the genuine check-in proves nothing to imitate")
    head = decode_head(shown.value)
    sequence = 1 + max((offer.sequence for offer in head.offers), default=0)
    manifest = encode_manifest(
        Manifest(
            sequence=sequence,
            vendor=vendor_id(target.maker),
            class_id=target.class_id,
            components=(Component((b"image",), sha256(image).digest(), len(image)),),
        )
    )
    digest = manifest_digest(manifest)
    offer = Offer(sequence=sequence, manifest=digest, threshold=FULL_THRESHOLD, salt=bytes(8))
    bundle = _prove(
        target,
        replace(head, offers=(offer,)),
        shown.state_leaf,
        now=now,
        cosigning=cosigning,
        own=own,
    )
    return Lie(
        bundle=_imitate_ids(bundle, genuine) if cosigning is Cosigning.FORGED else bundle,
        manifest_digest=digest,
        envelope=Envelope(manifest, (sign_manifest(manifest, stolen),)).encode(),
        image=image,
    )


def _prove(
    target: Target,
    head: Head,
    genuine_leaf: bytes,
    *,
    now: int,
    cosigning: Cosigning,
    own: Signer,
) -> bytes:
    key = map_keys.head(target.class_id, target.channel)
    state = StateMap.build([(key, replace(head, change_count=head.change_count + 1).encode())])
    genuine = decode_state_leaf(genuine_leaf)
    index = genuine.covered_size + 64
    leaf = replace(
        genuine,
        covered_size=index,
        map_root=state.root,
        key_count=len(state),
        previous_state_index=genuine.covered_size,
        time=now,
    ).encode()
    edge = tuple(sha256(bytes((n,))).digest() for n in range(index.bit_count()))
    checkpoint = Checkpoint(
        target.origin,
        index + 1,
        root_from_edge(leaf_hash=leaf_hash(leaf), index=index, edge=edge),
    )
    cosignatures: tuple[Cosignature, ...] = ()
    if cosigning is not Cosigning.NONE:
        name = target.origin.split("/", maxsplit=1)[0]
        cosignatures = (cosign(checkpoint, name=name, signer=own, timestamp=now),)
    return build_bundle(map=state, key=key, state_leaf=leaf, edge=edge, cosignatures=cosignatures)


def _imitate_ids(bundle: bytes, genuine: bytes) -> bytes:
    """Put the genuine cosigners' key ids on the forged signatures."""
    ids = [c.key_id for c in decode_bundle(genuine, most_bytes=MAX_CHECKIN_BYTES).cosignatures]
    forged = decode_bundle(bundle, most_bytes=MAX_CHECKIN_BYTES)
    claimed = tuple(replace(forged.cosignatures[0], key_id=key_id) for key_id in ids)
    return encode_bundle(replace(forged, cosignatures=claimed))
