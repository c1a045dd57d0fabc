# SPDX-License-Identifier: Apache-2.0
"""Alarms by e-mail: several in one message, submitted over TLS (RFC 6409, RFC 8314, STARTTLS).

The password is sent under TLS alone. What stands in alarms is public, so the mail itself is not
encrypted; nobody may take its word for more than a reason to look at the board.
"""

import smtplib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from fieldpost.errors import FieldpostError, Malformed, Misconfigured, Unavailable
from fieldpost.watch.monitor.alarm import KINDS, Alarm
from fieldpost.watch.monitor.paths import AT_ONCE

TIMEOUT_S: Final = 30.0
Tls = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """A submission server and whom to write to. `password` is None where none is asked for."""

    host: str
    port: int
    tls: Tls
    sender: str
    to: tuple[str, ...]
    user: str | None = None
    password: str | None = None
    ca_file: Path | None = None


class Mail:
    """One submission server. `clock` gives Unix seconds. Raises Misconfigured."""

    most = AT_ONCE

    def __init__(self, settings: MailSettings, clock: Callable[[], int]) -> None:
        self.name = f"mail {', '.join(settings.to)}"
        self._settings = settings
        self._clock = clock
        try:
            self._context = ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"cannot read ca_file {settings.ca_file}: {error}") from error

    def send(self, alarms: Sequence[Alarm]) -> None:
        """Submit one message with all of them. Raises Unavailable; Malformed if it is refused."""
        message = compose(alarms, self._settings, now=self._clock())
        try:
            with self._connected() as server:
                refused = server.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            raise _explained(error) from error
        if refused:
            # Some others have it; it is sent again to all, until each was taken or nobody is.
            names = ", ".join(refused)
            raise Malformed(f"the mail server refuses {names}; correct `to`")

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        place = (settings.host, settings.port)
        if settings.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                *place, timeout=TIMEOUT_S, context=self._context
            )
        else:
            server = smtplib.SMTP(*place, timeout=TIMEOUT_S)
        try:
            if settings.tls == "starttls":
                # Refused where the server does not offer it: no password goes in the clear.
                server.starttls(context=self._context)
            if settings.user is not None:
                server.login(settings.user, settings.password or "")
        except BaseException:
            server.close()
            raise
        return server


def compose(alarms: Sequence[Alarm], settings: MailSettings, *, now: int) -> EmailMessage:
    """One message about some alarms; its Message-ID is the same whenever it is sent again."""
    message = EmailMessage()
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.to)
    more = f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
    message["Subject"] = _one_line(alarms[0].subject + more)
    message["Date"] = formatdate(now)
    ids = sha256(" ".join(alarm.id for alarm in alarms).encode()).hexdigest()[:32]
    message["Message-ID"] = f"<{ids}@{settings.sender.rpartition('@')[2]}>"
    # RFC 3834: nobody's holiday message shall answer.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n\n".join(_words(alarm) for alarm in alarms) + "\n")
    return message


def _words(alarm: Alarm) -> str:
    known = KINDS[alarm.kind]
    facts = [f"  {name}: {fact}" for name, fact in alarm.facts.items() if fact not in (None, [])]
    lines = [
        f"{alarm.kind}{' is over' if alarm.over else ''}: {_one_line(alarm.text)}",
        f"  {known.meaning}",
        *([] if alarm.over else [f"  next: {known.next_step}"]),
        f"  board: {alarm.board}",
        *([f"  maker: {alarm.maker} ({alarm.maker_name})"] if alarm.maker else []),
        *facts,
        f"  alarm: {alarm.id}",
    ]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


def _explained(error: smtplib.SMTPException | OSError) -> FieldpostError:
    match error:
        case smtplib.SMTPAuthenticationError():
            # Its text may repeat what was sent.
            return Unavailable("the mail server refuses user or password; correct password_file")
        case smtplib.SMTPResponseException(smtp_code=int(code)):
            return Unavailable(f"the mail server answered {code}")
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            return Unavailable(f"the mail server refuses {', '.join(refused)}; correct `to`")
        case smtplib.SMTPNotSupportedError():
            return Unavailable("the mail server offers no STARTTLS or login; correct `tls`")
        case ssl.SSLCertVerificationError():
            return Unavailable(f"the mail server's certificate: {error.verify_message}")
        case _:
            return Unavailable(f"the mail server cannot be reached: {error}")
