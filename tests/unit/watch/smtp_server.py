# SPDX-License-Identifier: Apache-2.0
"""A mail submission server on loopback: as much of RFC 5321 and STARTTLS as a client asks for."""

import base64
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class MailServer:
    """What came, and what to do with it. `tls` None: the server offers no STARTTLS."""

    tls: ssl.SSLContext | None
    user: str | None = None
    password: str = ""
    refuses: str | None = None
    port: int = 0
    messages: list[str] = field(default_factory=list)
    in_the_clear: list[str] = field(default_factory=list)


class _Session(socketserver.StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        try:
            self._talk()
        except OSError:
            pass  # the client went away, as it may
        finally:
            self.connection.close()

    def _talk(self) -> None:  # noqa: C901 - one case for each word of the protocol
        mail = self.server.mail
        encrypted = False
        self._say("220 test")
        while line := self.rfile.readline().decode().strip():
            word, _, rest = line.partition(" ")
            if not encrypted:
                mail.in_the_clear.append(line)
            match word.upper():
                case "EHLO":
                    offers = [] if mail.tls is None or encrypted else ["STARTTLS"]
                    offers += ["AUTH PLAIN"] if mail.user else []
                    for offer in ["test", *offers]:
                        self._say(f"250-{offer}")
                    self._say("250 OK")
                case "STARTTLS" if mail.tls is not None:
                    self._say("220 go on")
                    self.connection = mail.tls.wrap_socket(self.connection, server_side=True)
                    self.rfile.close()
                    self.rfile = self.connection.makefile("rb")
                    self.wfile = self.connection.makefile("wb", buffering=0)
                    encrypted = True
                case "AUTH":
                    told = base64.b64decode(rest.split()[1]).decode()
                    good = told == f"\0{mail.user}\0{mail.password}"
                    self._say("235 in" if good else f"535 not {told!r}")
                case "RCPT" if mail.refuses and mail.refuses in rest:
                    self._say("550 nobody of that name")
                case "DATA":
                    self._say("354 go on")
                    lines = []
                    while (text := self.rfile.readline().decode()) not in (".\r\n", ""):
                        lines.append(text)
                    mail.messages.append("".join(lines))
                    self._say("250 taken")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 OK")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    mail: MailServer


@contextmanager
def running(mail: MailServer) -> Iterator[MailServer]:
    """The server, on a free port."""
    with _Server(("127.0.0.1", 0), _Session) as server:
        server.mail = mail
        mail.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield mail
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context for 127.0.0.1, and the file by which clients accept it."""
    key, cert = folder / "tls.key", folder / "tls.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert
