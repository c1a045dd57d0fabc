# SPDX-License-Identifier: Apache-2.0
"""Signed checkpoints: who says that a log has this size and root (C2SP tlog-checkpoint).

A checkpoint is a signed note. Log keys (0x01) sign its text; cosigners (0x04, 0x06) add a time.
Opening one follows signed-note: unknown (name, key id) pairs are ignored, a known key with a
bad signature spoils the whole note, and a note that no known key signed is refused.
How many signatures are enough is the business of `fieldpost.tlog.policy`.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.keys import Accepts, Algorithm, Signer, verify_signature
from fieldpost.tlog.cosignature import parse_cosignature, verify_cosignature
from fieldpost.tlog.hashing import EMPTY_ROOT
from fieldpost.tlog.note import ED25519, Note, NoteSignature, VerifierKey, format_note, parse_note
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint, parse_checkpoint

__all__ = [
    "Checkpoint",
    "VerifiedSignature",
    "format_checkpoint",
    "index_keys",
    "keep_valid",
    "open_checkpoint",
    "parse_checkpoint",
    "sign_checkpoint",
]


@dataclass(frozen=True, slots=True)
class VerifiedSignature:
    """A signature that `key` made over the checkpoint it came with.

    `timestamp` is Unix seconds for a cosignature (0: no claim to be latest), None for a log's.
    """

    key: VerifierKey
    timestamp: int | None
    signature: NoteSignature


def sign_checkpoint(checkpoint: Checkpoint, *, name: str, signer: Signer) -> NoteSignature:
    """Sign as the log (type 0x01) a tree head that the caller has made durable.

    Raises Misconfigured unless the signer is Ed25519, ValueError for extension lines or a wrong
    empty root (bugs of the caller), and what the signer raises.
    """
    if checkpoint.extensions:
        raise ValueError("our checkpoints have no extension lines")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise ValueError("an empty tree has one root only")
    if signer.public_key.algorithm is not Algorithm.ED25519:
        raise Misconfigured("a log key is Ed25519; other keys cosign")
    key = VerifierKey(name, ED25519, signer.public_key.raw)
    return NoteSignature(name, key.key_id, signer.sign(format_checkpoint(checkpoint).encode()))


def open_checkpoint(
    note_bytes: bytes,
    known: Iterable[VerifierKey],
    *,
    origin: str | None = None,
    extensions: bool = False,
    quick_yes: Accepts | None = None,
) -> tuple[Checkpoint, tuple[VerifiedSignature, ...]]:
    """The checkpoint in a signed note, and the signatures of known keys, in the note's order.

    At least one is there. `quick_yes` is that of `verify_signature`.
    Raises Malformed for bytes that are no checkpoint, Untrusted for another origin than asked
    ("wrong-origin"), a bad signature by a known key ("bad-signature"), none by a known key
    ("unknown-key"), an impossible empty root ("bad-proof"); Misconfigured if two known keys share
    name and key id.
    """
    keys = index_keys(known)
    note = parse_note(note_bytes)
    checkpoint = parse_checkpoint(note.text, extensions=extensions)
    if origin is not None and checkpoint.origin != origin:
        raise Untrusted("wrong-origin", f"{checkpoint.origin} where {origin} was expected")
    verified = tuple(
        _verify(keys[signature.name, signature.key_id], checkpoint, signature, quick_yes)
        for signature in note.signatures
        if (signature.name, signature.key_id) in keys
    )
    if not verified:
        raise Untrusted("unknown-key", "no known key signed this checkpoint")
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise Untrusted("bad-proof", "a signed empty tree with a root that is not of nothing")
    return checkpoint, verified


def keep_valid(
    note_bytes: bytes, known: Iterable[VerifierKey], *, extensions: bool = False
) -> bytes:
    """The note with those lines alone that known keys made, in its order.

    Nobody accepts a note in which a true line stands beside one that a known key did not make;
    against whoever made the true one it is evidence all the same. Where no line holds, raises
    Untrusted: "bad-signature", or "unknown-key" if none claims to be by a known key; Malformed.
    """
    note = parse_note(note_bytes)
    checkpoint = parse_checkpoint(note.text, extensions=extensions)
    keys = dict.fromkeys(known)
    lines = tuple(line for line in note.signatures if _holds(checkpoint, line, keys))
    if lines:
        return format_note(Note(note.text, lines))
    names = {(key.name, key.key_id) for key in keys}
    if any((line.name, line.key_id) in names for line in note.signatures):
        raise Untrusted("bad-signature", "no line by a known key holds")
    raise Untrusted("unknown-key", "no known key signed this checkpoint")


def _holds(checkpoint: Checkpoint, line: NoteSignature, known: Iterable[VerifierKey]) -> bool:
    for key in known:
        if (key.name, key.key_id) == (line.name, line.key_id):
            with suppress(Untrusted):
                _verify(key, checkpoint, line)
                return True
    return False


def index_keys(known: Iterable[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    """Keys by (name, key id). Raises Misconfigured if that does not tell two of them apart."""
    keys: dict[tuple[str, bytes], VerifierKey] = {}
    for key in known:
        if keys.setdefault((key.name, key.key_id), key) != key:
            raise Misconfigured(f"two keys are called {key.name}+{key.key_id.hex()}")
    return keys


def _verify(
    key: VerifierKey,
    checkpoint: Checkpoint,
    signature: NoteSignature,
    quick_yes: Accepts | None = None,
) -> VerifiedSignature:
    if key.type == ED25519:
        text = format_checkpoint(checkpoint).encode()
        verify_signature(key.public_key, text, signature.payload, quick_yes)
        return VerifiedSignature(key, None, signature)
    try:
        cosignature = parse_cosignature(signature)
    except Malformed as error:
        raise Untrusted("bad-signature", f"the payload by {key.name} is none") from error
    verify_cosignature(key, checkpoint, cosignature, counted=False, quick_yes=quick_yes)
    return VerifiedSignature(key, cosignature.timestamp, signature)
