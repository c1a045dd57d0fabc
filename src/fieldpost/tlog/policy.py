# SPDX-License-Identifier: Apache-2.0
"""Which logs, which witnesses, how many of them: the C2SP tlog-policy file.

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> <k|any|all> <member>...
    quorum <name|none>

Names are the file's own, opaque, defined before use, and members of one group at most. A
quorum is monotone, so its time is too: the time of a group of k is the k-th largest of its
members' times, and the time of the quorum is the largest t such that the cosignatures with
timestamp ≥ t still satisfy it.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.tlog.checkpoint import Checkpoint, VerifiedSignature, open_checkpoint
from fieldpost.tlog.note import ED25519, VerifierKey, format_vkey, parse_vkey
from fieldpost.tlog.treehead import parse_decimal

MAX_POLICY_BYTES: Final = 1_048_576

_WORD: Final = re.compile(r"[^\x00-\x20\x7f]+")
_OUTSIDE: Final = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")


@dataclass(frozen=True, slots=True)
class Log:
    """A log that is accepted. The key's name is the log's origin."""

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Witness:
    """A cosigner under the policy's own name for it."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """`needed` of `members` (witnesses and earlier groups) must have cosigned."""

    name: str
    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A whole policy; `quorum` names a witness or group, None stands for `none`.

    Raises Malformed if a rule of the format is broken: names used twice or before they are
    defined, thresholds out of range, keys used twice or of the wrong type.
    """

    logs: tuple[Log, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[Group, ...] = ()
    quorum: str | None = None

    def __post_init__(self) -> None:
        _check_keys(self)
        _check_names(self)

    def time(self, timestamps: Mapping[str, int]) -> int | None:
        """The quorum's time from the timestamps of witnesses by name; None if it is not met.

        None as well for the quorum `none`: nobody vouches for a time. Timestamp 0 never counts.
        """
        times = {w.name: timestamps.get(w.name) or None for w in self.witnesses}
        for group in self.groups:
            members = (times[name] for name in group.members)
            times[group.name] = threshold_timestamp(
                [(group.needed, [time for time in members if time is not None])]
            )
        return None if self.quorum is None else times[self.quorum]

    def is_satisfied(self, timestamps: Mapping[str, int]) -> bool:
        """Whether cosignatures by these witnesses are enough."""
        return self.quorum is None or self.time(timestamps) is not None

    def verify(
        self, note_bytes: bytes, *, origin: str | None = None, extensions: bool = False
    ) -> tuple[Checkpoint, dict[str, int]]:
        """The checkpoint in a signed note, and the timestamps of the witnesses that count.

        A listed log must have signed it under its own name; a policy without logs needs
        `origin` from elsewhere. Feed the timestamps to `time` for the quorum's time.
        Raises Malformed and Untrusted as `open_checkpoint` does, Untrusted("no-quorum"), and
        Misconfigured if nothing says which origin or which keys to believe.
        """
        if not self.logs and origin is None:
            raise Misconfigured("a policy without log lines needs an origin from elsewhere")
        known = [*(log.key for log in self.logs), *(w.key for w in self.witnesses)]
        if not known:
            raise Misconfigured("a policy without any key believes nobody")
        checkpoint, verified = open_checkpoint(
            note_bytes, known, origin=origin, extensions=extensions
        )
        self._check_log(checkpoint, verified)
        names = {w.key: w.name for w in self.witnesses}
        timestamps: dict[str, int] = {}
        for signature in verified:
            name = names.get(signature.key)
            if name is not None and signature.timestamp:
                timestamps[name] = max(signature.timestamp, timestamps.get(name, 0))
        if not self.is_satisfied(timestamps):
            raise Untrusted("no-quorum", f"{len(timestamps)} witnesses do not make the quorum")
        return checkpoint, timestamps

    def _check_log(self, checkpoint: Checkpoint, verified: Iterable[VerifiedSignature]) -> None:
        if not self.logs:
            return
        logs = {log.key for log in self.logs if log.key.name == checkpoint.origin}
        if not logs:
            raise Untrusted("wrong-origin", f"{checkpoint.origin} is no log of the policy")
        if not any(signature.key in logs for signature in verified):
            raise Untrusted("unknown-key", f"{checkpoint.origin} itself did not sign")


def threshold_timestamp(groups: Sequence[tuple[int, Collection[int]]]) -> int | None:
    """The largest t such that every group has `needed` timestamps ≥ t; None if one is short.

    Groups are (needed, timestamps); those that need 0 are ignored, and None is the answer if
    no group is left, since then nobody vouches for a time.
    """
    times = []
    for needed, timestamps in groups:
        if needed == 0:
            continue
        if len(timestamps) < needed:
            return None
        times.append(sorted(timestamps, reverse=True)[needed - 1])
    return min(times, default=None)


def parse_policy(data: bytes) -> Policy:
    """Read a policy file of at most 1 MiB. Raises Malformed.

    The last line must end in a newline too, so that a file cut short inside a name is refused.
    """
    if len(data) > MAX_POLICY_BYTES or _OUTSIDE.search(data) or data[-1:] != b"\n":
        raise Malformed("a policy is at most 1 MiB of text lines, each ended by a newline")
    logs: list[Log] = []
    witnesses: list[Witness] = []
    groups: list[Group] = []
    quorums: list[str] = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        words = _WORD.findall(line)
        if not words or words[0].startswith("#"):
            continue
        match words:
            case ["log", vkey, *url] if len(url) <= 1:
                logs.append(Log(parse_vkey(vkey), *url))
            case ["witness", name, vkey, *url] if len(url) <= 1:
                _check_defined_later(name, groups, quorums)
                witnesses.append(Witness(name, parse_vkey(vkey), *url))
            case ["group", name, needed, *members] if members:
                _check_defined_later(name, [], quorums)
                groups.append(Group(name, _parse_needed(needed, len(members)), tuple(members)))
            case ["quorum", name]:
                quorums.append(name)
            case _:
                raise Malformed(f"a policy line that is none: {words[0]} with {len(words)} words")
    if len(quorums) != 1:
        raise Malformed("a policy has exactly one quorum line")
    return Policy(
        logs=tuple(logs),
        witnesses=tuple(witnesses),
        groups=tuple(groups),
        quorum=None if quorums == ["none"] else quorums[0],
    )


def _parse_needed(word: str, members: int) -> int:
    match word:
        case "any":
            return 1
        case "all":
            return members
        case _:
            return parse_decimal(word)


def _check_defined_later(name: str, groups: Iterable[Group], quorums: Iterable[str]) -> None:
    """A name's first line must precede its use; Policy keeps no order between kinds of lines."""
    if name in quorums or any(name in group.members for group in groups):
        raise Malformed(f"{name!r} is used before it is defined")


