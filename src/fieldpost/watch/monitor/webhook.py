# SPDX-License-Identifier: Apache-2.0
"""Webhooks after Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over id, time and body.

    webhook-id: <alarm id>    webhook-timestamp: <Unix seconds>
    webhook-signature: v1,<base64 of HMAC-SHA256(secret, id "." timestamp "." body)>

It was chosen over HTTP Message Signatures (RFC 9421) because receivers have libraries for it in
every language and nothing is left to agree on: one algorithm, three headers, the id to recognise a
repetition and the time against replay. The secret is shared, so it proves the sender to the
receiver alone; what an alarm says can be checked on the board anyway.
"""

import hmac
import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from fieldpost.client.transport import HttpClient, split_url
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.watch.monitor.alarm import Alarm, moment

PREFIX: Final = "whsec_"
LEAST_SECRET_BYTES: Final = 24
MOST_SECRET_BYTES: Final = 64
_SILENCE_S: Final = 10.0
_TOTAL_S: Final = 30.0


class Webhook:
    """One URL that takes alarms. `clock` gives Unix seconds. Raises Misconfigured."""

    most = 1

    def __init__(self, url: str, secret: bytes, clock: Callable[[], int]) -> None:
        try:
            base, self._path = split_url(url)
        except Malformed as error:
            raise Misconfigured(f"{error}; a webhook is an http or https URL") from error
        parts = urlsplit(url)
        # Without the query, in which people put tokens.
        self.name = f"webhook {parts.scheme}://{parts.netloc}{parts.path}"
        self._secret = secret
        self._clock = clock
        self._http = HttpClient(base, timeout_s=_SILENCE_S, total_s=_TOTAL_S)

    def send(self, alarms: Sequence[Alarm]) -> None:
        """POST one alarm. Any answer of 2xx takes it; other answers and none raise."""
        (alarm,) = alarms
        body = json.dumps(
            {
                "type": f"fieldpost.monitor.{alarm.kind}",
                "timestamp": moment(alarm.at),
                "data": alarm.value(),
            },
            ensure_ascii=False,
        ).encode()
        now = self._clock()
        headers = {
            "webhook-id": alarm.id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(self._secret, alarm.id, now, body),
        }
        try:
            self._http.send(
                "POST", self._path, body, content_type="application/json", headers=headers
            )
        finally:
            # The next alarm may be weeks away.
            self._http.close()


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    message = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + b64encode(hmac.digest(secret, message, sha256)).decode()


def read_secret(text: str) -> bytes:
    """The secret from its text form `whsec_<base64 of 24 to 64 bytes>`. Raises Misconfigured."""
    stripped = text.strip()
    try:
        secret = b64decode(stripped.removeprefix(PREFIX), validate=True)
    except (Base64Error, ValueError):
        secret = b""
    if not stripped.startswith(PREFIX) or not (
        LEAST_SECRET_BYTES <= len(secret) <= MOST_SECRET_BYTES
    ):
        raise Misconfigured(
            "a webhook's secret is  whsec_  and the base64 of 24 to 64 random bytes; make one: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    return secret
