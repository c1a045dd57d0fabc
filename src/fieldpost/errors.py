# SPDX-License-Identifier: Apache-2.0
"""The error families. A family says who must act; the message says what to do.

    FieldpostError
    ├─ Malformed        the bytes do not parse: whoever wrote them must act
    ├─ Rejected         well formed, but the rules say no; carries the numbered code of the spec
    ├─ Untrusted        a signature, proof, quorum or freshness check failed; carries a reason
    │  └─ Misbehaviour  two signed statements that cannot both be honest; carries the evidence
    ├─ NotFound         no such thing here
    ├─ Conflict         somebody else was first; retry with `current`
    ├─ Unavailable      network, disk or time ran out; retry later
    └─ Misconfigured    the operator's or user's own files and settings; fix them first

Library code raises these and never prints, logs or exits. Edges (CLI, HTTP, agent) map
families to exit codes, statuses and states in one small table each.
"""


class FieldpostError(Exception):
    """Root of every expected error."""


class Malformed(FieldpostError):
    """Bytes that are not a valid encoding of what they claim to be."""


class Rejected(FieldpostError):
    """A well-formed post that the ledger's rules refuse.

    `code` is the number of docs/spec/codes.md, `name` its short name.
    """

    def __init__(self, code: int, name: str, detail: str = "") -> None:
        super().__init__(f"{name} ({code}): {detail}" if detail else f"{name} ({code})")
        self.code = code
        self.name = name
        self.detail = detail


class Untrusted(FieldpostError):
    """A signature, proof, quorum, rollback or freshness check that failed.

    `reason` is a short stable word of docs/spec/codes.md (`not-newer`, `stale`, `no-quorum`, …).
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Misbehaviour(Untrusted):
    """Two signed statements that cannot both be honest. `evidence` holds both, as bytes."""

    def __init__(self, reason: str, detail: str, evidence: tuple[bytes, ...]) -> None:
        super().__init__(reason, detail)
        self.evidence = evidence


class NotFound(FieldpostError):
    """The thing asked for is not here."""


class Conflict(FieldpostError):
    """Somebody else was first. `current` is what stands now, as text for people."""

    def __init__(self, detail: str, current: str = "") -> None:
        super().__init__(detail)
        self.current = current


class Unavailable(FieldpostError):
    """Network, disk or time failed; the same call may work later.

    `retry_after_s` is what the other side asked for, if it did.
    """

    def __init__(self, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Misconfigured(FieldpostError):
    """The local files or settings are wrong; nothing was changed."""
