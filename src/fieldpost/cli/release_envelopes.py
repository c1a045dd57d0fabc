# SPDX-License-Identifier: Apache-2.0
"""Envelopes of a maker's releases: kept at home, completed by keys elsewhere, and uploaded.

HOME/manifests/<digest>.suit    the manifest, and every signature that was gathered over it
"""

from collections.abc import Container, Iterable, Sequence
from pathlib import Path

from fieldpost import durable
from fieldpost.cli.ceremony import Request, Signed
from fieldpost.cli.maker_home import MakerHome
from fieldpost.cli.signing import post_facts
from fieldpost.cli.stores import Stores
from fieldpost.cli.uploading import send_envelope
from fieldpost.errors import Misconfigured
from fieldpost.keys import SIGNATURE_BYTES, PublicKey
from fieldpost.records.device_class import ClassRecord
from fieldpost.suit.envelope import (
    AuthenticationBlock,
    Envelope,
    decode_envelope,
    manifest_digest,
)


def kept_envelope(maker: MakerHome, digest: bytes) -> Envelope | None:
    """The envelope that was signed on this machine, or gathered on it."""
    path = _path(maker, digest)
    return decode_envelope(path.read_bytes()) if path.exists() else None


def keep_blocks(
    maker: MakerHome,
    manifest: bytes,
    blocks: Iterable[AuthenticationBlock],
    *,
    of_keys: Container[bytes],
) -> Envelope:
    """Add signatures to the kept envelope of a manifest; of one key the newer. Returns it.

    Signatures by other keys than `of_keys` (thumbprints), which the maker has by now, are worth
    nothing any more, and are left out: a release may outlive more keys than an envelope holds.
    """
    digest = manifest_digest(manifest)
    kept = kept_envelope(maker, digest)
    by_kid = {block.kid: block for block in (kept.blocks if kept else ()) if block.kid in of_keys}
    by_kid |= {block.kid: block for block in blocks}
    envelope = Envelope(manifest, tuple(by_kid.values()))
    path = _path(maker, digest)
    durable.make_dirs(path.parent)
    durable.write_file(path, envelope.encode())
    return envelope


def settle_release(
    maker: MakerHome, stores: Stores, request: Request, signed: Sequence[Signed]
) -> dict[str, object]:
    """Keep what was signed of a manifest; post and upload, if the request has a post.

    Returns what to tell the user. Raises as `Stores.send`.
    """
    assert request.manifest is not None
    blocks = [block for one in signed if (block := one.block) is not None]
    envelope = keep_blocks(maker, request.manifest, blocks, of_keys=request.keys)
    if request.statement is None:
        return {"manifest": envelope.digest.hex(), "signatures": len(envelope.blocks)}
    facts = post_facts(maker, stores.board, request.assemble(signed))
    send_envelope(stores, envelope)
    return facts


def signed_bytes(manifest: bytes, keys: Iterable[PublicKey]) -> int:
    """How long the envelope is once these keys signed it."""
    blocks = tuple(
        AuthenticationBlock(key.thumbprint(), int(key.algorithm), bytes(_length(key)))
        for key in keys
    )
    return len(Envelope(manifest, blocks).encode())


def largest_keys(keys: Iterable[PublicKey], count: int) -> list[PublicKey]:
    """The `count` keys whose signatures take most room."""
    return sorted(keys, key=_length, reverse=True)[:count]


def check_size(count: int, class_: ClassRecord) -> None:
    """Raises Misconfigured if devices of the class do not read so long an envelope."""
    if count > class_.limits.envelope_bytes:
        raise Misconfigured(
            f"the signed manifest has {count} bytes, and devices of {class_.name} read "
            f"{class_.limits.envelope_bytes}; fewer release keys, or Ed25519 ones, make it smaller"
        )


def _length(key: PublicKey) -> int:
    return SIGNATURE_BYTES[key.algorithm]


def _path(maker: MakerHome, digest: bytes) -> Path:
    return maker.path / "manifests" / f"{digest.hex()}.suit"
