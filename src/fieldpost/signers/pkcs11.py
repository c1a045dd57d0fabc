# SPDX-License-Identifier: Apache-2.0
"""Private keys in a token or secure element, through its PKCS#11 module.

The key never leaves the token; every signature that comes back is verified before it is used, so
neither a fault of the token nor a high half of P-256's s gets further. Keys are Ed25519
(CKM_EDDSA, PKCS#11 3.0) or P-256 (CKM_ECDSA over the SHA-256).

The library behind a module is one for a process, and so is a login to a token: signers of one
token share a connection. It is opened again after the token was away. A PIN that the token refused
is not tried again in this process: every wrong one brings the token nearer to locking itself.
"""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any, Final, NoReturn, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag
from pkcs11 import exceptions as failures

from fieldpost.errors import Malformed, Misconfigured, Unavailable, Untrusted
from fieldpost.keys import Algorithm, PublicKey, check_key, low_s, verify_signature
from fieldpost.signers.pkcs11_uri import TokenUri

T = TypeVar("T")

# DER of the curves' object identifiers: CKA_EC_PARAMS.
_P256: Final = bytes.fromhex("06082a8648ce3d030107")
_ED25519: Final = bytes.fromhex("06032b6570")
_ED25519_NAMES: Final = frozenset({_ED25519, b"\x13\x0cedwards25519"})

_PIN_TROUBLE: Final = (
    failures.PinIncorrect,
    failures.PinInvalid,
    failures.PinLenRange,
    failures.PinLocked,
    failures.PinExpired,
)


class _Connection:
    """The one logged-in session of this process with a token."""

    def __init__(self, module: str, uri: TokenUri, pin: Callable[[], str]) -> None:
        self._module = module
        self._uri = uri
        self._ask = pin
        self._pin: str | None = None
        self._refused: str | None = None
        self._session: pkcs11.Session | None = None
        self._lock = RLock()

    def run(self, work: Callable[[pkcs11.Session], T], *, again: Callable[[], None]) -> T:
        """Do `work` in the session; where that was lost, open it, call `again`, and try once more.

        Raises Unavailable where the token is away or fails, Misconfigured for PIN and module.
        """
        with self._lock:
            try:
                return work(self._opened())
            except failures.PKCS11Error as lost:
                self._session = None
                again()
                try:
                    return work(self._opened())
                except failures.PKCS11Error as error:
                    self._session = None
                    raise Unavailable(
                        f"the token {self._uri.token_words} failed ({_name(error)}, after "
                        f"{_name(lost)}): nothing was signed; look whether it is connected"
                    ) from error

    def _opened(self) -> pkcs11.Session:
        if self._session is None:
            if self._refused is not None:
                raise Misconfigured(self._refused)
            try:
                self._session = self._login(self._token(fresh=False))
            except (failures.PKCS11Error, Unavailable):
                # Some modules notice a token that came back only when they begin anew.
                self._session = self._login(self._token(fresh=True))
        return self._session

    def _token(self, *, fresh: bool) -> pkcs11.Token:
        library = _library(self._module)
        if fresh:
            library.reinitialize()
        found: list[pkcs11.Token] = [
            token for token in library.get_tokens() if _is_meant(token, self._uri)
        ]
        if not found:
            raise Unavailable(
                f"there is no token {self._uri.token_words} at {self._module}: connect it; nothing "
                "was signed"
            )
        if len(found) > 1:
            serials = ", ".join(sorted(_serial(token) for token in found))
            raise Misconfigured(
                f"several tokens are {self._uri.token_words}: say which, serial=… ({serials})"
            )
        return found[0]

    def _login(self, token: pkcs11.Token) -> pkcs11.Session:
        if self._pin is None:
            self._pin = self._ask()
        try:
            return token.open(rw=True, user_pin=self._pin)
        except failures.UserAlreadyLoggedIn:
            return token.open(rw=True)
        except _PIN_TROUBLE as error:
            self._pin = None
            self._refused = (
                f"the token {self._uri.token_words} refuses the PIN ({_name(error)}"
                f"{_tries_left(token)}): correct the PIN file or the answer, and start again"
            )
            raise Misconfigured(self._refused) from None


