# SPDX-License-Identifier: Apache-2.0
"""Signed notes: the specification's own example, and what is refused."""

import pytest

from fieldpost.errors import Malformed, Untrusted
from fieldpost.keys import verify_signature
from fieldpost.tlog.note import (
    ED25519,
    Note,
    NoteSignature,
    VerifierKey,
    format_note,
    format_vkey,
    parse_note,
    parse_signature_lines,
    parse_vkey,
)

VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SIGNED = (
    "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi"
    "2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
LINE = "\u2014 a.example AAAAAQI="


def test_the_key_of_the_specification_has_the_id_that_it_states() -> None:
    key = parse_vkey(VKEY)
    assert (key.name, key.type, key.key_id.hex()) == ("example.com/foo", ED25519, "530d903a")
    assert format_vkey(key) == VKEY


def test_the_note_of_the_specification_verifies_and_a_changed_one_does_not() -> None:
    key, note = parse_vkey(VKEY), parse_note(SIGNED)
    (signature,) = note.signatures
    assert (signature.name, signature.key_id) == (key.name, key.key_id)
    verify_signature(key.public_key, note.text.encode(), signature.payload)
    with pytest.raises(Untrusted):
        verify_signature(key.public_key, note.text.upper().encode(), signature.payload)
    assert format_note(note) == SIGNED


@pytest.mark.parametrize(
    "text",
    [
        VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("+530d903a", ""),
        VKEY.replace("foo", "f o"),
        VKEY.replace("example.com/foo", ""),
        VKEY + "\n",
        VKEY + "AA==",
        "a+00000000+",
        "a+00000000+Ag==",
        VKEY.replace("k", "k\u00e9"),
    ],
)
def test_any_other_spelling_of_a_key_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_vkey(text)


@pytest.mark.parametrize("kind", [0, 2, 3, 5, 0xFF, 256, -1])
def test_keys_of_types_that_we_cannot_verify_are_malformed(kind: int) -> None:
    with pytest.raises(Malformed):
        VerifierKey("a.example", kind, bytes(32))


def test_a_key_of_another_length_is_malformed() -> None:
    with pytest.raises(Malformed):
        VerifierKey("a.example", ED25519, bytes(33))


@pytest.mark.parametrize(
    "whole",
    [
        "",
        "text\n",
        f"text\n{LINE}\n",
        f"text\n\n{LINE}",
        "text\n\n",
        f"text\n\n{LINE}\n\n",
        f"\x00text\n\n{LINE}\n",
        f"te\txt\n\n{LINE}\n",
        f"te\r\n\n{LINE}\n",
        "text\n\n- a.example AAAAAQI=\n",
        "text\n\n\u2014 a.example AAAAAQI\n",
        "text\n\n\u2014 a.example AAAAAQJ=\n",
        "text\n\n\u2014 a.example AAAAAQ==\n",
        "text\n\n\u2014 a.example  AAAAAQI=\n",
        "text\n\n\u2014 a+b AAAAAQI=\n",
        "text\n\n\u2014 a\u00a0b AAAAAQI=\n",
        f"text\n\n{LINE} \n",
        "text\n\n\u2014 " + "a" * 256 + " AAAAAQI=\n",
        "text\n\n" + f"{LINE}\n" * 65,
        "t" * 262_144 + f"\n\n{LINE}\n",
    ],
)
def test_what_is_no_note_is_malformed(whole: str) -> None:
    with pytest.raises(Malformed):
        parse_note(whole.encode())


def test_bytes_that_are_not_utf_8_are_malformed() -> None:
    with pytest.raises(Malformed):
        parse_note(b"\xff" + SIGNED)


def test_a_text_with_blank_lines_is_split_at_the_last() -> None:
    note = parse_note(f"one\n\ntwo\n\n\n{LINE}\n".encode())
    assert note.text == "one\n\ntwo\n\n"
    assert note.signatures == (NoteSignature("a.example", b"\0\0\0\1", b"\2"),)


@pytest.mark.parametrize("count", [1, 16, 64])
def test_a_note_carries_up_to_64_signatures(count: int) -> None:
    assert len(parse_note(f"text\n\n{(LINE + chr(10)) * count}".encode()).signatures) == count


def test_sixteen_post_quantum_signatures_fit_in_a_note() -> None:
    signature = NoteSignature("a" * 255, bytes(4), bytes(5000))
    note = Note("text\n", (signature,) * 16)
    assert parse_note(format_note(note)) == note


def test_a_note_without_signatures_or_last_newline_cannot_be_made() -> None:
    signature = NoteSignature("a.example", bytes(4), b"x")
    for text, signatures in (("text\n", ()), ("text", (signature,)), ("a\x07\n", (signature,))):
        with pytest.raises(Malformed):
            Note(text, signatures)


@pytest.mark.parametrize("text", ["", "\n", LINE, LINE + "\n\n", LINE + "\n" + LINE])
def test_signature_lines_all_end_in_a_newline(text: str) -> None:
    with pytest.raises(Malformed):
        parse_signature_lines(text)