def format_policy(policy: Policy) -> bytes:
    """Write a policy file: logs, witnesses, groups, quorum; thresholds as numbers."""
    lines = [_line("log", format_vkey(log.key), log.url) for log in policy.logs]
    lines += [_line("witness", w.name, format_vkey(w.key), w.url) for w in policy.witnesses]
    lines += [_line("group", g.name, str(g.needed), *g.members) for g in policy.groups]
    lines.append(_line("quorum", policy.quorum or "none"))
    return "".join(lines).encode("utf-8", "surrogateescape")


def _line(*words: str | None) -> str:
    return " ".join(word for word in words if word is not None) + "\n"


def _check_keys(policy: Policy) -> None:
    log_keys = [log.key for log in policy.logs]
    witness_keys = [witness.key for witness in policy.witnesses]
    if any(key.type == ED25519 for key in witness_keys):
        raise Malformed("a witness's key must be a cosigner's (0x04 or 0x06)")
    urls = [log.url for log in policy.logs] + [witness.url for witness in policy.witnesses]
    for url in urls:
        if url is not None and not _is_word(url):
            raise Malformed("a URL in a policy has spaces or control characters, or is empty")
    for keys in (log_keys, witness_keys):
        if len({key.public for key in keys}) != len(keys):
            raise Malformed("a policy lists one public key twice")


def _check_names(policy: Policy) -> None:
    free: set[str] = set()
    taken: set[str] = set()
    for witness in policy.witnesses:
        _define(witness.name, free | taken)
        free.add(witness.name)
    for group in policy.groups:
        if not 1 <= group.needed <= len(group.members):
            raise Malformed(f"group {group.name} needs {group.needed} of {len(group.members)}")
        for member in group.members:
            if member not in free:
                raise Malformed(f"{member!r} is undefined, or in a group already")
            free.remove(member)
            taken.add(member)
        _define(group.name, free | taken)
        free.add(group.name)
    if policy.quorum is not None and policy.quorum not in free | taken:
        raise Malformed(f"the quorum {policy.quorum!r} is not defined")


def _define(name: str, defined: set[str]) -> None:
    if not _is_word(name):
        raise Malformed(f"{name!r} is no name: it has spaces or control characters, or is empty")
    if name == "none" or name in defined:
        raise Malformed(f"the name {name!r} is taken")


def _is_word(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return _WORD.fullmatch(text) is not None
