# SPDX-License-Identifier: Apache-2.0
"""TLS with certificates of a CA of the test's own, on loopback."""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from fieldpost.client.transport import HttpClient
from fieldpost.errors import Misconfigured, Unavailable
from fieldpost.node.config import Limits, TlsConfig
from fieldpost.node.server import Server
from fieldpost.node.setting import WrongSetting
from fieldpost.node.tls import Certificate, certificate_of

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Authority:
    """A certificate authority for localhost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        self._serial = 1
        self.chain, self.key, self.root = (folder / n for n in ("chain.pem", "key.pem", "ca.pem"))
        self.root.write_bytes(self._sign(self._name, self._key.public_key(), is_ca=True))
        self.issue()

    def issue(self, *, days: int = 36_500, begin: datetime = BEGIN, host: str = "localhost") -> int:
        """A new certificate and key in place of those before; its serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        made = self._sign(name, key.public_key(), is_ca=False, days=days, begin=begin, host=host)
        self.chain.write_bytes(made)
        self.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return self._serial

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        is_ca: bool,
        days: int = 36_500,
        begin: datetime = BEGIN,
        host: str = "localhost",
    ) -> bytes:
        self._serial += 1
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(self._serial)
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        )
        if is_ca:
            usage = x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
                encipher_only=False, decipher_only=False,
            )  # fmt: skip
            made = made.add_extension(usage, critical=True)
        return made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def _hello(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


@contextmanager
def serving(certificate: Certificate) -> Iterator[int]:
    ready = threading.Event()
    server = Server(
        Starlette(routes=[Route("/", _hello)]),
        listen=[("127.0.0.1", 0)],
        limits=Limits(drain_s=5),
        certificate=certificate,
        on_ready=ready.set,
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(60)
        assert server.url.startswith("https://127.0.0.1:")
        yield int(server.url.rpartition(":")[2])
    finally:
        server.stop()
        thread.join(timeout=60)


def connect(port: int, authority: Authority, name: str | None = "localhost") -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(authority.root))
    if name is None:  # as whoever asks by address: no name in the greeting
        context.check_hostname = False
    plain = socket.create_connection(("127.0.0.1", port), timeout=60)
    return context.wrap_socket(plain, server_hostname=name)


def serial(connection: ssl.SSLSocket) -> int:
    found = connection.getpeercert(binary_form=True)
    assert found is not None
    return x509.load_der_x509_certificate(found).serial_number


def ask(connection: ssl.SSLSocket) -> bytes:
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"hello"):
        piece = connection.recv(4_096)
        assert piece, answer
        answer += piece
    return answer


def test_a_client_that_trusts_the_authority_is_served_over_tls(authority: Authority) -> None:
    with serving(Certificate(authority.chain, authority.key)) as port:
        with connect(port, authority) as connection:
            assert connection.version() == "TLSv1.3"
            assert ask(connection).startswith(b"HTTP/1.1 200")
        with pytest.raises(ssl.SSLCertVerificationError), connect(port, Authority(_sub(authority))):
            pass


def _sub(authority: Authority) -> Path:
    folder = authority.folder / "other"
    folder.mkdir()
    return folder


def test_nothing_older_than_tls_1_2_is_spoken(authority: Authority) -> None:
    with serving(Certificate(authority.chain, authority.key)) as port:
        for version, allowed in (
            (ssl.TLSVersion.TLSv1_2, True),
            (ssl.TLSVersion.TLSv1_1, False),
        ):
            context = ssl.create_default_context(cafile=str(authority.root))
            context.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1") if not allowed else _nothing():
                context.minimum_version = context.maximum_version = version
            plain = socket.create_connection(("127.0.0.1", port), timeout=60)
            if allowed:
                with context.wrap_socket(plain, server_hostname="localhost") as connection:
                    assert connection.version() == "TLSv1.2"
            else:
                with pytest.raises((ssl.SSLError, ConnectionError)):
                    context.wrap_socket(plain, server_hostname="localhost")
                plain.close()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@pytest.mark.parametrize("name", ["localhost", None])
