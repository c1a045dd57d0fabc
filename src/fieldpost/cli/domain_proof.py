# SPDX-License-Identifier: Apache-2.0
"""That a maker controls a domain: one line, in DNS or under its web server.

    TXT record of _fieldpost.DOMAIN, or a line of https://DOMAIN/.well-known/fieldpost:

    fieldpost1 maker=<maker id> keys=<SHA-256 of the root key set>

The digest is of the deterministic CBOR of the root key set as the maker record has it, so the line
changes with the root keys. Operators look for it before they attest.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from fieldpost import cbor
from fieldpost.cli.acting import act
from fieldpost.cli.console import json_option, note, show
from fieldpost.cli.dns_txt import look_up_txt
from fieldpost.cli.options import home_options
from fieldpost.client.transport import HttpClient
from fieldpost.errors import NotFound, Untrusted
from fieldpost.records.identifiers import check_domain
from fieldpost.records.maker import MakerRecord

DNS: Final = "dns"
WEB: Final = "web"
_PATH: Final = "/.well-known/fieldpost"
_MOST_BYTES: Final = 65_536

# look(domain) gives the lines that stand there. Raises NotFound or Unavailable.
Look = Callable[[str], list[str]]


def domain_line(maker: bytes, record: MakerRecord) -> str:
    """The line that says: this domain is that maker's."""
    digest = sha256(cbor.encode(record.root.value())).hexdigest()
    return f"fieldpost1 maker={maker.hex()} keys={digest}"


def look_in_dns(domain: str) -> list[str]:
    """The TXT records of _fieldpost.DOMAIN, as this machine's resolver tells them."""
    return look_up_txt(f"_fieldpost.{domain}")


def look_on_web(domain: str) -> list[str]:
    """The lines of the well-known file, over HTTPS with the system's trust, without redirects."""
    with HttpClient(f"https://{domain}") as http:
        data = http.fetch(_PATH, most_bytes=_MOST_BYTES)
    return data.decode("ascii", "replace").splitlines()


LOOKS: Final[Mapping[str, Look]] = {DNS: look_in_dns, WEB: look_on_web}


def check_domain_proof(
    domain: str, line: str, *, how: str, looks: Mapping[str, Look] | None = None
) -> None:
    """The domain says `line`. Raises Untrusted if it does not, Unavailable."""
    place = f"TXT of _fieldpost.{domain}" if how == DNS else f"https://{domain}{_PATH}"
    try:
        lines = [found.strip() for found in (LOOKS if looks is None else looks)[how](domain)]
    except NotFound:
        lines = []
    if line not in lines:
        raise Untrusted(
            "domain-unproven",
            f"{place} does not say {line!r}; the maker gets the line from `fieldpost maker domain`",
        )


@click.command(name="domain")
@click.argument("domain")
@home_options
@json_option
def show_line(
    *, domain: str, home: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    r"""Print the line that DOMAIN must say, for operators to attest that it is yours.

    \b
    fieldpost maker domain acme.example
    """
    check_domain(domain)
    acting = act(home, passphrase_file, as_json=as_json)
    record, _ = acting.record()
    line = domain_line(acting.id, record)
    show(
        {"line": line, DNS: f"_fieldpost.{domain} TXT", WEB: f"https://{domain}{_PATH}"},
        as_json=as_json,
        title="Publish this line in one of two places",
    )
    note(
        f"next, by an operator: fieldpost operator attest {acting.id.hex()} {domain}",
        as_json=as_json,
    )


commands = (show_line,)
