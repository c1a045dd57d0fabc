# SPDX-License-Identifier: Apache-2.0
"""Signed notes: text under which several keys put their lines (C2SP signed-note).

    <text, one or more lines>
    <blank line>
    — <name> <base64(key id ‖ payload)>         one line for each signature

    vkey     <name>+<8 hex of key id>+<base64(type ‖ public key)>
    key id   SHA-256(name ‖ 0A ‖ type ‖ public key)[:4]

One encoding per value: what parses formats back to the same bytes. Key ids are short, so they
name a key and prove nothing; what a signature covers is the business of its type.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Final

from fieldpost.errors import Malformed
from fieldpost.keys import PUBLIC_KEY_BYTES, Algorithm, PublicKey

ED25519: Final = 0x01
COSIGNATURE_ED25519: Final = 0x04
COSIGNATURE_MLDSA44: Final = 0x06
ALGORITHMS: Final = {
    ED25519: Algorithm.ED25519,
    COSIGNATURE_ED25519: Algorithm.ED25519,
    COSIGNATURE_MLDSA44: Algorithm.ML_DSA_44,
}

KEY_ID_BYTES: Final = 4
MAX_NAME_BYTES: Final = 255
MAX_SIGNATURES: Final = 64
MAX_NOTE_BYTES: Final = 262_144

_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_UNFIT: Final = re.compile(r"[\x00-\x1f\s+]")
_KEY_ID: Final = re.compile(r"[0-9a-f]{8}")


@lru_cache(maxsize=1_024)
def key_id_of(name: str, type: int, public: bytes) -> bytes:  # noqa: A002 - the spec's word
    """The 4-byte id of the key under that name and signature type.

    Kept, because the same few cosigners are looked up at every check-in and every batch.
    """
    return sha256(name.encode() + b"\n" + bytes((type,)) + public).digest()[:KEY_ID_BYTES]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under a name, for one signature type (0x01, 0x04 or 0x06).

    `public` is raw: 32 bytes for Ed25519, 1312 for ML-DSA-44. Raises Malformed for other types,
    lengths, and names that a note cannot carry.
    """

    name: str
    type: int
    public: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if self.type not in ALGORITHMS:
            raise Malformed(f"a verifier key of type {self.type:#04x}; known are 0x01, 0x04, 0x06")
        if len(self.public) != PUBLIC_KEY_BYTES[ALGORITHMS[self.type]]:
            raise Malformed(f"a verifier key of type {self.type:#04x} has a wrong length")

    @property
    def key_id(self) -> bytes:
        """4 bytes; with the name it says which key made a signature."""
        return key_id_of(self.name, self.type, self.public)

    @property
    def public_key(self) -> PublicKey:
        """The key as `fieldpost.keys.verify_signature` takes it."""
        return PublicKey(ALGORITHMS[self.type], self.public)


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line. `payload` is what follows the key id: not empty, its form unchecked."""

    name: str
    key_id: bytes
    payload: bytes

    def __post_init__(self) -> None:
        check_key_name(self.name)
        if len(self.key_id) != KEY_ID_BYTES or not self.payload:
            raise Malformed("a note signature needs a key id of 4 bytes and a payload")


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and 1 to 64 signatures in their order. Nothing is verified."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def __post_init__(self) -> None:
        if not self.text.endswith("\n") or _CONTROL.search(self.text):
            raise Malformed("a note's text ends in a newline and has no control characters")
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise Malformed(f"a note carries 1 to {MAX_SIGNATURES} signatures")


def check_key_name(name: str) -> None:
    """Raises Malformed unless `name` is 1 to 255 bytes of UTF-8 without spaces, '+', controls."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise Malformed("a key name is not UTF-8") from error
    if not 1 <= size <= MAX_NAME_BYTES:
        raise Malformed(f"a key name of {size} bytes")
    if _UNFIT.search(name):
        raise Malformed("a key name has a space, a plus or a control character")


def parse_base64(text: str) -> bytes:
    """Standard base64 with padding, in its one canonical spelling. Raises Malformed."""
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError) as error:
        raise Malformed("not base64") from error
    if format_base64(data) != text:
        raise Malformed("base64 with stray bits or characters")
    return data


def format_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 §4)."""
    return b64encode(data).decode("ascii")


def parse_vkey(text: str) -> VerifierKey:
    """Read `<name>+<key id>+<base64>`. Raises Malformed, also if the key id does not fit."""
    name, plus, rest = text.partition("+")
    key_id, second_plus, encoded = rest.partition("+")
    if not (plus and second_plus and _KEY_ID.fullmatch(key_id)):
        raise Malformed("a verifier key is written <name>+<8 lower-case hex>+<base64>")
    data = parse_base64(encoded)
    if not data:
        raise Malformed("a verifier key without type and key")
    key = VerifierKey(name, data[0], data[1:])
    if key.key_id.hex() != key_id:
        raise Malformed(f"the key id of {name} should be {key.key_id.hex()}")
    return key


def format_vkey(key: VerifierKey) -> str:
    """Write a key as a vkey."""
    return f"{key.name}+{key.key_id.hex()}+{format_base64(bytes((key.type,)) + key.public)}"


def parse_signature_lines(text: str) -> tuple[NoteSignature, ...]:
    """Read signature lines, each ended by a newline: a note's tail, or a witness's answer.

    Raises Malformed for anything else, no line at all and more than 64 included.
    """
    if not text.endswith("\n"):
        raise Malformed("signature lines end in a newline")
    lines = text[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed(f"more than {MAX_SIGNATURES} signature lines")
    return tuple(_parse_signature_line(line) for line in lines)


def _parse_signature_line(line: str) -> NoteSignature:
    match line.split(" "):
        case ["\u2014", name, encoded]:
            data = parse_base64(encoded)
            return NoteSignature(name, data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])
        case _:
            raise Malformed("a signature line is an em dash, a name and base64")


def format_signature_lines(signatures: Iterable[NoteSignature]) -> str:
    """Write signature lines, each ended by a newline."""
    return "".join(f"\u2014 {s.name} {format_base64(s.key_id + s.payload)}\n" for s in signatures)


def parse_note(data: bytes) -> Note:
    """Split a note of at most 262,144 bytes into text and signatures; verifies nothing.

    Raises Malformed.
    """
    if len(data) > MAX_NOTE_BYTES:
        raise Malformed(f"a note over {MAX_NOTE_BYTES} bytes")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("a note must be UTF-8") from error
    # The text itself may hold blank lines, so the last one is the seam.
    text, seam, tail = whole.rpartition("\n\n")
    if not seam:
        raise Malformed("a note needs a blank line before its signatures")
    return Note(text + "\n", parse_signature_lines(tail))


def format_note(note: Note) -> bytes:
    """The bytes of a note."""
    return f"{note.text}\n{format_signature_lines(note.signatures)}".encode()
