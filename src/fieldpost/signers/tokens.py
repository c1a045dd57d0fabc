# SPDX-License-Identifier: Apache-2.0
"""Keys in tokens by their URI: which module, which PIN, and a signer or a new key.

The module is what the URI says (`module-path`), or FIELDPOST_PKCS11_MODULE. Needs the extra
`pkcs11`, which only whoever names a token installs.
"""

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fieldpost.errors import Misconfigured
from fieldpost.keys import Algorithm, Signer
from fieldpost.signers.pkcs11_uri import TokenUri, parse_token_uri
from fieldpost.signers.token_pin import Prompt, find_pin

if TYPE_CHECKING:
    from types import ModuleType

MODULE_VARIABLE: Final = "FIELDPOST_PKCS11_MODULE"
_ID_BYTES: Final = 16


def open_token_key(text: str, prompt: Prompt | None = None) -> Signer:
    """The signer of the key that a URI names.

    Raises Misconfigured for what the owner must mend, Unavailable for a token that is away.
    """
    uri = parse_token_uri(text)
    if not uri.names_key:
        raise Misconfigured(f"{text.partition('?')[0]} names a token; name a key of it: object=…")
    return _library().TokenSigner(uri, _pin_of(uri, prompt), module=_module_of(uri))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class KeyMaker:
    """Makes keys on one token, each with a label and an id of its own."""

    uri: TokenUri
    prompt: Prompt | None = None

    @staticmethod
    def on(text: str, prompt: Prompt | None = None) -> "KeyMaker":
        """From the URI of a token. Raises Misconfigured."""
        uri = parse_token_uri(text)
        if uri.names_key:
            raise Misconfigured("name the token alone: its new keys get names of their own")
        return KeyMaker(uri, prompt)

    def make(self, algorithm: Algorithm, label: str) -> str:
        """Make a key pair; the URI that names it. Raises Misconfigured, Unavailable."""
        made: TokenUri = _library().make_token_key(
            self.uri,
            algorithm,
            _pin_of(self.uri, self.prompt),
            module=_module_of(self.uri),
            label=label,
            identifier=secrets.token_bytes(_ID_BYTES),
        )
        return made.format()


def _library() -> "ModuleType":
    try:
        from fieldpost.signers import pkcs11
    except ModuleNotFoundError as error:
        if error.name != "pkcs11":
            raise
        raise Misconfigured("keys in tokens need: pip install 'fieldpost[pkcs11]'") from error
    return pkcs11


def _pin_of(uri: TokenUri, prompt: Prompt | None) -> Callable[[], str]:
    return lambda: find_pin(uri, os.environ, prompt)


def _module_of(uri: TokenUri) -> str:
    module = uri.module_path or os.environ.get(MODULE_VARIABLE)
    if not module:
        raise Misconfigured(
            "which PKCS#11 module? its maker's manual says; write it into the URI, "
            f"?module-path=/path/to/module.so, or set {MODULE_VARIABLE}"
        )
    return module
