# SPDX-License-Identifier: Apache-2.0
"""The JSON documents of a node, read into values (docs/spec/http.md).

They are one node's word and no proof: they choose what a command asks for or shows, and what it
signs is checked by the board's rules. A document of another shape is a failure of the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from fieldpost.errors import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRow:
    """One downloadable form of an image; digests in hex. `stored`: the node has all its bytes."""

    digest: str
    image: str
    size: int
    encoding: str
    stored: bool

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises Unavailable for another shape."""
        match value:
            case {
                "digest": str(digest),
                "image": str(image),
                "size": int(size),
                "encoding": str(encoding),
                "stored": bool(stored),
            }:
                return cls(digest=digest, image=image, size=size, encoding=encoding, stored=stored)
        raise _odd("an artifact")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """One release as the node lists it."""

    sequence: int
    version: str
    kind: str
    manifest: str
    manifest_stored: bool
    artifacts: tuple[ArtifactRow, ...]
    withdrawn: str | None

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises Unavailable for another shape."""
        match value:
            case {
                "sequence": int(sequence),
                "version": str(version),
                "kind": str(kind),
                "manifest": str(manifest),
                "manifest_stored": bool(manifest_stored),
                "artifacts": [*artifacts],
                "withdrawn": (str() | None) as withdrawn,
            }:
                return cls(
                    sequence=sequence,
                    version=version,
                    kind=kind,
                    manifest=manifest,
                    manifest_stored=manifest_stored,
                    artifacts=tuple(map(ArtifactRow.parse, artifacts)),
                    withdrawn=withdrawn,
                )
        raise _odd("a release")

    @property
    def missing(self) -> tuple[str, ...]:
        """What the node still lacks of it, in words; empty when it is complete."""
        manifest = () if self.manifest_stored else ("the manifest",)
        return manifest + tuple(
            f"the {artifact.encoding} artifact {artifact.digest[:12]}…"
            for artifact in self.artifacts
            if not artifact.stored
        )

    def has_image(self, digest: bytes) -> bool:
        """Whether one of its artifacts gives the image with this SHA-256."""
        return any(artifact.image == digest.hex() for artifact in self.artifacts)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardView:
    """Who runs a board. Size and time are the node's word: `Board.head` verifies them."""

    board: str
    origin: str
    solo: bool
    trial: bool
    epoch: int
    size: int
    time: int
    operators: tuple[str, ...]

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises Unavailable for another shape."""
        match value:
            case {
                "board": str(board),
                "origin": str(origin),
                "solo": bool(solo),
                "trial": bool(trial),
                "epoch": int(epoch),
                "size": int(size),
                "time": int(time),
                "operators": [*operators],
            }:
                return cls(
                    board=board,
                    origin=origin,
                    solo=solo,
                    trial=trial,
                    epoch=epoch,
                    size=size,
                    time=time,
                    operators=tuple(map(_operator, operators)),
                )
        raise _odd("a board")


def _operator(value: object) -> str:
    match value:
        case {"name": str(name)}:
            return name
    raise _odd("an operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """Counts of devices: per release in the order newest first, and in all."""

    devices: int
    stale: int
    never_seen: int
    releases: tuple[tuple[int, dict[str, int]], ...]

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises Unavailable for another shape."""
        match value:
            case {
                "devices": int(devices),
                "stale": int(stale),
                "never_seen": int(never_seen),
                "releases": dict(releases),
            }:
                rows = sorted(map(_counts, releases.items()), key=lambda row: -row[0])
                return cls(
                    devices=devices, stale=stale, never_seen=never_seen, releases=tuple(rows)
                )
        raise _odd("a fleet")