def test_a_renewed_certificate_is_for_new_connections_and_old_ones_go_on(
    authority: Authority, name: str | None
) -> None:
    certificate = Certificate(authority.chain, authority.key)
    with serving(certificate) as port, connect(port, authority, name) as old:
        before = serial(old)
        ask(old)
        issued = authority.issue()
        certificate.renew_if_changed()
        with connect(port, authority, name) as new:
            assert serial(new) == issued != before
            ask(new)
        assert ask(old).startswith(b"HTTP/1.1 200")


def test_a_broken_renewal_is_told_and_changes_nothing(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(authority.chain, authority.key)
    with serving(certificate) as port:
        with connect(port, authority) as connection:
            before = serial(connection)
        kept = authority.key.read_bytes()
        authority.issue()
        authority.key.write_bytes(kept)  # half of a renewal: the key is still the one before
        with caplog.at_level(logging.ERROR):
            certificate.renew()
        assert "certificate-not-loaded" in caplog.text
        assert "is not the key of" in caplog.text
        with connect(port, authority) as connection:
            assert serial(connection) == before


def test_when_the_certificate_ends_is_known(authority: Authority) -> None:
    certificate = Certificate(authority.chain, authority.key)
    assert certificate.expires == int((BEGIN + timedelta(days=36_500)).timestamp())


def test_a_certificate_that_has_ended_is_told(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Certificate(authority.chain, authority.key)
        assert "certificate-ended" not in caplog.text
        authority.issue(days=1)
        Certificate(authority.chain, authority.key)
    assert "certificate-ended" in caplog.text
    assert "until=2026-01-02" in caplog.text


def test_a_client_says_who_must_act_about_a_certificate(authority: Authority) -> None:
    advice = r"is not accepted: .*; its operator must renew it, or SSL_CERT_FILE"
    with (
        serving(Certificate(authority.chain, authority.key)) as port,
        HttpClient(f"https://localhost:{port}") as http,
        pytest.raises(Unavailable, match=advice),
    ):
        http.send("GET", "/")


@pytest.mark.parametrize(
    ("url_host", "issued", "advice"),
    [
        ("127.0.0.1", {}, "mismatch.*; write the URL with a name that it"),
        ("localhost", {"host": "board.example"}, "mismatch.*; write the URL with a name that"),
        ("localhost", {"begin": BEGIN.replace(year=2100)}, "not yet valid; set this machine"),
        ("localhost", {"days": 1}, "expired; its operator must renew it, unless this"),
    ],
)
def test_a_certificate_of_a_known_issuer_is_never_said_to_lack_one(
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    url_host: str,
    issued: dict[str, Any],
    advice: str,
) -> None:
    """Another name, and another time, are told as what they are."""
    authority.issue(**issued)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    with (
        serving(Certificate(authority.chain, authority.key)) as port,
        HttpClient(f"https://{url_host}:{port}") as http,
        pytest.raises(Unavailable, match=f"is not accepted: .*{advice}") as refused,
    ):
        http.send("GET", "/")
    assert "SSL_CERT_FILE" not in str(refused.value)


def test_each_broken_file_is_named_with_what_to_do(authority: Authority, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    stranger = Authority(other)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
        )
    )
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for chain, key, says in (
        (tmp_path / "none.pem", authority.key, "cannot read .*none.pem: No such file"),
        (authority.chain, tmp_path / "none.pem", "cannot read .*none.pem: No such file"),
        (authority.chain, tmp_path, "cannot read .*Is a directory"),
        (authority.chain, stranger.key, "is not the key of .*: name the pair"),
        (authority.chain, encrypted, "encrypted.pem is encrypted, and a node starts alone"),
        (authority.chain, empty, "empty.pem is no private key in PEM"),
        (empty, authority.key, "empty.pem holds no certificate"),
    ):
        with pytest.raises(Misconfigured, match=says):
            Certificate(chain, key)


def test_half_of_a_pair_is_a_contradiction(authority: Authority) -> None:
    assert certificate_of(TlsConfig()) is None
    assert certificate_of(TlsConfig(certificate=authority.chain, key=authority.key)) is not None
    with pytest.raises(WrongSetting, match=r"tls\.key: is not set, and tls\.certificate is"):
        TlsConfig(certificate=authority.chain)
    with pytest.raises(WrongSetting, match=r"tls\.certificate: is not set, and tls\.key is"):
        TlsConfig(key=authority.key)
