# SPDX-License-Identifier: Apache-2.0
"""TLS by certificate file, renewed without dropping a connection.

A renewal makes a new context, whole or not at all, and new connections take it while they greet;
those that stand go on with theirs. TLS 1.2 at least. Devices need none of this: what they believe
is signed. It keeps what they ask from the eyes of others.
"""

import logging
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from fieldpost.errors import Misconfigured
from fieldpost.journal import tell
from fieldpost.node.config import TlsConfig

_log = logging.getLogger(__name__)
_MOST_BYTES: Final = 1024 * 1024


class Certificate:
    """The files of a certificate chain and its private key (PEM), as they are or were.

    `context` is for servers and always answers with the newest. Raises Misconfigured for files
    that are missing, unreadable, broken, encrypted or of two different keys.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self._seen = self._times()
        self._current, self.expires = self._load()
        self.context = self._current
        self.context.sni_callback = self._greet

    def renew(self) -> None:
        """Use what the files hold now; where that cannot be used, say so and go on as before."""
        self._seen = self._times()
        try:
            self._current, self.expires = self._load()
        except Misconfigured as error:
            tell(_log, "certificate-not-loaded", file=self._chain, error=error)

    def renew_if_changed(self) -> None:
        """`renew` where a file is another one than at the last look."""
        if self._times() != self._seen:
            self.renew()

    def _greet(self, sock: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: object) -> None:
        sock.context = self._current

    def _times(self) -> tuple[int, ...]:
        try:
            return tuple(path.stat().st_mtime_ns for path in (self._chain, self._key))
        except OSError:
            return ()

    def _load(self) -> tuple[ssl.SSLContext, int]:
        expires = _expires(_read(self._chain), self._chain)
        _read(self._key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self._chain, self._key, password=self._refuse)
        except ssl.SSLError as error:
            reason = error.reason or str(error)
            if reason == "KEY_VALUES_MISMATCH":
                raise Misconfigured(
                    f"{self._key} is not the key of {self._chain}: name the pair that was issued "
                    "together"
                ) from error
            raise Misconfigured(
                f"{self._key} is no private key in PEM, or {self._chain} no chain ({reason})"
            ) from error
        until = datetime.fromtimestamp(expires, UTC).date().isoformat()
        tell(_log, "certificate-loaded", file=self._chain, until=until)
        if expires < time.time():
            tell(_log, "certificate-ended", file=self._chain, until=until)
        return context, expires

    def _refuse(self) -> str:
        raise Misconfigured(f"{self._key} is encrypted, and a node starts alone: store it without")


def certificate_of(config: TlsConfig) -> Certificate | None:
    """The certificate that a node's settings name; None for plain HTTP. Raises Misconfigured."""
    if config.certificate is None or config.key is None:
        return None
    return Certificate(config.certificate, config.key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Misconfigured(
            f"cannot read {path}: {error.strerror}; the node's user must be able to"
        ) from error
    if len(data) > _MOST_BYTES:
        raise Misconfigured(f"{path} is too large for a certificate or key")
    return data


def _expires(data: bytes, path: Path) -> int:
    """Unix seconds of the end of the first certificate, which is the server's own."""
    try:
        first = x509.load_pem_x509_certificates(data)[0]
    except (ValueError, IndexError) as error:
        raise Misconfigured(f"{path} holds no certificate in PEM") from error
    return int(first.not_valid_after_utc.timestamp())