class TokenSigner:
    """A `fieldpost.keys.Signer` over a key in a token. For any thread.

    `pin` is called when the token is first opened. Raises Misconfigured for a key that is not
    there, is ambiguous or of no admitted kind, and as `_Connection.run`.
    """

    def __init__(self, uri: TokenUri, pin: Callable[[], str], *, module: str) -> None:
        self._uri = uri
        self._connection = _connection(module, uri, pin)
        self._private: pkcs11.PrivateKey | None = None
        self._public = self._connection.run(self._read_public, again=self._forget)

    @property
    def public_key(self) -> PublicKey:
        """The key whose signatures `sign` makes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """A signature that `verify_signature` accepts. Raises Unavailable, Misconfigured."""

        def work(session: pkcs11.Session) -> bytes:
            if self._private is None and self._read_public(session) != self._public:
                raise Misconfigured(
                    f"the token {self._uri.token_words} has another key {self._uri.key_words} "
                    "than before: connect the token that was there"
                )
            private: Any = self._private
            if self._public.algorithm is Algorithm.ED25519:
                return bytes(private.sign(message, mechanism=Mechanism.EDDSA))
            digest = sha256(message).digest()
            return low_s(bytes(private.sign(digest, mechanism=Mechanism.ECDSA)))

        signature = self._connection.run(work, again=self._forget)
        try:
            verify_signature(self._public, message, signature)
        except Untrusted as error:
            raise Unavailable(
                f"the token {self._uri.token_words} gave a signature that is none: do not use it"
            ) from error
        return signature

    def _forget(self) -> None:
        self._private = None

    def _read_public(self, session: pkcs11.Session) -> PublicKey:
        private = self._one(session, ObjectClass.PRIVATE_KEY)
        assert isinstance(private, pkcs11.PrivateKey)
        try:
            public = _public_of(private)
        except (failures.AttributeTypeInvalid, failures.AttributeSensitive):
            # Many tokens keep the point with the public key alone.
            public = _public_of(self._one(session, ObjectClass.PUBLIC_KEY))
        self._private = private
        return public

    def _one(self, session: pkcs11.Session, kind: ObjectClass) -> pkcs11.Object:
        wanted: dict[Attribute, object] = {Attribute.CLASS: kind}
        if self._uri.object is not None:
            wanted[Attribute.LABEL] = self._uri.object
        if self._uri.id is not None:
            wanted[Attribute.ID] = self._uri.id
        found = list(session.get_objects(wanted))
        words = kind.name.lower().replace("_", " ")
        if not found:
            raise Misconfigured(
                f"the token {self._uri.token_words} has no {words} {self._uri.key_words}; "
                "`pkcs11-tool --list-objects --login` shows what it has"
            )
        if len(found) > 1:
            raise Misconfigured(
                f"the token {self._uri.token_words} has {len(found)} keys {self._uri.key_words}: "
                "say which, id=%…"
            )
        return found[0]

    def __repr__(self) -> str:
        return f"TokenSigner({self._public.algorithm.name} {self._public.thumbprint().hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not copied or pickled: its key is in a token")


def make_token_key(
    uri: TokenUri,
    algorithm: Algorithm,
    pin: Callable[[], str],
    *,
    module: str,
    label: str,
    identifier: bytes,
) -> TokenUri:
    """Make a key pair on a token that nothing can read out; the URI that names it.

    Raises Misconfigured for an algorithm that tokens do not have, and as `_Connection.run`.
    """
    if algorithm is Algorithm.ML_DSA_44:
        raise Misconfigured("keys in a token are ed25519 or p256; no module here has ML-DSA-44")
    is_ed25519 = algorithm is Algorithm.ED25519

    def work(session: pkcs11.Session) -> None:
        parameters = session.create_domain_parameters(
            KeyType.EC_EDWARDS if is_ed25519 else KeyType.EC,
            {Attribute.EC_PARAMS: _ED25519 if is_ed25519 else _P256},
            local=True,
        )
        making = Mechanism.EC_EDWARDS_KEY_PAIR_GEN if is_ed25519 else Mechanism.EC_KEY_PAIR_GEN
        try:
            parameters.generate_keypair(
                mechanism=making,
                store=True,
                label=label,
                id=identifier,
                private_template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )
        except (failures.MechanismInvalid, failures.FunctionNotSupported) as error:
            raise Misconfigured(
                f"the token {uri.token_words} makes no {algorithm.name} keys; try the other of "
                "ed25519 and p256"
            ) from error

    _connection(module, uri, pin).run(work, again=lambda: None)
    return TokenUri(
        token=uri.token,
        serial=uri.serial,
        manufacturer=uri.manufacturer,
        model=uri.model,
        object=label,
        id=identifier,
        module_path=uri.module_path,
        pin_source=uri.pin_source,
    )


# PKCS#11 keeps one state for a process and module; so must whoever talks to it.
_connections: Final[dict[tuple[str, str], _Connection]] = {}
_connecting: Final = RLock()


def _connection(module: str, uri: TokenUri, pin: Callable[[], str]) -> _Connection:
    key = (module, uri.token_words)
    with _connecting:
        if key not in _connections:
            _connections[key] = _Connection(module, uri, pin)
        return _connections[key]


def _library(module: str) -> Any:
    if not Path(module).is_file():
        raise Misconfigured(f"there is no PKCS#11 module {module}; install it, or name another")
    try:
        return pkcs11.lib(module)
    except (failures.PKCS11Error, RuntimeError) as error:
        raise Misconfigured(f"cannot load the PKCS#11 module {module}: {error}") from error


def _is_meant(token: pkcs11.Token, uri: TokenUri) -> bool:
    wanted = {
        uri.token: token.label,
        uri.serial: _serial(token),
        uri.manufacturer: token.manufacturer_id,
        uri.model: token.model,
    }
    return bool(token.flags & TokenFlag.TOKEN_INITIALIZED) and all(
        want is None or want == have for want, have in wanted.items()
    )


def _serial(token: pkcs11.Token) -> str:
    return token.serial.decode("ascii", "replace").strip()


def _public_of(key: pkcs11.Object) -> PublicKey:
    parameters, point = bytes(key[Attribute.EC_PARAMS]), bytes(key[Attribute.EC_POINT])
    # The point is an OCTET STRING in DER (2 + 65 or 2 + 32 bytes); some modules do not wrap it.
    raw = point[2:] if len(point) in (67, 34) else point
    try:
        if parameters == _P256 and raw[:1] == b"\x04":
            public = PublicKey(Algorithm.ESP256, raw[1:])
        elif parameters in _ED25519_NAMES:
            public = PublicKey(Algorithm.ED25519, raw)
        else:
            raise Malformed("of another curve")
        check_key(public)
    except Malformed as error:
        raise Misconfigured(f"the token's key is no Ed25519 or P-256 key: {error}") from error
    return public


def _tries_left(token: pkcs11.Token) -> str:
    flags = token.flags
    if flags & TokenFlag.USER_PIN_LOCKED:
        return "; it is locked now, and its security officer can set a new PIN"
    if flags & TokenFlag.USER_PIN_FINAL_TRY:
        return "; ONE try is left before it locks itself"
    return "; few tries are left" if flags & TokenFlag.USER_PIN_COUNT_LOW else ""


def _name(error: failures.PKCS11Error) -> str:
    return type(error).__name__
