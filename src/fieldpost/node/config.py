# SPDX-License-Identifier: Apache-2.0
"""Everything about a node that can be set: where its data lies, where it listens, and its limits.

Every limit has its unit in its name. The defaults suit one machine that serves makers of any size;
who changes one changes what strangers may cost, so there is no setting that means "unlimited".
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fieldpost.checkin.chains import LEAST_PART_BYTES
from fieldpost.errors import Misconfigured
from fieldpost.records.limits import MAX_ENTRY_BYTES

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request, one connection and all of them together may take."""

    post_bytes: int = 65_535
    posts_per_request: int = 100
    manifest_bytes: int = 32_768
    piece_bytes: int = 64 * MIB
    lot_bytes: int = 160 * MIB
    report_bytes: int = 8_192
    links_bytes: int = MIB
    header_bytes: int = 16_384
    header_s: float = 10.0
    body_silence_s: float = 15.0
    body_s: float = 60.0
    upload_s: float = 3_600.0
    stall_s: float = 30.0
    keep_alive_s: int = 75
    drain_s: int = 10
    connections: int = 4_096
    commit_s: float = 30.0
    checkin_cache_entries: int = 65_536
    uploads_at_once: int = 16

    def __post_init__(self) -> None:
        # Clients take a short answer for the end of the chain (docs/spec/http.md).
        if self.links_bytes < LEAST_PART_BYTES + MAX_ENTRY_BYTES:
            raise Misconfigured("links_bytes: an answer must hold 131,071 bytes of links")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One node. `origin` None: keep the board that is there, or make a trial board.

    Port 0 lets the system choose; the ready line says which. `allowed_hosts` and TLS are the
    business of whatever stands in front.
    """

    data: Path
    origin: str | None = None
    host: str = "127.0.0.1"
    port: int = 8470
    limits: Limits = field(default_factory=Limits)


def parse_listen(text: str) -> tuple[str, int]:
    """Read HOST:PORT, [IPv6]:PORT or :PORT (all addresses). Raises Misconfigured."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise Misconfigured(f"{text!r} is no address; write HOST:PORT, for example 127.0.0.1:8470")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise Misconfigured(f"{text!r}: write an IPv6 address in brackets, [::1]:8470")
    return host or "0.0.0.0", int(port)
