# SPDX-License-Identifier: Apache-2.0
"""The logs that a witness knows by their keys, and what it demands of a checkpoint.

A log has one origin and one or more keys, any of which may sign. A quorum of other cosigners may
be demanded besides, as a C2SP tlog-policy states it: then one of a log's keys alone cannot make the
witness cosign, so it cannot poison it with a fork either.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.keys import Accepts
from fieldpost.tlog.checkpoint import Checkpoint, VerifiedSignature, open_checkpoint
from fieldpost.tlog.note import ED25519, Note, NoteSignature, VerifierKey, parse_note, parse_vkey
from fieldpost.tlog.policy import Policy
from fieldpost.tlog.treehead import MAX_ORIGIN_BYTES, parse_decimal
from fieldpost.tlog.witness import Inconsistent

LIST_HEADER = "logs/v0"
MAX_LOGS = 100_000


@dataclass(frozen=True, slots=True)
class KnownLog:
    """One log. `url` is where its static files lie; `quorum` what must have cosigned before us."""

    origin: str
    keys: tuple[VerifierKey, ...]
    url: str | None = None
    quorum: Policy | None = None

    def verify(
        self, note_bytes: bytes, quick_yes: Accepts | None = None
    ) -> tuple[Checkpoint, tuple[NoteSignature, ...]]:
        """The checkpoint in a note that a key of the log signed, and the lines of known keys.

        `quick_yes` is that of `verify_signature`.
        Raises Malformed and Untrusted as `open_checkpoint`, Untrusted("no-quorum"), and
        Inconsistent for a root that no empty tree has.
        """
        others = self.quorum.witnesses if self.quorum else ()
        known = (*self.keys, *(witness.key for witness in others))
        try:
            checkpoint, verified = open_checkpoint(
                note_bytes, known, origin=self.origin, extensions=True, quick_yes=quick_yes
            )
        except Untrusted as error:
            if error.reason == "bad-proof":  # an empty tree with a root that is not of nothing
                raise Inconsistent(error.detail) from error
            raise
        if not any(signature.key in self.keys for signature in verified):
            raise Untrusted("unknown-key", f"{self.origin} itself did not sign")
        if self.quorum is not None:
            check_quorum(self.quorum, verified)
        return checkpoint, tuple(signature.signature for signature in verified)


def check_quorum(quorum: Policy, verified: Iterable[VerifiedSignature]) -> None:
    """Check that these cosigners, with a time of their own, suffice. Raises Untrusted."""
    names = {witness.key: witness.name for witness in quorum.witnesses}
    times = {
        names[signature.key]: signature.timestamp
        for signature in verified
        if signature.key in names and signature.timestamp
    }
    if not quorum.is_satisfied(times):
        raise Untrusted("no-quorum", f"{len(times)} cosigners do not make the quorum")


def own_signatures(note: Note, vkeys: Iterable[VerifierKey]) -> tuple[NoteSignature, ...]:
    """The lines of a note that claim to be by these keys; nothing is verified."""
    own = {(key.name, key.key_id) for key in vkeys}
    return tuple(line for line in note.signatures if (line.name, line.key_id) in own)


def origin_of_note(note_bytes: bytes) -> str:
    """The origin that a note names, before anything is verified. Raises Malformed."""
    return parse_note(note_bytes).text.partition("\n")[0]


def logs_of_policy(policy: Policy) -> list[KnownLog]:
    """The logs of a tlog-policy file; its quorum, unless `none`, is demanded of each."""
    quorum = policy if policy.quorum is not None else None
    return [KnownLog(log.key.name, (log.key,), log.url, quorum) for log in policy.logs]


def parse_log_list(data: bytes) -> list[KnownLog]:
    """The logs of a list in the format `logs/v0` of the witness network. Raises Malformed.

    `vkey` begins a log, `origin` names it where that is not the key's name; what else is said of
    a log (qpd, bastion, contact) is for people.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("a log list is UTF-8") from error
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines or lines[0] != LIST_HEADER:
        raise Malformed(f"a log list begins with the line {LIST_HEADER}")
    logs: list[KnownLog] = []
    for line in lines[1:]:
        word, _, value = line.partition(" ")
        if word == "vkey":
            key = parse_log_key(value.strip())
            logs.append(KnownLog(key.name, (key,)))
        elif word in ("origin", "qpd", "bastion", "contact") and logs:
            logs[-1] = _with_line(logs[-1], word, value.strip())
        else:
            raise Malformed(f"a log list has no line {word[:40]!r} here")
        if len(logs) > MAX_LOGS:
            raise Malformed(f"a list of more than {MAX_LOGS} logs")
    return logs


def _with_line(log: KnownLog, word: str, value: str) -> KnownLog:
    if word == "qpd":
        parse_decimal(value)
    if word != "origin" or value == "none":
        return log
    if not 1 <= len(value.encode()) <= MAX_ORIGIN_BYTES:
        raise Malformed(f"an origin has 1 to {MAX_ORIGIN_BYTES} bytes")
    return replace(log, origin=value)


def parse_log_key(text: str) -> VerifierKey:
    """A log's vkey. Raises Malformed for anything else, a cosigner's included.

    A log's ML-DSA-44 key (0x06) is taken as well: logs sign with one beside their Ed25519 key.
    """
    key = parse_vkey(text)
    if key.type not in (ED25519, 0x06):
        raise Malformed(f"{key.name} is the key of a cosigner, not of a log")
    return key


def gather_logs(logs: Iterable[KnownLog]) -> dict[str, KnownLog]:
    """By origin; several keys of one origin become one log.

    Raises Misconfigured where two sources demand different quorums of one origin.
    """
    found: dict[str, KnownLog] = {}
    for log in logs:
        before = found.get(log.origin)
        if before is None:
            found[log.origin] = log
            continue
        if before.quorum != log.quorum:
            raise Misconfigured(
                f"{log.origin} stands in two sources of logs with different quorums; leave one away"
            )
        keys = (*before.keys, *(key for key in log.keys if key not in before.keys))
        found[log.origin] = replace(before, keys=keys, url=before.url or log.url)
    return found


def with_boards(logs: Mapping[str, KnownLog], origins: Iterable[str]) -> Mapping[str, KnownLog]:
    """The logs, if none of them is a board's. Raises Misconfigured."""
    both = sorted(set(logs) & set(origins))
    if both:
        raise Misconfigured(
            f"{both[0]} is witnessed as a board: its record says who signs, so leave its key away"
        )
    return logs
