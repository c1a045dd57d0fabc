# SPDX-License-Identifier: Apache-2.0
"""What an agent must not forget when it reboots: one file, replaced whole.

    {1: 1, 2: belief, 3: state, 4: running sequence, 5: staged, 6: [failed…], 7: boot count,
     8: lot, 9: [outcome, reason, sequence, [digest…]] to report, 10: last reason,
     11: lost trials, 12: no install before, 13: saved at, 14: seconds of isolation,
     15: pending, 16: seconds of isolation saved at}

    staged = [sequence, version, manifest digest, [[component id, image digest, bytes]…],
              change count, applied offline]
    failed = [manifest digest, change count, tries]
    lot    = [lot id, index, count, leaf, [path…]]

pending = [manifest digest, sequence, seen at, may be put off for s, put off until]

5, 8 and 9 may be null, 14 and 16 are absent where they are 0, 15 where nothing is pending. Times
are Unix seconds. The file is the agent's own; devices never exchange it, and another version of it
is read by the release that brings it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fieldpost import cbor
from fieldpost.agent.postponement import Pending
from fieldpost.agent.slots.base import Image, ImageSet
from fieldpost.agent.slots.stored_image import images_value, parse_images
from fieldpost.agent.states import State
from fieldpost.checkin.belief import Belief, decode_belief
from fieldpost.durable import OS, Disk, write_file
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.identity.outcome import Outcome

VERSION: Final = 1
_MOST_FAILED: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The release that is being installed, or was last."""

    sequence: int
    version: str
    manifest: bytes
    images: tuple[Image, ...]
    change_count: int
    offline: bool = False

    @property
    def release(self) -> ImageSet:
        """The release as a slot holds it."""
        return ImageSet(sequence=self.sequence, version=self.version, images=self.images)

    def value(self) -> list[object]:
        """The CBOR form."""
        return [
            *(self.sequence, self.version, self.manifest),
            *(images_value(self.images), self.change_count, self.offline),
        ]


@dataclass(frozen=True, slots=True)
class Failed:
    """A release whose own health check failed, `tries` times while the head's count stood still."""

    manifest: bytes
    change_count: int
    tries: int


@dataclass(frozen=True, slots=True)
class Membership:
    """The device's place in its lot, verified when it was learnt."""

    lot: bytes
    index: int
    count: int
    leaf: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The report that waits to be sent, the latest: about the release of this sequence, and the
    digests of its images in order."""

    outcome: Outcome
    reason: str
    sequence: int
    digests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Everything that survives. `install_after`, `saved_at` and `isolation_saved_at` (0: not by a
    clock) in Unix seconds."""

    belief: Belief
    running: int
    state: State = State.IDLE
    staged: Staged | None = None
    failed: tuple[Failed, ...] = ()
    boot_count: int = 0
    lot: Membership | None = None
    told: Told | None = None
    reason: str = ""
    lost_trials: int = 0
    install_after: int = 0
    saved_at: int = 0
    isolated_s: int = 0
    isolation_saved_at: int = 0
    pending: Pending | None = None

    def tries(self, manifest: bytes, change_count: int) -> int:
        """How often this release failed since the head's change count last moved."""
        return sum(f.tries for f in self.failed if f == Failed(manifest, change_count, f.tries))

    def with_failure(self, manifest: bytes, change_count: int) -> "Memory":
        """One more failed try; counts of other change counts of the release are forgotten."""
        tries = self.tries(manifest, change_count) + 1
        others = tuple(f for f in self.failed if f.manifest != manifest)
        kept = (*others, Failed(manifest, change_count, tries))[-_MOST_FAILED:]
        return replace(self, failed=kept)

    def encode(self) -> bytes:
        """Deterministic CBOR: the file."""
        lot, told = self.lot, self.told
        later: dict[int, object] = {14: self.isolated_s} if self.isolated_s else {}
        if self.pending is not None:
            p = self.pending
            later[15] = [p.manifest, p.sequence, p.seen_at, p.may_s, p.until]
        if self.isolation_saved_at:
            later[16] = self.isolation_saved_at
        return cbor.encode(
            {
                1: VERSION,
                2: self.belief.encode(),
                3: str(self.state),
                4: self.running,
                5: None if self.staged is None else self.staged.value(),
                6: [[f.manifest, f.change_count, f.tries] for f in self.failed],
                7: self.boot_count,
                8: None if lot is None else [lot.lot, lot.index, lot.count, lot.leaf, lot.path],
                9: (
                    None
                    if told is None
                    else [str(told.outcome), told.reason, told.sequence, told.digests]
                ),
                10: self.reason,
                11: self.lost_trials,
                12: self.install_after,
                13: self.saved_at,
            }
            | later
        )


