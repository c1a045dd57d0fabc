# SPDX-License-Identifier: Apache-2.0
"""The file that says by which paths alarms go: TOML, with the names of files that hold secrets.

    [[webhook]]  url = "https://ops.example/hook"   secret_file = "webhook.secret"
    [[mail]]     server = "smtp.example:587"        tls = "starttls"
                 from = "fieldpost@a.example"       to = ["oncall@a.example"]
                 user = "fieldpost"                 password_file = "smtp.secret"

Paths of files are relative to this one. `tls` is `starttls` (port 587), `tls` (port 465) or `none`,
which takes no password unless the server is this machine. Lines on standard output need no entry.
"""

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast, get_args

from fieldpost.errors import Malformed, Misconfigured
from fieldpost.watch.monitor.mail import Mail, MailSettings, Tls
from fieldpost.watch.monitor.paths import AlarmPath
from fieldpost.watch.monitor.toml_table import Table, read_toml
from fieldpost.watch.monitor.webhook import Webhook, read_secret

MAX_SETTINGS_BYTES: Final = 1024 * 1024
MAX_SECRET_BYTES: Final = 4_096
MAX_PATHS: Final = 16
_PORTS: Final = {"starttls": 587, "tls": 465, "none": 25}


def load_paths(file: Path, clock: Callable[[], int]) -> list[AlarmPath]:
    """The paths that a file names. Raises Misconfigured, naming file and place."""
    try:
        data = _read(file, MAX_SETTINGS_BYTES)
        top = read_toml(data)
        paths: list[AlarmPath] = [
            *(_webhook(table, file.parent, clock) for table in top.tables("webhook") or ()),
            *(_mail(table, file.parent, clock) for table in top.tables("mail") or ()),
        ]
        top.close()
    except Malformed as error:
        raise Misconfigured(f"{file}: {error}") from error
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        raise Misconfigured(f"{file} names the same path twice")
    if len(paths) > MAX_PATHS:
        raise Misconfigured(f"{file} names {len(paths)} paths; at most {MAX_PATHS}")
    return paths


def _webhook(table: Table, folder: Path, clock: Callable[[], int]) -> Webhook:
    url = table.take("url", str)
    secret = _secret(folder / table.take("secret_file", str))
    table.close()
    return Webhook(url, read_secret(secret), clock)


def _mail(table: Table, folder: Path, clock: Callable[[], int]) -> Mail:
    tls = table.take("tls", str, "starttls")
    if tls not in get_args(Tls):
        raise Malformed(f"{table.name}: tls is {' or '.join(get_args(Tls))}")
    host, port = _server(table, _PORTS[tls])
    user = table.take("user", str, None)
    password = table.take("password_file", str, None)
    if (user is None) != (password is None):
        raise Malformed(f"{table.name}: user and password_file go together")
    if tls == "none" and user is not None and not _is_here(host):
        raise Malformed(f'{table.name}: a password goes over TLS only; write  tls = "starttls"')
    ca_file = table.take("ca_file", str, None)
    to = table.texts("to") or []
    settings = MailSettings(
        host=host,
        port=port,
        tls=cast("Tls", tls),
        sender=_address(table, table.take("from", str)),
        to=tuple(_address(table, text) for text in to),
        user=user,
        password=None if password is None else _secret(folder / password),
        ca_file=None if ca_file is None else folder / ca_file,
    )
    if not settings.to:
        raise Malformed(f"{table.name}: to names nobody")
    table.close()
    return Mail(settings, clock)


def _server(table: Table, port: int) -> tuple[str, int]:
    text = table.take("server", str)
    host, colon, digits = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, digits = text, str(port)
    if not host or not (digits.isascii() and digits.isdigit() and 0 < int(digits[:6]) < 65_536):
        raise Malformed(f"{table.name}: server is HOST or HOST:PORT, not {text!r}")
    return host.strip("[]"), int(digits)


def _address(table: Table, text: str) -> str:
    local, at, domain = text.rpartition("@")
    if (
        not (local and at and domain)
        or not text.isascii()
        or not text.isprintable()
        or (set(text) & set(' <>,;"'))
    ):
        raise Malformed(f"{table.name}: {text!r} is no plain address; write  oncall@acme.example")
    return text


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _secret(file: Path) -> str:
    try:
        return _read(file, MAX_SECRET_BYTES).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Misconfigured(f"{file} is no text") from None


def _read(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(most + 1)
    except OSError as error:
        raise Misconfigured(f"cannot read {file}: {error.strerror}") from error
    if len(data) > most:
        raise Misconfigured(f"{file} has more than {most} bytes")
    return data
