# SPDX-License-Identifier: Apache-2.0
"""Signatures of reports verified ahead, for a whole batch at once, by whoever does it best.

Python runs one thread at a time, and one that comes back from a signature check waits for its turn
while another computes; so a writer that verifies report after report waits most of its time. What
was found is only a memory of `verify_signature`: what is not remembered is verified when asked.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fieldpost.errors import FieldpostError
from fieldpost.fleet.database import FleetDb
from fieldpost.identity.leaf import scan_key
from fieldpost.identity.report import signature_check
from fieldpost.keys import PublicKey, verify_signature

Check = tuple[PublicKey, bytes, bytes]
"""Key, message, signature."""

VerifyMany = Callable[[Sequence[Check]], Sequence[bool]]
"""Which of some checks are valid, in order."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A report, and the device id that it claims."""

    device: bytes
    data: bytes


def verify_none(checks: Sequence[Check]) -> Sequence[bool]:
    """A `VerifyMany` that leaves everything to be verified when asked."""
    return [False] * len(checks)


class VerifiedAhead:
    """What was found valid of the batch at hand. For the writing thread."""

    def __init__(self, database: FleetDb, verify: VerifyMany) -> None:
        self._database = database
        self._verify = verify
        self._valid: dict[bytes, tuple[PublicKey, bytes]] = {}

    def prepare(self, reports: Iterable[Incoming]) -> None:
        """Verify the signatures of a batch, as far as their devices are known."""
        reports = list(reports)
        self._database.at_hand.expect([one.device for one in reports])
        checks = [check for one in reports if (check := self._check_of(one)) is not None]
        verdicts = self._verify(checks)
        self._valid = {
            signature: (key, message)
            for (key, message, signature), valid in zip(checks, verdicts, strict=True)
            if valid
        }

    def check_signature(self, key: PublicKey, message: bytes, signature: bytes) -> None:
        """`verify_signature`, remembered. Raises Untrusted("bad-signature")."""
        if self._valid.get(signature) != (key, message):
            verify_signature(key, message, signature)

    def _check_of(self, report: Incoming) -> Check | None:
        try:
            place = self._database.at_hand.place(report.device)
            if place is None:
                return None
            return signature_check(report.data, scan_key(place.leaf)[0])
        except FieldpostError:
            return None
