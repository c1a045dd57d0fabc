# SPDX-License-Identifier: Apache-2.0
"""Telling the maker's fleet, signed, what runs and how the last attempt went.

One report waits at a time, the latest; it is signed anew whenever it is sent, so (boot count,
counter) grows. What becomes of it never holds up an update.
"""

from enum import StrEnum
from typing import Final

from fieldpost.agent.memory import Memory, Told
from fieldpost.agent.slots.base import ImageSet
from fieldpost.checkin.belief import Belief
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.client.sources import Sources
from fieldpost.client.transport import HttpClient
from fieldpost.errors import FieldpostError, NotFound, Unavailable, Untrusted
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.keys import SIGNATURE_BYTES, Algorithm, Signer
from fieldpost.records.limits import MAX_PROOF_BYTES, MAX_TEXT
from fieldpost.tlog.cosignature import Cosignature

_ED25519_BYTES: Final = SIGNATURE_BYTES[Algorithm.ED25519]
CONTENT_TYPE: Final = "application/eat+cwt"
_EVIDENCE: Final = "application/vnd.fieldpost.evidence+cbor"


class Delivery(StrEnum):
    """What became of a report."""

    SENT = "sent"
    WAITING = "waiting"
    NOT_ENROLLED = "not-enrolled"
    REFUSED = "refused"


class Reporter:
    """The sending side of one boot; its counter lives in memory alone."""

    def __init__(self, sources: Sources, signer: Signer) -> None:
        self._sources = sources
        self._signer = signer
        self._counter = 0

    def send(self, memory: Memory, told: Told) -> tuple[Delivery, str]:
        """Sign and send; returns what became of it, and the words of whoever refused."""
        return self._post("/v1/reports", self._sign(memory, told), CONTENT_TYPE)

    def send_evidence(self, evidence: bytes) -> tuple[Delivery, str]:
        """Send evidence, which proves itself; returns as `send`."""
        return self._post("/v1/fleet/evidence", evidence, _EVIDENCE)

    def _post(self, path: str, body: bytes, content_type: str) -> tuple[Delivery, str]:
        def post(client: HttpClient) -> None:
            client.send("POST", path, body, content_type=content_type)

        try:
            self._sources.ask(post)
        except NotFound as error:
            return Delivery.WAITING, str(error)
        except Unavailable as error:
            return Delivery.WAITING, str(error)
        except Untrusted as error:
            unknown = error.reason == "unknown-device"
            return Delivery.NOT_ENROLLED if unknown else Delivery.REFUSED, str(error)
        except FieldpostError as error:
            return Delivery.REFUSED, str(error)
        return Delivery.SENT, ""

    def _sign(self, memory: Memory, told: Told) -> bytes:
        self._counter += 1
        belief = memory.belief
        reason = "".join(letter if " " <= letter <= "~" else "?" for letter in told.reason)
        components = [
            ReportedComponent(index, told.sequence, digest)
            for index, digest in enumerate(told.digests)
        ]
        report = Report(
            board=belief.board,
            device=self._signer.public_key.thumbprint(),
            boot_count=memory.boot_count,
            counter=self._counter,
            components=tuple(components),
            outcome=told.outcome,
            reason=reason[:MAX_TEXT],
            head=None if belief.root is None else (belief.size, belief.root, belief.timestamp),
            cosignatures=_cosignatures(belief),
        )
        return sign_report(report, self._signer)


def _cosignatures(belief: Belief) -> tuple[Cosignature, ...]:
    """What makes the believed head somebody's word; none of it where there is no bundle."""
    if belief.root is None or belief.bundle is None:
        return ()
    bundle = decode_bundle(belief.bundle, most_bytes=MAX_PROOF_BYTES)
    return tuple(one for one in bundle.cosignatures if len(one.signature) == _ED25519_BYTES)


def of_running(outcome: Outcome, reason: str, running: ImageSet | None, sequence: int) -> Told:
    """A report about what runs; without an image it names none."""
    digests = running.digests if running else ()
    return Told(outcome=outcome, reason=reason, sequence=sequence, digests=digests)
