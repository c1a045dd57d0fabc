# SPDX-License-Identifier: Apache-2.0
"""Values that rules write beside the signed records (docs/spec/state-map.md).

    link              [epoch, SHA-256 of the entry]
    nonce             uint
    enrolled by key   uint
    used key          [holder, role name]
    classes of maker  [class id…], sorted
    class counters    {1: newest sequence, 2: floor, 3: devices enrolled}
    release counters  {1: salt, 2: {channel: highest threshold}, 3: withdrawal}   1, 3 optional
    manifest          sequence
    quota, reserve    [UTC day, posts, bytes]; registrations likewise
    advisories        uint
    domain            [maker id, maker epoch], or [] where its holder took another
    domain of maker   [domain, maker epoch, time], or [] where another maker took it
    release blocks    [[kid, algorithm, signature]…], sorted by kid
    witness key       name

These bytes only rules write, so readers trust their shape and fail as bugs, not as bad input.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Self

from fieldpost import cbor
from fieldpost.errors import Malformed


@dataclass(frozen=True, slots=True)
class Link:
    """The last link of a record: its epoch, and the SHA-256 of its entry."""

    epoch: int
    digest: bytes

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode([self.epoch, self.digest])

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Inverse of `encode`. Raises Malformed."""
        match cbor.decode(data):
            case (int(epoch), bytes(digest)):
                return cls(epoch, digest)
        raise Malformed("a link value that no rule writes")


@dataclass(frozen=True, slots=True)
class ClassCounters:
    """Newest published sequence, floor (offers below it are refused), devices enrolled."""

    newest: int = 0
    floor: int = 0
    devices: int = 0

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode({1: self.newest, 2: self.floor, 3: self.devices})

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Inverse of `encode`. Raises Malformed."""
        match cbor.decode(data):
            case {1: int(newest), 2: int(floor), 3: int(devices)}:
                return cls(newest, floor, devices)
        raise Malformed("class counters that no rule writes")


@dataclass(frozen=True, slots=True)
class ReleaseCounters:
    """Salt (from the first offer on), highest threshold per channel, reason of a withdrawal."""

    salt: bytes | None = None
    highest: Mapping[str, int] = field(default_factory=dict)
    withdrawn: str | None = None

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        value: dict[int, object] = {2: dict(self.highest)}
        if self.salt is not None:
            value[1] = self.salt
        if self.withdrawn is not None:
            value[3] = self.withdrawn
        return cbor.encode(value)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Inverse of `encode`. Raises Malformed."""
        match cbor.decode(data):
            case {2: dict(highest), **rest}:
                counters = cls(highest=dict(_highest(*item) for item in highest.items()))
                for label, value in rest.items():
                    if label == 1 and isinstance(value, bytes):
                        counters = replace(counters, salt=value)
                    elif label == 3 and isinstance(value, str):
                        counters = replace(counters, withdrawn=value)
                return counters
        raise Malformed("release counters that no rule writes")


def _highest(channel: cbor.Key, threshold: cbor.Value) -> tuple[str, int]:
    if not isinstance(channel, str) or type(threshold) is not int:
        raise Malformed("release counters that no rule writes")
    return channel, threshold


_THREE: Final = b"\x83"


class DailyCount(NamedTuple):
    """What was posted on one UTC day (days since 1970); `size` in bytes."""

    day: int
    posts: int = 0
    size: int = 0

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        # Written and read as it stands, since every post does both.
        day, posts, size = self
        return _THREE + cbor.encode(day) + cbor.encode(posts) + cbor.encode(size)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Inverse of `encode`. Raises Malformed."""
        day, at = cbor.read_head(data, 1, 0)
        posts, at = cbor.read_head(data, at, 0)
        size, at = cbor.read_head(data, at, 0)
        if data[:1] != _THREE or at != len(data):
            raise Malformed("a daily count that no rule writes")
        return cls(day, posts, size)


@dataclass(frozen=True, slots=True)
class DomainHolder:
    """The maker that operators last attested for a domain, at its epoch of then."""

    maker: bytes
    epoch: int

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode([self.maker, self.epoch])


@dataclass(frozen=True, slots=True)
class Attestation:
    """The domain that operators attested for a maker at `epoch`, in a batch at `time`.

    It counts while the maker is at that epoch.
    """

    domain: str
    epoch: int
    time: int

    def encode(self) -> bytes:
        """Deterministic CBOR."""
        return cbor.encode([self.domain, self.epoch, self.time])


RELEASED: Final = cbor.encode([])


def decode_domain_holder(data: bytes) -> DomainHolder | None:
    """Who holds a domain, if anybody does."""
    match cbor.decode(data):
        case ():
            return None
        case (bytes(maker), int(epoch)):
            return DomainHolder(maker, epoch)
    raise Malformed("a holder of a domain that no rule writes")


def decode_attestation(data: bytes) -> Attestation | None:
    """The domain of a maker, if it has one."""
    match cbor.decode(data):
        case ():
            return None
        case (str(name), int(epoch), int(time)):
            return Attestation(name, epoch, time)
    raise Malformed("an attestation that no rule writes")
