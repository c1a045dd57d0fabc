# SPDX-License-Identifier: Apache-2.0
"""PKCS#8 private keys as PEM text, plain or encrypted (RFC 5958, RFC 7468).

Encryption is PBES2 (RFC 8018) with scrypt (RFC 7914, N = 2^14, r = 8, p = 5) and AES-256-CBC:
16 MiB and about 0.15 s for each guess, and within what `openssl pkey` opens by default. It is
written here because the library's own encryption derives keys with 2,048 rounds of PBKDF2,
which is too cheap to guess against. Any PBES2 file that the library knows can be read.
"""

import base64
import secrets
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fieldpost.errors import Malformed, Untrusted

_PLAIN: Final = "PRIVATE KEY"
_ENCRYPTED: Final = "ENCRYPTED PRIVATE KEY"
_SCRYPT_N: Final = 2**14
_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 5
_BLOCK_BYTES: Final = 16

_SEQUENCE, _INTEGER, _OCTETS = 0x30, 0x02, 0x04
_OID_PBES2: Final = bytes.fromhex("06092a864886f70d01050d")
_OID_SCRYPT: Final = bytes.fromhex("06092b06010401da47040b")
_OID_AES_256_CBC: Final = bytes.fromhex("060960864801650304012a")


def is_encrypted(pem: bytes) -> bool:
    """Whether the text announces an encrypted key."""
    return f"-----BEGIN {_ENCRYPTED}-----".encode() in pem


def format_private_key(der: bytes, passphrase: bytes | None) -> bytes:
    """PEM text of a PKCS#8 key, encrypted unless `passphrase` is None."""
    if passphrase is None:
        return _pem(_PLAIN, der)
    salt, iv = secrets.token_bytes(_BLOCK_BYTES), secrets.token_bytes(_BLOCK_BYTES)
    kdf = Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P)
    pad = PKCS7(8 * _BLOCK_BYTES).padder()
    encryptor = Cipher(AES256(kdf.derive(passphrase)), CBC(iv)).encryptor()
    ciphertext = encryptor.update(pad.update(der) + pad.finalize()) + encryptor.finalize()
    derivation = _sequence(
        _OID_SCRYPT,
        _sequence(
            _element(_OCTETS, salt), _integer(_SCRYPT_N), _integer(_SCRYPT_R), _integer(_SCRYPT_P)
        ),
    )
    scheme = _sequence(_OID_AES_256_CBC, _element(_OCTETS, iv))
    algorithm = _sequence(_OID_PBES2, _sequence(derivation, scheme))
    return _pem(_ENCRYPTED, _sequence(algorithm, _element(_OCTETS, ciphertext)))


def parse_private_key(pem: bytes, passphrase: bytes | None) -> bytes:
    """The PKCS#8 key (DER, unencrypted) of PEM text.

    Raises Malformed for text that is no such key, Untrusted("wrong-passphrase").
    """
    try:
        private = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if passphrase is not None and is_encrypted(pem):
            raise Untrusted("wrong-passphrase") from error
        raise Malformed("not a PEM private key") from error
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _element(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def _integer(number: int) -> bytes:
    return _element(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _sequence(*parts: bytes) -> bytes:
    return _element(_SEQUENCE, b"".join(parts))


def _pem(label: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()
