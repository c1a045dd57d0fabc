# SPDX-License-Identifier: Apache-2.0
"""What a statement says, for a person who is about to sign it. Pure.

Every kind of post has its words here; of a kind that this version does not know nothing is shown,
and nothing should be signed. Keys are named by the first half of their thumbprint.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from typing import Final

from fieldpost.errors import Malformed
from fieldpost.keys import PublicKey
from fieldpost.posts.envelope import Statement, decode_post
from fieldpost.posts.kinds import DECODERS as POSTS
from fieldpost.records.maker import KeySet, MakerRecord
from fieldpost.records.provisioning import decode_provisioning
from fieldpost.records.release import decode_release_record
from fieldpost.suit.envelope import manifest_digest
from fieldpost.suit.manifest import decode_manifest
from fieldpost.tlog.note import VerifierKey, format_vkey

DECODERS: Final[Mapping[str, Callable[[bytes], object]]] = {
    **POSTS,
    "provisioning": decode_provisioning,
}
_TIMES: Final = frozenset({"support_end", "not_before", "not_after", "least_time", "start", "end"})
_LONG: Final = 96


def short(key: PublicKey) -> str:
    """A key as people compare it: algorithm and half of its thumbprint."""
    digits = key.thumbprint()[:16].hex()
    return f"{key.algorithm.name.lower()} {' '.join(digits[at : at + 8] for at in range(0, 32, 8))}"


def describe(statement: Statement) -> dict[str, object]:
    """What the statement says, one line for each thing. Raises Malformed for unknown kinds."""
    decode = DECODERS.get(statement.kind)
    if decode is None:
        raise Malformed(f"this version does not know what a {statement.kind} is; sign nothing")
    head = {
        "kind": statement.kind,
        "by": statement.issuer,
        "about": statement.subject,
        "on_board": statement.audience,
    }
    # What the payload says never stands in for what the statement is.
    noun = statement.kind.partition(".")[0]
    lines = _lines(decode(statement.payload))
    return head | {f"{noun}_{name}" if name in head else name: v for name, v in lines.items()}


def describe_manifest(manifest: bytes, statement: Statement | None) -> dict[str, object]:
    """What a release manifest says that is signed with a statement, or by itself.

    Raises Malformed unless it is the manifest that the statement publishes.
    """
    said = decode_manifest(manifest, decrypts=True)
    digest = manifest_digest(manifest)
    if statement is not None:
        if statement.kind != "release.publish":
            raise Malformed(f"a manifest is signed with a release, not with a {statement.kind}")
        record = decode_release_record(statement.payload)
        named = (record.manifest, record.sequence, record.class_id)
        if named != (digest, said.sequence, said.class_id):
            raise Malformed("the file shows another manifest than the release names")
    return {
        "release_of_class": said.class_id.hex(),
        "release_sequence": said.sequence,
        "release_manifest": digest.hex(),
        "installs": [
            f"{b'/'.join(one.id).decode(errors='backslashreplace')} sha256 {one.digest.hex()} "
            f"{one.size} B"
            for one in said.components
        ],
    }


def describe_change(statement: Statement, previous: bytes) -> list[str]:
    """What a link changes against the entry that it replaces, a line for each difference.

    Raises Malformed unless the statement names that entry as the one before it.
    """
    before = decode_post(previous).statement
    if sha256(previous).digest() != _previous_of(statement):
        raise Malformed("the file shows another former record than the one that is replaced")
    old, new = describe(before), describe(statement)
    skipped = {"kind", "by", "about", "on_board", "previous", "epoch", "earlier_links"}
    names = [name for name in {**old, **new} if name not in skipped]
    return [
        f"{name.replace('_', ' ')}: {words}"
        for name in names
        for words in _difference(old.get(name), new.get(name))
    ]


def _difference(old: object, new: object) -> list[str]:
    """What stood and what stands, of lists only what goes and what comes."""
    if old == new:
        return []
    if not isinstance(old, list) or not isinstance(new, list):
        return [f"{_plain(old)} -> {_plain(new)}"]
    gone = [f"- {item}" for item in old if item not in new]
    come = [f"+ {item}" for item in new if item not in old]
    return gone + come or [f"{_plain(old)} -> {_plain(new)}"]


def _previous_of(statement: Statement) -> object:
    decode = DECODERS.get(statement.kind)
    return None if decode is None else getattr(decode(statement.payload), "previous", None)


def _plain(value: object) -> str:
    if value is None:
        return "nothing"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def describe_keys(record: MakerRecord) -> dict[str, object]:
    """Who acts for a maker: the keys of every role with their limits. Shape: {role: lines}."""
    sets = {"root": record.root} | {role.name.lower(): keys for role, keys in record.roles.items()}
    return {f"{role}_keys": _keys(keys) for role, keys in sets.items()}


def _lines(record: object) -> dict[str, object]:
    assert is_dataclass(record)
    lines: dict[str, object] = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if field.name == "roles":
            for role, keys in value.items():
                lines[f"{role.name.lower()}_keys"] = _keys(keys)
        elif isinstance(value, KeySet):
            lines[f"{field.name}_keys"] = _keys(value)
        elif field.name in ("policy", "limits"):
            for name in (inner.name for inner in fields(value)):
                lines[f"{field.name}_{name}"] = _text(name, getattr(value, name))
        elif value is not None and value != ():
            lines[field.name] = _text(field.name, value)
    return lines


def _keys(keys: KeySet) -> list[str]:
    named = [
        short(entry.key) + (f", only for {_text('', entry.scope)}" if entry.scope else "")
        for entry in keys.keys
    ]
    return [f"any {keys.threshold} of:", *named]


def _text(name: str, value: object) -> object:
    match value:
        case bytes():
            text = value.hex()
            return text if len(text) <= _LONG else f"{len(value)} bytes, sha256 {_sha(value)}"
        case PublicKey():
            return short(value)
        case VerifierKey():
            return format_vkey(value)
        case Enum():
            return value.name.lower()
        case tuple() | list():
            return [str(_text("", item)) for item in value]
        case int() if name in _TIMES:
            return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        case _ if is_dataclass(value) and not isinstance(value, type):
            inner = {f.name: getattr(value, f.name) for f in fields(value)}
            told = [f"{n} {_plain(_text(n, v))}" for n, v in inner.items() if v not in (None, ())]
            return "; ".join(told)
        case _:
            return value


def _sha(value: bytes) -> str:
    return sha256(value).hexdigest()[:16]
