# SPDX-License-Identifier: Apache-2.0
"""Cosignatures: the exact bytes that are signed, and what a timestamp is worth."""

import pytest

from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.cosignature import (
    MAX_TIMESTAMP,
    Cosignature,
    cosign,
    cosigned_message,
    cosigner_key,
    format_cosignature,
    parse_cosignature,
    verify_cosignature,
)
from fieldpost.tlog.note import (
    COSIGNATURE_ED25519,
    COSIGNATURE_MLDSA44,
    ED25519,
    NoteSignature,
    VerifierKey,
)
from fieldpost.tlog.treehead import Checkpoint

HEAD = Checkpoint("board.example/1", 0x0102, bytes(range(32)))
NAME = "cosigner.example"
OLD = DeterministicSigner(Algorithm.ED25519, "cosigner")
NEW = DeterministicSigner(Algorithm.ML_DSA_44, "cosigner")
OLD_KEY = cosigner_key(NAME, OLD.public_key)
NEW_KEY = cosigner_key(NAME, NEW.public_key)
BOTH = pytest.mark.parametrize(("signer", "key"), [(OLD, OLD_KEY), (NEW, NEW_KEY)])


def test_the_algorithm_decides_the_type() -> None:
    assert OLD_KEY.type == COSIGNATURE_ED25519
    assert NEW_KEY.type == COSIGNATURE_MLDSA44
    with pytest.raises(Misconfigured):
        cosigner_key(NAME, DeterministicSigner(Algorithm.ESP256, "cosigner").public_key)


def test_ed25519_signs_two_lines_and_the_checkpoint() -> None:
    assert cosigned_message(OLD_KEY, HEAD, 1_679_315_147) == (
        b"cosignature/v1\ntime 1679315147\nboard.example/1\n258\n"
        b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    )


def test_ml_dsa_signs_a_structure_with_the_cosigners_name() -> None:
    assert cosigned_message(NEW_KEY, HEAD, 0x0304) == bytes.fromhex(
        "737562747265652f76310a00"
        "10" + NAME.encode().hex() + "0000000000000304"
        "0f" + b"board.example/1".hex() + "0000000000000000"
        "0000000000000102" + bytes(range(32)).hex()
    )


def test_a_logs_own_key_does_not_cosign() -> None:
    with pytest.raises(ValueError, match="0x01"):
        cosigned_message(VerifierKey(NAME, ED25519, bytes(32)), HEAD, 1)


@BOTH
def test_a_cosignature_verifies_and_travels_in_a_note(
    signer: DeterministicSigner, key: VerifierKey
) -> None:
    made = cosign(HEAD, name=NAME, signer=signer, timestamp=1_790_000_000)
    line = format_cosignature(made, name=NAME)
    assert len(line.payload) == 8 + len(made.signature)
    assert verify_cosignature(key, HEAD, parse_cosignature(line)) == made


@BOTH
def test_a_cosignature_holds_for_one_time_and_one_tree_only(
    signer: DeterministicSigner, key: VerifierKey
) -> None:
    made = cosign(HEAD, name=NAME, signer=signer, timestamp=1_790_000_000)
    later = Cosignature(made.key_id, made.timestamp + 1, made.signature)
    lies = [
        (later, HEAD),
        (made, Checkpoint(HEAD.origin, HEAD.size + 1, HEAD.root)),
        (made, Checkpoint(HEAD.origin, HEAD.size, bytes(32))),
        (made, Checkpoint("board.example/2", HEAD.size, HEAD.root)),
    ]
    for cosignature, checkpoint in lies:
        with pytest.raises(Untrusted) as caught:
            verify_cosignature(key, checkpoint, cosignature)
        assert caught.value.reason == "bad-signature"


def test_only_ml_dsa_binds_the_cosigners_name() -> None:
    """Why one Ed25519 key must not serve two names: a relabelled 0x04 line still verifies."""
    for signer, bound in ((OLD, False), (NEW, True)):
        other = cosigner_key("other.example", signer.public_key)
        made = cosign(HEAD, name=NAME, signer=signer, timestamp=7)
        relabelled = Cosignature(other.key_id, made.timestamp, made.signature)
        if bound:
            with pytest.raises(Untrusted):
                verify_cosignature(other, HEAD, relabelled)
        else:
            assert verify_cosignature(other, HEAD, relabelled) == relabelled


def test_another_keys_id_is_not_even_checked() -> None:
    made = cosign(HEAD, name=NAME, signer=OLD, timestamp=7)
    with pytest.raises(Untrusted) as caught:
        verify_cosignature(NEW_KEY, HEAD, made)
    assert caught.value.reason == "unknown-key"


def test_timestamp_zero_is_a_statement_but_never_counts() -> None:
    made = Cosignature(NEW_KEY.key_id, 0, NEW.sign(cosigned_message(NEW_KEY, HEAD, 0)))
    assert verify_cosignature(NEW_KEY, HEAD, made, counted=False) == made
    with pytest.raises(Untrusted) as caught:
        verify_cosignature(NEW_KEY, HEAD, made)
    assert caught.value.reason == "no-timestamp"


@pytest.mark.parametrize("timestamp", [0, -1, MAX_TIMESTAMP + 1])
def test_nobody_cosigns_without_a_time(timestamp: int) -> None:
    with pytest.raises(ValueError, match="clock"):
        cosign(HEAD, name=NAME, signer=OLD, timestamp=timestamp)


@pytest.mark.parametrize(
    "payload",
    [b"x", bytes(8), bytes(71), bytes(73), bytes(2427), b"\x80" + bytes(71), b"\xff" * 72],
)
def test_a_payload_of_another_shape_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed):
        parse_cosignature(NoteSignature(NAME, bytes(4), payload))


def test_a_key_id_of_another_length_is_malformed() -> None:
    with pytest.raises(Malformed):
        Cosignature(bytes(3), 1, bytes(64))
