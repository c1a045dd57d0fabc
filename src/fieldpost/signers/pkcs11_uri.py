# SPDX-License-Identifier: Apache-2.0
"""A key in a token, by its `pkcs11:` URI (RFC 7512). Pure text, no token is asked.

    pkcs11:token=board;object=cosigner?module-path=/usr/lib/softhsm/libsofthsm2.so

What selects a token: `token` (its label), `serial`, `manufacturer`, `model`. What selects a key in
it: `object` (its label), `id`. Query: `module-path`, and `pin-source`, a file that holds the PIN.
A PIN itself is refused in a URI: a URI stands in files, arguments and logs.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from fieldpost.errors import Misconfigured

SCHEME: Final = "pkcs11:"
MOST_CHARACTERS: Final = 2_048
_PATH: Final = ("token", "serial", "manufacturer", "model", "object", "id", "type")
_QUERY: Final = ("module-path", "pin-source")
_VALUE: Final = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&/?|]|%[0-9A-Fa-f]{2})*")
_SAFE: Final = "-._~:[]@!$'()*+,="


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUri:
    """The parts of a URI, decoded. `id` is bytes; None: does not matter, or is not said."""

    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    object: str | None = None
    id: bytes | None = None
    module_path: str | None = None
    pin_source: str | None = None

    @property
    def names_key(self) -> bool:
        """Whether it says which key of the token it means."""
        return self.object is not None or self.id is not None

    @property
    def token_words(self) -> str:
        """The token, for messages."""
        selecting = (self.token, self.serial, self.manufacturer, self.model)
        return " ".join(word for word in selecting if word) or "(any)"

    @property
    def key_words(self) -> str:
        """The key, for messages."""
        identifier = None if self.id is None else f"id {self.id.hex()}"
        return ", ".join(word for word in (self.object, identifier) if word) or "(any)"

    def format(self) -> str:
        """The URI as text, in one way of writing."""
        path = {name: getattr(self, name) for name in _PATH[:5] if getattr(self, name) is not None}
        parts = [f"{name}={quote(value, safe=_SAFE)}" for name, value in path.items()]
        if self.id is not None:
            parts.append("id=" + "".join(f"%{octet:02x}" for octet in self.id))
        query = [
            f"{name}={quote(value, safe=_SAFE + '/')}"
            for name, value in (("module-path", self.module_path), ("pin-source", self.pin_source))
            if value is not None
        ]
        return SCHEME + ";".join(parts) + ("?" + "&".join(query) if query else "")


def is_token_uri(text: str) -> bool:
    """Whether the text announces such a URI."""
    return text.startswith(SCHEME)


def parse_token_uri(text: str) -> TokenUri:
    """Read a URI. Raises Misconfigured, and never repeats what may be a PIN."""
    if not is_token_uri(text) or len(text) > MOST_CHARACTERS:
        raise Misconfigured(f"a key in a token is written {SCHEME}token=LABEL;object=LABEL")
    path, _, query = text.removeprefix(SCHEME).partition("?")
    if "pin-value" in text:
        raise Misconfigured(
            "a PIN does not belong into a URI (pin-value): write it to a file that only you may "
            "read, and name that: ?pin-source=file:/path"
        )
    found = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
    if found.pop("type", b"private") != b"private":
        raise Misconfigured("a key to sign with is type=private")
    identifier = found.pop("id", None)
    try:
        words = {name.replace("-", "_"): value.decode() for name, value in found.items()}
    except UnicodeDecodeError:
        raise Misconfigured("a pkcs11: URI is UTF-8, apart from its id") from None
    return TokenUri(**words, id=identifier)


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(separator) if text else []:
        name, equals, value = part.partition("=")
        if name not in known:
            raise Misconfigured(f"pkcs11: URI: {name!r} is not known here; known: {known}")
        if not equals or not value or _VALUE.fullmatch(value) is None:
            raise Misconfigured(f"pkcs11: URI: {name} has no value, or one to be percent-encoded")
        if name in found:
            raise Misconfigured(f"pkcs11: URI: {name} is there twice")
        found[name] = unquote_to_bytes(value)
    return found