def decode_memory(data: bytes) -> Memory:
    """Read the file. Raises Malformed."""
    match cbor.decode(data):
        case {
            1: 1,
            2: bytes(belief),
            3: str(state),
            4: int(running),
            5: staged,
            6: tuple(failed),
            7: int(boot_count),
            8: lot,
            9: told,
            10: str(reason),
            11: int(lost_trials),
            12: int(install_after),
            13: int(saved_at),
            **later,
        }:
            if state not in set(State):
                raise Malformed(f"no state is called {state!r}")
            return Memory(
                belief=decode_belief(belief),
                running=running,
                state=State(state),
                staged=_read_staged(staged),
                failed=tuple(_read_failed(item) for item in failed),
                boot_count=boot_count,
                lot=_read_membership(lot),
                told=_read_told(told),
                reason=reason,
                lost_trials=lost_trials,
                install_after=install_after,
                saved_at=saved_at,
                isolated_s=_read_count(later.get(14, 0)),
                isolation_saved_at=_read_count(later.get(16, 0)),
                pending=_read_pending(later.get(15)),
            )
        case _:
            raise Malformed("not an agent's memory of version 1")


def _read_count(value: object) -> int:
    if not isinstance(value, int):
        raise Malformed("memory: a count is an integer")
    return value


def _read_pending(value: object) -> Pending | None:
    match value:
        case None:
            return None
        case (bytes(manifest), int(sequence), int(seen_at), int(may_s), int(until)):
            return Pending(
                manifest=manifest, sequence=sequence, seen_at=seen_at, may_s=may_s, until=until
            )
        case _:
            raise Malformed("memory: what is pending has five members")


def _read_staged(value: cbor.Value) -> Staged | None:
    match value:
        case None:
            return None
        case (
            int(sequence),
            str(version),
            bytes(manifest),
            images,
            int(change_count),
            bool(offline),
        ) if read := parse_images(images):
            return Staged(
                sequence=sequence,
                version=version,
                manifest=manifest,
                images=read,
                change_count=change_count,
                offline=offline,
            )
        case _:
            raise Malformed("memory: a staged release has six members")


def _read_failed(value: cbor.Value) -> Failed:
    match value:
        case (bytes(manifest), int(change_count), int(tries)):
            return Failed(manifest, change_count, tries)
        case _:
            raise Malformed("memory: a failed release has three members")


def _read_membership(value: cbor.Value) -> Membership | None:
    match value:
        case None:
            return None
        case (bytes(lot), int(index), int(count), bytes(leaf), tuple(path)):
            return Membership(lot, index, count, leaf, read_path(path))
        case _:
            raise Malformed("memory: a membership has five members")


def read_path(value: tuple[cbor.Value, ...]) -> tuple[bytes, ...]:
    """Hashes of 32 bytes. Raises Malformed."""
    hashes = tuple(item for item in value if isinstance(item, bytes) and len(item) == 32)
    if len(hashes) != len(value):
        raise Malformed("a path is made of 32-byte hashes")
    return hashes


def _read_told(value: cbor.Value) -> Told | None:
    match value:
        case None:
            return None
        case (str(outcome), str(reason), int(sequence), tuple(digests)) if outcome in set(Outcome):
            return Told(
                outcome=Outcome(outcome),
                reason=reason,
                sequence=sequence,
                digests=read_path(digests),
            )
        case _:
            raise Malformed("memory: a report has four members")


def load_memory(path: Path) -> Memory:
    """What was last saved. Raises Misconfigured, saying what to do."""
    try:
        return decode_memory(path.read_bytes())
    except FileNotFoundError:
        raise Misconfigured(
            f"there is no {path}: this device is not set up; run  fieldpost agent enrol"
        ) from None
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}") from error
    except Malformed as error:
        raise Misconfigured(f"{path} is damaged ({error}); restore it, or enrol anew") from error


def save_memory(path: Path, memory: Memory, *, disk: Disk = OS) -> None:
    """Replace the file, durably: the old content survives until the new one is whole."""
    write_file(path, memory.encode(), mode=0o600, disk=disk)
