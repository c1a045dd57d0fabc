# SPDX-License-Identifier: Apache-2.0
"""Offline proofs: one file that proves an entry to whoever holds the policy."""

import pytest

from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import Checkpoint, format_checkpoint, sign_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import ED25519, Note, VerifierKey, format_note
from fieldpost.tlog.offline import (
    OfflineProof,
    format_offline_proof,
    format_offline_proofs,
    parse_offline_proof,
    verify_offline_proof,
)
from fieldpost.tlog.policy import Log, Policy
from fieldpost.tlog.proof import prove_inclusion
from fieldpost.tlog.tree import MemoryTree

ORIGIN = "board.example/1"
LOG = DeterministicSigner(Algorithm.ED25519, "log")
POLICY = Policy(logs=(Log(VerifierKey(ORIGIN, ED25519, LOG.public_key.raw)),))
ENTRIES = [b"a", b"b", b"c"]
TREE = MemoryTree(leaf_hash(entry) for entry in ENTRIES)
HEAD = Checkpoint(ORIGIN, 3, TREE.root())
NOTE = format_note(Note(format_checkpoint(HEAD), (sign_checkpoint(HEAD, name=ORIGIN, signer=LOG),)))
PROOF = OfflineProof(
    index=1, path=prove_inclusion(TREE, index=1, size=3), checkpoint_note=NOTE, extra=b"hint"
)
BYTES = format_offline_proof(PROOF)


def test_the_file_is_that_of_the_specification() -> None:
    lines = BYTES.split(b"\n")
    assert lines[:3] == [b"c2sp.org/tlog-proof@v1", b"extra aGludA==", b"index 1"]
    assert BYTES.endswith(b"=\n\n" + NOTE)
    assert parse_offline_proof(BYTES) == PROOF


def test_proofs_that_are_formatted_together_are_those_of_each_alone() -> None:
    paths = [(index, prove_inclusion(TREE, index=index, size=3)) for index in (2, 0, 1, 0)]
    alone = [OfflineProof(index=i, path=path, checkpoint_note=NOTE) for i, path in paths]
    assert format_offline_proofs(paths, NOTE) == [format_offline_proof(one) for one in alone]
    assert format_offline_proofs([], NOTE) == []


def test_an_entry_of_the_log_is_proved() -> None:
    assert verify_offline_proof(b"b", PROOF, POLICY) == HEAD


def test_an_entry_that_is_not_there_is_not_proved() -> None:
    with pytest.raises(Untrusted) as caught:
        verify_offline_proof(b"x", PROOF, POLICY)
    assert caught.value.reason == "bad-proof"


def test_another_place_in_the_log_is_not_proved() -> None:
    for index in (0, 2, 3):
        moved = OfflineProof(index=index, path=PROOF.path, checkpoint_note=NOTE)
        with pytest.raises((Untrusted, Malformed)):
            verify_offline_proof(b"b", moved, POLICY)


def test_a_log_outside_the_policy_proves_nothing() -> None:
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger").public_key.raw
    policy = Policy(logs=(Log(VerifierKey(ORIGIN, ED25519, stranger)),))
    with pytest.raises(Untrusted):
        verify_offline_proof(b"b", PROOF, policy)


def test_extra_data_is_nobodys_word() -> None:
    """It is not authenticated: with another hint the proof holds just as well."""
    other = OfflineProof(index=1, path=PROOF.path, checkpoint_note=NOTE, extra=b"lie")
    assert verify_offline_proof(b"b", other, POLICY) == HEAD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"@v1", b"@v2"),
        (b"extra aGludA==", b"extra "),
        (b"extra aGludA==", b"extra aGludB=="),
        (b"extra aGludA==", b"extra aGludA==\nextra aGludA=="),
        (b"index 1", b"index 01"),
        (b"index 1", b"index -1"),
        (b"index 1", b"index  1"),
        (b"index 1", b"index 9223372036854775808"),
        (b"index 1\n", b""),
        (b"index 1\n", b"index 1\n\n"),
        (b"index 1\n", b"index 1\nAAAA\n"),
        (b"index 1\n", b"index 1\r\n"),
        (b"index 1", b"index \xd9\xa1"),
        (b"\n\n", b"\n"),
        (b"\n\n" + NOTE, b""),
        (b"\n\n" + NOTE, b"\n\n"),
        (b"index 1\n", b"index 1\n" + (b"A" * 43 + b"=\n") * 64),
        (b"index 1\n", b"index 1\n" + b"A" * 200_000),
    ],
)
def test_any_other_spelling_is_malformed(old: bytes, new: bytes) -> None:
    assert old in BYTES
    with pytest.raises(Malformed):
        parse_offline_proof(BYTES.replace(old, new))


def test_what_cannot_be_written_cannot_be_made() -> None:
    for index, extra in ((-1, None), (2**63, None), (0, b""), (0, bytes(65_536))):
        with pytest.raises(Malformed):
            OfflineProof(index=index, path=(), checkpoint_note=NOTE, extra=extra)