def _counts(item: tuple[object, object]) -> tuple[int, dict[str, int]]:
    match item:
        case (str(sequence), dict(counts)) if sequence.isascii() and sequence.isdigit():
            if all(isinstance(count, int) for count in counts.values()):
                return int(sequence), {str(name): count for name, count in counts.items()}
    raise _odd("a release's reports")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodView:
    """What a fleet service kept of a class in [start, end), in Unix seconds.

    `outcomes` per sequence: [confirmed, failed, reverted]. `shown` is one device's reports, if
    they were asked for: (index, signed report, path), unverified.
    """

    start: int
    end: int
    reports: int
    root: bytes
    outcomes: Mapping[int, tuple[int, int, int]]
    shown: tuple[tuple[int, bytes, tuple[bytes, ...]], ...]

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises Unavailable for another shape."""
        match value:
            case {
                "from": int(start),
                "to": int(end),
                "reports": int(reports),
                "root": str(root),
                **rest,
            }:
                outcomes, shown = rest.get("outcomes", {}), rest.get("shown", [])
                if isinstance(outcomes, dict) and isinstance(shown, list):
                    return cls(
                        start=start,
                        end=end,
                        reports=reports,
                        root=octets(root),
                        outcomes=dict(map(_outcomes, outcomes.items())),
                        shown=tuple(map(_shown, shown)),
                    )
        raise _odd("a period")


def _outcomes(item: tuple[object, object]) -> tuple[int, tuple[int, int, int]]:
    match item:
        case (str(sequence), [int(confirmed), int(failed), int(reverted)]) if (
            sequence.isascii() and sequence.isdigit() and min(confirmed, failed, reverted) >= 0
        ):
            return int(sequence), (confirmed, failed, reverted)
    raise _odd("a release's outcomes")


def _shown(value: object) -> tuple[int, bytes, tuple[bytes, ...]]:
    match value:
        case {"index": int(index), "report": str(report), "path": list(path)}:
            return index, octets(report), tuple(octets(str(step)) for step in path)
    raise _odd("a shown report")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferRow:
    """One offer of a channel. `threshold` in 2^-32 of all devices."""

    channel: str
    sequence: int
    threshold: int
    not_before: int | None
    interval_s: int
    changes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassView:
    """A class: its record as the board holds it, and what was counted."""

    record: bytes
    maker: str
    newest: int | None
    floor: int | None
    devices: int
    intervals: dict[str, int]
    offers: tuple[OfferRow, ...]

    @classmethod
    def parse(cls, value: object) -> Self:
        """Raises Unavailable for another shape."""
        match value:
            case {
                "record": str(record),
                "maker": str(maker),
                "newest": (int() | None) as newest,
                "floor": (int() | None) as floor,
                "devices": int(devices),
                "channels": dict(channels),
            }:
                heads = {str(name): _head(str(name), head) for name, head in channels.items()}
                return cls(
                    record=octets(record),
                    maker=maker,
                    newest=newest,
                    floor=floor,
                    devices=devices,
                    intervals={name: interval for name, (interval, _) in heads.items()},
                    offers=tuple(offer for _, offers in heads.values() for offer in offers),
                )
        raise _odd("a class")


def _head(channel: str, value: object) -> tuple[int, list[OfferRow]]:
    match value:
        case {"interval_s": int(interval_s), "change_count": int(changes), "offers": [*offers]}:
            return interval_s, [_offer(channel, interval_s, changes, offer) for offer in offers]
    raise _odd("a channel")


def _offer(channel: str, interval_s: int, changes: int, value: object) -> OfferRow:
    match value:
        case {
            "sequence": int(sequence),
            "threshold": int(threshold),
            "not_before": (int() | None) as not_before,
        }:
            return OfferRow(
                channel=channel,
                sequence=sequence,
                threshold=threshold,
                not_before=not_before,
                interval_s=interval_s,
                changes=changes,
            )
    raise _odd("an offer")


def octets(text: str) -> bytes:
    """Bytes that a document writes in hex. Raises Unavailable for anything else."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _odd("hex") from None


def _odd(what: str) -> Unavailable:
    return Unavailable(f"the node's answer is not what {what} looks like; ask another node")
