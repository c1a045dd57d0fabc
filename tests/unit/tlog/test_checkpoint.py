# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: their text, and whose signature makes one believable."""

import pytest

from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import (
    Checkpoint,
    format_checkpoint,
    index_keys,
    keep_valid,
    open_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)
from fieldpost.tlog.cosignature import cosign, cosigner_key, format_cosignature
from fieldpost.tlog.hashing import EMPTY_ROOT
from fieldpost.tlog.note import ED25519, Note, NoteSignature, VerifierKey, format_note

ORIGIN = "board.example/1"
HEAD = Checkpoint(ORIGIN, 20_852_163, bytes(range(32)))
TEXT = "board.example/1\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
LOG = DeterministicSigner(Algorithm.ED25519, "log")
OTHER = DeterministicSigner(Algorithm.ED25519, "other log")
WITNESS = DeterministicSigner(Algorithm.ED25519, "witness")
LOG_KEY = VerifierKey(ORIGIN, ED25519, LOG.public_key.raw)
OTHER_KEY = VerifierKey(ORIGIN, ED25519, OTHER.public_key.raw)
WITNESS_KEY = cosigner_key("witness.example", WITNESS.public_key)


def note(*signatures: NoteSignature, checkpoint: Checkpoint = HEAD) -> bytes:
    return format_note(Note(format_checkpoint(checkpoint), signatures))


def signed(checkpoint: Checkpoint = HEAD) -> NoteSignature:
    return sign_checkpoint(checkpoint, name=ORIGIN, signer=LOG)


def cosigned(timestamp: int = 1_790_000_000) -> NoteSignature:
    made = cosign(HEAD, name=WITNESS_KEY.name, signer=WITNESS, timestamp=timestamp)
    return format_cosignature(made, name=WITNESS_KEY.name)


def test_a_checkpoint_is_three_lines() -> None:
    assert format_checkpoint(HEAD) == TEXT
    assert parse_checkpoint(TEXT) == HEAD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        TEXT[:-1],
        TEXT + "\n",
        "\n" + TEXT,
        TEXT.replace("20852163", "020852163"),
        TEXT.replace("20852163", "+20852163"),
        TEXT.replace("20852163", "2_0"),
        TEXT.replace("20852163", "\u0662"),
        TEXT.replace("20852163", "-1"),
        TEXT.replace("20852163", str(2**63)),
        TEXT.replace("20852163", ""),
        TEXT.replace("8=", "8"),
        TEXT.replace("8=", "9="),
        TEXT.replace("AAEC", ""),
        TEXT.replace(ORIGIN, "a" * 256),
        TEXT.replace(ORIGIN, "a\rb"),
        TEXT.replace("\n", "\r\n"),
    ],
)
def test_any_other_spelling_of_a_checkpoint_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_checkpoint(text)


def test_extension_lines_are_malformed_unless_asked_for() -> None:
    with pytest.raises(Malformed):
        parse_checkpoint(TEXT + "more\n")
    theirs = parse_checkpoint(TEXT + "more\n", extensions=True)
    assert theirs.extensions == ("more",)
    assert format_checkpoint(theirs) == TEXT + "more\n"
    with pytest.raises(Malformed):
        parse_checkpoint(TEXT + "\nmore\n", extensions=True)
    with pytest.raises(ValueError, match="extension"):
        signed(theirs)


def test_a_log_and_a_witness_open_a_checkpoint_together() -> None:
    data = note(signed(), cosigned())
    checkpoint, verified = open_checkpoint(data, [LOG_KEY, WITNESS_KEY], origin=ORIGIN)
    assert checkpoint == HEAD
    assert [(item.key, item.timestamp) for item in verified] == [
        (LOG_KEY, None),
        (WITNESS_KEY, 1_790_000_000),
    ]


def test_unknown_keys_are_ignored_but_not_alone_enough() -> None:
    data = note(signed(), cosigned())
    _, verified = open_checkpoint(data, [WITNESS_KEY])
    assert [item.key for item in verified] == [WITNESS_KEY]
    for nobody in ([], [OTHER_KEY]):
        with pytest.raises(Untrusted) as caught:
            open_checkpoint(data, nobody)
        assert caught.value.reason == "unknown-key"


@pytest.mark.parametrize(
    "payload", [b"x", bytes(63), bytes(64), bytes(7), bytes(8), bytes(72), bytes(2428)]
)
@pytest.mark.parametrize("key", [LOG_KEY, WITNESS_KEY])
def test_a_bad_signature_by_a_known_key_spoils_the_note(key: VerifierKey, payload: bytes) -> None:
    data = note(signed(), cosigned(), NoteSignature(key.name, key.key_id, payload))
    with pytest.raises(Untrusted) as caught:
        open_checkpoint(data, [LOG_KEY, WITNESS_KEY])
    assert caught.value.reason == "bad-signature"


def test_only_lines_that_known_keys_made_are_kept_as_evidence() -> None:
    """In their order, and those alone: one invented line takes nothing from the true ones."""
    true, invented = signed(), NoteSignature(ORIGIN, OTHER_KEY.key_id, bytes(64))
    stranger = NoteSignature("stranger", b"\x01\x02\x03\x04", bytes(64))
    known = [LOG_KEY, OTHER_KEY, WITNESS_KEY]
    mixed = note(cosigned(), invented, stranger, true)
    with pytest.raises(Untrusted, match="bad-signature"):
        open_checkpoint(mixed, known)
    assert keep_valid(mixed, known) == note(cosigned(), true)
    with pytest.raises(Untrusted, match="bad-signature"):
        keep_valid(note(invented, stranger), known)
    with pytest.raises(Untrusted, match="unknown-key"):
        keep_valid(note(stranger), known)


def test_a_signature_for_another_size_or_root_or_origin_spoils_the_note() -> None:
    for other in (
        Checkpoint(ORIGIN, HEAD.size + 1, HEAD.root),
        Checkpoint(ORIGIN, HEAD.size, bytes(32)),
        Checkpoint("board.example/2", HEAD.size, HEAD.root),
    ):
        with pytest.raises(Untrusted):
            open_checkpoint(note(signed(), checkpoint=other), [LOG_KEY])


def test_a_checkpoint_of_another_origin_is_refused_even_when_signed() -> None:
    with pytest.raises(Untrusted) as caught:
        open_checkpoint(note(signed()), [LOG_KEY], origin="board.example/2")
    assert caught.value.reason == "wrong-origin"


def test_an_empty_tree_has_one_root() -> None:
    empty = Checkpoint(ORIGIN, 0, EMPTY_ROOT)
    assert open_checkpoint(note(signed(empty), checkpoint=empty), [LOG_KEY])[0] == empty
    lie = Checkpoint(ORIGIN, 0, bytes(32))
    with pytest.raises(ValueError, match="one root"):
        signed(lie)
    forged = NoteSignature(ORIGIN, LOG_KEY.key_id, LOG.sign(format_checkpoint(lie).encode()))
    with pytest.raises(Untrusted) as caught:
        open_checkpoint(note(forged, checkpoint=lie), [LOG_KEY])
    assert caught.value.reason == "bad-proof"


def test_only_ed25519_keys_sign_as_a_log() -> None:
    for algorithm in (Algorithm.ESP256, Algorithm.ML_DSA_44):
        with pytest.raises(Misconfigured):
            sign_checkpoint(HEAD, name=ORIGIN, signer=DeterministicSigner(algorithm, "log"))


def test_one_key_may_be_listed_twice() -> None:
    assert list(index_keys([LOG_KEY, LOG_KEY, OTHER_KEY]).values()) == [LOG_KEY, OTHER_KEY]
