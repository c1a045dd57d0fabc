# SPDX-License-Identifier: Apache-2.0
"""An agent's directory: where everything of one device stands, and the lock on it.

agent.toml          what the owner chooses
provisioning.cose   what the device trusts when it leaves the factory, as signed by its maker
device.key          the device's private key, or the name of it in a token; mode 0600
<serial>.enrol      the request that the maker's `lot enrol` takes
memory.cbor         what survives a reboot
slots/              the images
downloads/          stored bytes that have not all arrived
evidence/           two signed statements that cannot both be honest; for a person. NAME.sent: the
                    fleet service was given NAME
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost import cbor
from fieldpost.agent.evidence import evidence_file
from fieldpost.agent.trust import believe_factory
from fieldpost.checkin.belief import Belief
from fieldpost.durable import OS, Disk, make_dirs, write_file
from fieldpost.errors import Conflict, Misbehaviour, Misconfigured
from fieldpost.records.provisioning import ProvisioningRecord

MOST_EVIDENCE: Final = 16
_SENT: Final = ".sent"


@dataclass(frozen=True, slots=True)
class Home:
    """The directory's places. Everything in it is written through `disk`."""

    root: Path
    disk: Disk = OS

    @property
    def config(self) -> Path:
        """`agent.toml`."""
        return self.root / "agent.toml"

    @property
    def provisioning(self) -> Path:
        """`provisioning.cose`."""
        return self.root / "provisioning.cose"

    @property
    def key(self) -> Path:
        """`device.key`."""
        return self.root / "device.key"

    @property
    def memory(self) -> Path:
        """`memory.cbor`."""
        return self.root / "memory.cbor"

    @property
    def slots(self) -> Path:
        """`slots/`."""
        return self.root / "slots"

    @property
    def downloads(self) -> Path:
        """`downloads/`."""
        return self.root / "downloads"

    @property
    def evidence(self) -> Path:
        """`evidence/`."""
        return self.root / "evidence"

    def load_provisioning(self) -> tuple[Belief, ProvisioningRecord]:
        """What the factory wrote, verified again. Raises Misconfigured, Malformed, Untrusted."""
        try:
            return believe_factory(self.provisioning.read_bytes())
        except OSError as error:
            raise Misconfigured(
                f"cannot read {self.provisioning}: {error.strerror}; run  fieldpost agent enrol"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other agents out, until this process ends or executes another program.

        Raises Conflict, Misconfigured.
        """
        try:
            fd = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Misconfigured(
                f"cannot open {self.root}: {error.strerror}; run  fieldpost agent enrol"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Conflict(f"another agent runs in {self.root}") from None
        finally:
            os.close(fd)

    def keep_evidence(self, found: Misbehaviour, belief: Belief | None = None) -> Path:
        """Write the evidence, named by its digest; the same again changes nothing.

        A split view becomes a file that anybody can judge (docs/spec/evidence.md), by the keys of
        `belief`; anything else is CBOR [reason, detail, [statement…]]. Where MOST_EVIDENCE files
        lie, they say enough: no more are written, and the path is where it would be. Raises
        Unavailable.
        """
        portable = None if belief is None else evidence_file(found, belief)
        data = portable or cbor.encode([found.reason, found.detail, list(found.evidence)])
        ending = "cbor" if portable is None else "evidence"
        path = self.evidence / f"{found.reason}-{sha256(data).hexdigest()[:16]}.{ending}"
        make_dirs(self.evidence, disk=self.disk)
        kept = {file.name for file in self.evidence.iterdir() if file.suffix != _SENT}
        # One true split view can be shown again with ever new times, and must not fill the disk.
        if path.name not in kept and len(kept) < MOST_EVIDENCE:
            write_file(path, data, disk=self.disk)
        return path

    def unsent_evidence(self) -> Iterator[tuple[Path, bytes]]:
        """Evidence that others can judge and that no fleet service was given yet."""
        for path in sorted(self.evidence.glob("*.evidence")):
            # What cannot be read is no reason to stop: the report has been sent.
            with suppress(OSError):
                if not path.with_name(path.name + _SENT).exists():
                    yield path, path.read_bytes()

    def note_sent(self, evidence: Path) -> None:
        """It need not be sent again. Raises Unavailable."""
        write_file(evidence.with_name(evidence.name + _SENT), b"", disk=self.disk)
