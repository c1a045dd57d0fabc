# SPDX-License-Identifier: Apache-2.0
"""Everything about a node that can be set: where its data lies, where it listens, and its limits.

Every limit has its unit in its name. The defaults suit one machine that serves makers of any size;
who changes one changes what strangers may cost, so there is no setting that means "unlimited".
`fieldpost.node.setting` says how a setting is added, docs/reference/config.md lists them all.
"""

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from fieldpost.checkin.chains import LEAST_PART_BYTES
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.journal import FORMATS, LEVELS
from fieldpost.node.comet_config import CometbftConfig
from fieldpost.node.setting import WrongSetting, check_values, choice, required, setting, table
from fieldpost.records.identifiers import check_origin
from fieldpost.records.limits import MAX_ENTRY_BYTES

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB
HOUR_S: Final = 3_600
EMBEDDED: Final = "embedded"
COMETBFT: Final = "cometbft"
LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
# Half of the room is for what waits uncounted and a short piece: 16 KiB each, or more.
LEAST_UNSENT_BYTES_EACH: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request, one connection and all of them together may take."""

    post_bytes: int = setting(65_535, "bytes of one post", most=65_535)
    posts_per_request: int = setting(100, "posts of one request", most=10_000)
    manifest_bytes: int = setting(32_768, "bytes of one manifest's upload", most=MIB)
    piece_bytes: int = setting(64 * MIB, "bytes of one piece of a blob's upload", most=1024 * MIB)
    lot_bytes: int = setting(162 * MIB, "bytes of the leaves of one lot", most=1024 * MIB)
    report_bytes: int = setting(8_192, "bytes of one device's report", most=65_535)
    # Clients take a shorter answer for the end of the chain (docs/spec/http.md).
    links_bytes: int = setting(
        MIB, "bytes of one answer of links", least=LEAST_PART_BYTES + MAX_ENTRY_BYTES, most=64 * MIB
    )
    header_bytes: int = setting(16_384, "bytes of one request's header", least=1_024, most=MIB)
    header_s: float = setting(10.0, "seconds until a header must be whole", least=0.1, most=HOUR_S)
    body_silence_s: float = setting(
        15.0, "seconds in which a body must go on", least=0.1, most=HOUR_S
    )
    body_s: float = setting(60.0, "seconds of one body, uploads apart", least=0.1, most=HOUR_S)
    upload_s: float = setting(3_600.0, "seconds of one piece's upload", least=0.1, most=24 * HOUR_S)
    stall_s: float = setting(
        30.0,
        "seconds between two looks at how much of an answer a client took",
        least=0.1,
        most=HOUR_S,
    )
    keep_alive_s: int = setting(75, "seconds that an idle connection is kept", most=HOUR_S)
    drain_s: int = setting(10, "seconds that running requests have at the end", most=HOUR_S)
    connections: int = setting(4_096, "connections and requests at once", most=1_000_000)
    commit_s: float = setting(
        30.0, "seconds that a post's sender waits for its receipt", least=0.1, most=HOUR_S
    )
    checkin_cache_entries: int = setting(65_536, "check-ins kept ready", most=10_000_000)
    # A site of a thousand devices behind one address stays far below; local programs and proxies
    # that say for whom they ask are not limited by their own address.
    client_requests_per_s: float = setting(
        100.0, "requests a second of one address (IPv6: one /64)", least=0.01, most=1_000_000.0
    )
    client_burst: int = setting(
        2_000, "requests of one address at once, before that rate holds", most=10_000_000
    )
    clients_known: int = setting(100_000, "addresses whose rate is remembered", most=100_000_000)
    client_connections: int = setting(256, "connections of one address at once", most=1_000_000)
    pipelined: int = setting(32, "requests that wait on one connection", most=10_000)
    least_bytes_per_s: int = setting(
        1_024, "bytes a second that a client must take of an answer", most=100 * MIB
    )
    unsent_bytes: int = setting(
        256 * MIB,
        "bytes of answers that wait for slow clients, of all connections together: 64 KiB for each "
        "of limits.connections, or more",
        least=MIB,
        most=1024 * GIB,
    )
    bodies_bytes: int = setting(
        64 * MIB,
        "bytes of bodies that are not whole yet, of all connections together, uploads apart: the "
        "longest body of posts, or more",
        least=MIB,
        most=1024 * GIB,
    )
    uploads_at_once: int = setting(16, "uploads at the same time", most=10_000)
    uploads_per_maker: int = setting(4, "of them, uploads of one maker", most=10_000)
    lots_at_once: int = setting(8, "uploads of lots' leaves at the same time", most=1_000)
    lots_per_client: int = setting(2, "of them, uploads of one address", most=1_000)
    blob_bytes: int = setting(4 * GIB, "bytes of one artifact that is kept here", most=4 * GIB)
    document_bytes: int = setting(
        64 * MIB, "bytes of an SBOM or of notes, whose size no release states", most=GIB
    )
    release_blob_bytes: int = setting(
        8 * GIB, "bytes of all artifacts and documents of one release", most=1024 * GIB
    )
    maker_blob_bytes: int = setting(
        64 * GIB, "bytes of all that one maker keeps here", most=1024 * 1024 * GIB
    )
    reserve_bytes: int = setting(
        256 * MIB,
        "bytes of the disk that uploads leave to the log and its state",
        most=1024 * 1024 * GIB,
    )
    head_reserve_bytes: int = setting(
        4 * MIB,
        "bytes of the disk that are kept for heads alone: on a full disk each takes 16 KiB of them "
        "at most, posts and reports wait",
        least=64 * 1024,
        most=GIB,
    )

    def __post_init__(self) -> None:
        check_values(self, "limits.")
        if self.body_silence_s > self.body_s:
            raise WrongSetting(
                "limits.body_silence_s",
                f"{self.body_silence_s} is longer than limits.body_s ({self.body_s}), which ends "
                "a body anyway; lower the one or raise the other",
                "limits.body_s",
            )
        least = LEAST_UNSENT_BYTES_EACH * self.connections
        if self.unsent_bytes < least:
            raise WrongSetting(
                "limits.unsent_bytes",
                f"{self.unsent_bytes} is less than 64 KiB for each of limits.connections "
                f"({self.connections}), so slow clients could fill it; raise it to {least}, or "
                f"lower limits.connections to {self.unsent_bytes // LEAST_UNSENT_BYTES_EACH}",
                "limits.connections",
            )
        longest = self.post_bytes * self.posts_per_request
        if self.bodies_bytes < longest:
            raise WrongSetting(
                "limits.bodies_bytes",
                f"{self.bodies_bytes} is less than one body of posts may have, limits.post_bytes "
                f"times limits.posts_per_request; raise it to {longest}, or lower "
                f"limits.posts_per_request to {self.bodies_bytes // self.post_bytes}",
                "limits.posts_per_request",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What the node says on stderr while it runs (docs/reference/events.md)."""

    format: str = choice("logfmt", "how an event is written, one a line", FORMATS)
    level: str = choice("warning", "the least that is said", LEVELS)
    access: bool = setting(
        default=False, what="an event for every request of the application, at level info"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """The files of a certificate. Without them the node speaks plain HTTP, as behind a proxy."""

    certificate: Path | None = setting(None, "certificate chain in PEM, the node's own first")
    key: Path | None = setting(None, "its private key in PEM, not encrypted")

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            here, there = ("key", "certificate") if self.key else ("certificate", "key")
            raise WrongSetting(
                f"tls.{there}", f"is not set, and tls.{here} is; set both or neither", f"tls.{here}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One node. `origin` None: keep the board that is there, or make a trial board.

    Port 0 lets the system choose; the ready line says which.
    """

    data: Path = required("folder of the board's data; an empty or new one becomes a new board")
    origin: str | None = setting(
        None, "name of a new board, for ever, as board.example/1; without it, a trial board"
    )
    engine: str = choice(
        EMBEDDED,
        "what orders posts: this process alone, or CometBFT together with other operators",
        (EMBEDDED, COMETBFT),
    )
    listen: tuple[str, ...] = setting(
        ("127.0.0.1:8470",), "where to serve: HOST:PORT, [IPv6]:PORT, or :PORT for all addresses"
    )
    mirrors: tuple[str, ...] = setting(
        (),
        "folders and URLs of copies of this board: they are asked at the start what this node "
        "signed last, and what is missing here is fetched from them",
    )
    metrics_listen: str | None = setting(
        None, "where to serve /metrics, for yourself alone, as 127.0.0.1:8479; without it, nowhere"
    )
    witness_policy: Path | None = setting(
        None,
        "C2SP tlog-policy file with addresses of witnesses: of the board's record, where it gives "
        "none or others, and of further ones, whose lines the checkpoint then has too",
    )
    trusted_proxies: tuple[str, ...] = setting(
        LOOPBACK,
        "networks of proxies that say in X-Forwarded-For or Forwarded for whom they ask",
    )
    limits: Limits = table(Limits)
    cometbft: CometbftConfig = table(CometbftConfig)
    tls: TlsConfig = table(TlsConfig)
    log: LogConfig = table(LogConfig)

    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where to serve: hosts and ports."""
        return tuple(parse_listen(address) for address in self.listen)

    def __post_init__(self) -> None:
        if self.origin is not None:
            try:
                check_origin(self.origin)
            except Malformed as error:
                raise WrongSetting("origin", str(error)) from error
        for network in self.trusted_proxies:
            try:
                ip_network(network)
            except ValueError as error:
                raise WrongSetting(
                    "trusted_proxies", f"{error}; write for example 10.0.0.0/8"
                ) from error
        if not self.listen:
            raise WrongSetting("listen", 'is empty; name an address, as ["127.0.0.1:8470"]')
        try:
            addresses = self.addresses()
        except Misconfigured as error:
            raise WrongSetting("listen", str(error)) from error
        fixed = [address for address in addresses if address[1]]
        if len(set(fixed)) != len(fixed):
            raise WrongSetting("listen", "names an address twice; leave one away")
        if self.metrics_listen is not None:
            self._check_metrics_listen(self.metrics_listen, fixed)

    def _check_metrics_listen(self, text: str, taken: list[tuple[str, int]]) -> None:
        try:
            address = parse_listen(text)
        except Misconfigured as error:
            raise WrongSetting("metrics_listen", str(error)) from error
        if address in taken:
            raise WrongSetting(
                "metrics_listen", "is one of `listen`; choose a port of its own", "listen"
            )


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
