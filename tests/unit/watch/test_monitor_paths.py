# SPDX-License-Identifier: Apache-2.0
"""Alarm paths first: what leaves a monitor arrives, signed or under TLS, or is known not to."""

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fieldpost.errors import FieldpostError, Misconfigured, Unavailable
from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.mail import Mail, MailSettings
from fieldpost.watch.monitor.settings import load_paths
from fieldpost.watch.monitor.webhook import Webhook, read_secret, sign
from tests.unit.watch.smtp_server import MailServer, certificate, running

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALARM = Alarm(kind="new-lot", board="b", text="7 devices", at=1_800_000_000, maker="aa" * 16)
needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="makes a certificate; `make system-deps` installs it"
)


def clock() -> int:
    return 1_800_000_123


# --- webhooks ---


@dataclass
class Receiver:
    """A receiver's answers, in order, the last one for ever; and what came."""

    answers: list[int]
    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@contextmanager
def receiving(*answers: int) -> Iterator[Receiver]:
    receiver = Receiver(list(answers))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            receiver.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            count = len(receiver.bodies)
            self.send_response(receiver.answers[min(count, len(receiver.answers)) - 1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hook?token=hush"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    """From the Standard Webhooks libraries' tests."""
    signature = sign(
        read_secret(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_carries_the_alarm_signed_with_its_id_and_time() -> None:
    with receiving(204) as receiver:
        hook = Webhook(receiver.url, read_secret(SECRET), clock)
        hook.send([ALARM])
    (headers,), (body,) = receiver.headers, receiver.bodies
    assert headers["webhook-id"] == ALARM.id
    assert headers["webhook-timestamp"] == "1800000123"
    assert headers["webhook-signature"] == sign(read_secret(SECRET), ALARM.id, clock(), body)
    event = json.loads(body)
    assert event["type"] == "fieldpost.monitor.new-lot"
    assert event["timestamp"] == "2027-01-15T08:00:00Z"
    assert event["data"]["text"] == "7 devices"


def test_a_webhooks_name_hides_what_may_be_a_token() -> None:
    hook = Webhook("https://ops.example/hook?token=hush", read_secret(SECRET), clock)
    assert hook.name == "webhook https://ops.example/hook"


@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 500, 503])
def test_an_answer_other_than_2xx_has_not_taken_the_alarm(status: int) -> None:
    with receiving(status) as receiver:
        hook = Webhook(receiver.url, read_secret(SECRET), clock)
        with pytest.raises(FieldpostError):
            hook.send([ALARM])


def test_a_webhook_that_is_not_there_is_unavailable() -> None:
    with receiving(204) as receiver:
        url = receiver.url
    with pytest.raises(Unavailable):
        Webhook(url, read_secret(SECRET), clock).send([ALARM])


@pytest.mark.parametrize("text", ["", "hush", "whsec_", "whsec_QUJD", "whsec_%%%", SECRET[6:]])
def test_a_secret_that_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_secret(text)
    assert not text or text not in str(refused.value).replace("whsec_", "", 1) or text == "whsec_"


# --- mail ---


def settings(server: MailServer, **changes: Any) -> MailSettings:
    told: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "tls": "starttls",
        "sender": "fieldpost@acme.example",
        "to": ("oncall@acme.example", "boss@acme.example"),
    }
    return MailSettings(**told | changes)


@needs_openssl
def test_mail_goes_by_starttls_with_the_password_under_it(tmp_path: Path) -> None:
    context, ca_file = certificate(tmp_path)
    with running(MailServer(context, user="fieldpost", password="hush")) as server:
        told = settings(server, user="fieldpost", password="hush", ca_file=ca_file)
        Mail(told, clock).send([ALARM, Alarm(kind="blind", board="b", text="dark", at=9)])
    (message,) = server.messages
    assert "Subject: Fieldpost " in message
    assert "and 1 more" in message
    assert "7 devices" in message
    assert "dark" in message
    assert f"alarm: {ALARM.id}" in message
    assert "Auto-Submitted: auto-generated" in message
    assert not [line for line in server.in_the_clear if line.upper().startswith(("AUTH", "MAIL"))]


@needs_openssl
def test_mail_to_a_server_with_another_certificate_is_not_sent(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    with running(MailServer(context)) as server, pytest.raises(Unavailable, match="certificate"):
        Mail(settings(server), clock).send([ALARM])
    assert server.messages == []


def test_a_server_that_offers_no_starttls_gets_neither_password_nor_mail() -> None:
    """Whoever sits between strips the offer; what is not encrypted is not sent."""
    with running(MailServer(None, user="fieldpost", password="hush")) as server:
        told = settings(server, user="fieldpost", password="hush")
        with pytest.raises(Unavailable, match="STARTTLS"):
            Mail(told, clock).send([ALARM])
    assert server.messages == []
    assert not [line for line in server.in_the_clear if line.upper().startswith("AUTH")]


@needs_openssl
def test_a_refused_password_is_not_repeated_in_the_error(tmp_path: Path) -> None:
    context, ca_file = certificate(tmp_path)
    with running(MailServer(context, user="fieldpost", password="right")) as server:
        told = settings(server, user="fieldpost", password="hush-hush", ca_file=ca_file)
        with pytest.raises(Unavailable, match="password") as refused:
            Mail(told, clock).send([ALARM])
    assert "hush-hush" not in str(refused.value)


def test_a_recipient_that_is_refused_is_named() -> None:
    with running(MailServer(None, refuses="boss@")) as server:
        told = settings(server, tls="none")
        with pytest.raises(FieldpostError, match=r"boss@acme\.example"):
            Mail(told, clock).send([ALARM])


def test_a_mail_sent_again_has_the_same_id() -> None:
    with running(MailServer(None)) as server:
        mail = Mail(settings(server, tls="none"), clock)
        mail.send([ALARM])
        mail.send([ALARM])
    ids = [line for text in server.messages for line in text.splitlines() if "Message-ID" in line]
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_words_of_strangers_cannot_add_headers_to_a_mail() -> None:
    hostile = "1.0\nBcc: everybody@acme.example\r\n\r\nhello"
    with running(MailServer(None)) as server:
        alarm = Alarm(kind="new-lot", board="b", text=hostile, at=9, maker_name=hostile)
        Mail(settings(server, tls="none"), clock).send([alarm])
    head = server.messages[0].partition("\r\n\r\n")[0]
    assert "\r\nBcc:" not in head


# --- the file that names them ---

FILE = """
[[webhook]]
url = "https://ops.example/hook"
secret_file = "webhook.secret"
[[mail]]
server = "smtp.example"
user = "fieldpost"
password_file = "smtp.secret"
from = "fieldpost@acme.example"
to = ["oncall@acme.example"]
"""


def load(folder: Path, text: str) -> list[str]:
    (folder / "webhook.secret").write_text(SECRET + "\n")
    (folder / "smtp.secret").write_text("hush\n")
    file = folder / "alarms.toml"
    file.write_text(text)
    return [path.name for path in load_paths(file, clock)]


def test_secrets_are_read_from_files_beside_it(tmp_path: Path) -> None:
    names = load(tmp_path, FILE)
    assert names == ["webhook https://ops.example/hook", "mail oncall@acme.example"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("secret_file", "secret"), "lacks 'secret_file'"),
        (('"webhook.secret"', '"absent"'), "cannot read"),
        (('"webhook.secret"', '"smtp.secret"'), "openssl rand"),
        (("https://", "ftp://"), "no http or https URL"),
        (('user = "fieldpost"\n', ""), "go together"),
        (('server = "smtp.example"', 'server = "smtp.example"\ntls = "none"'), "TLS only"),
        (('server = "smtp.example"', 'server = "smtp.example"\ntls = "ssl"'), "starttls or tls"),
        (('server = "smtp.example"', 'server = "smtp.example:x"'), "HOST:PORT"),
        (('["oncall@acme.example"]', "[]"), "names nobody"),
        (('["oncall@acme.example"]', '["on call@acme.example"]'), "no plain address"),
        (('from = "', 'colour = "red"\nfrom = "'), "unknown colour"),
    ],
)
def test_what_is_wrong_in_it_is_said(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        load(tmp_path, FILE.replace(*change, 1))
