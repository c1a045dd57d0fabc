# SPDX-License-Identifier: Apache-2.0
"""The maker record: payload of `maker.register` and `maker.set` (docs/spec/records.md).

    {1: epoch, 2: previous link, 3: name, 4: root, 5: {role: keys}, 6: device policy,
     7: report, 8: contact, 9: successor, 10: earlier links}

    keys      = {1: threshold, 2: [{1: COSE_Key, 2: scope}…]}      root is one of these, unscoped
    scope     = {1: [class id…], 2: [channel…], 3: device count, 4: not-after}
    report    = {1: [url…], 2: COSE_Key}
    successor = {1: keys, 2: silence s, 3: veto s}

Roles: 2 release, 3 rollout, 4 enrol, 5 care (root is 1). Labels 2, 7–10 and everything in scope and
report are optional; 2 is absent exactly in epoch 0. Label 10, [link entry…], stands only where a
maker registers on a further board.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed
from fieldpost.keys import PublicKey, parse_cose_key
from fieldpost.records import limits
from fieldpost.records.device_class import read_channel
from fieldpost.records.fields import Fields, Reading, check_distinct, octets_of, text_of
from fieldpost.records.policy import DevicePolicy, read_policy


class Role(IntEnum):
    """What a maker's key may sign."""

    ROOT = 1
    RELEASE = 2
    ROLLOUT = 3
    ENROL = 4
    CARE = 5

    # Of the number, as `int` does it: an enumeration's own hashes the name, by a call in Python,
    # and rules look up keys, records and counts by role several times for each post.
    __hash__ = int.__hash__


# Others act alone: a threshold there would only delay what must be quick and can be undone.
THRESHOLD_ROLES: Final = frozenset({Role.ROOT, Role.RELEASE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a role key is restricted to; None = not restricted. `not_after` in Unix seconds."""

    classes: tuple[bytes, ...] | None = None
    channels: tuple[str, ...] | None = None
    devices: int | None = None
    not_after: int | None = None

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        value: dict[int, object] = {}
        if self.classes is not None:
            value[1] = list(self.classes)
        if self.channels is not None:
            value[2] = list(self.channels)
        if self.devices is not None:
            value[3] = self.devices
        if self.not_after is not None:
            value[4] = self.not_after
        return value


@dataclass(frozen=True, slots=True)
class RoleKey:
    """A key in a role."""

    key: PublicKey
    scope: Scope | None = None

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        value: dict[int, object] = {1: self.key.cose_key()}
        if self.scope is not None:
            value[2] = self.scope.value()
        return value


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys of one role and how many of them must sign."""

    threshold: int
    keys: tuple[RoleKey, ...]

    def value(self) -> dict[int, object]:
        """The CBOR form."""
        return {1: self.threshold, 2: [key.value() for key in self.keys]}

    def by_kid(self) -> dict[bytes, PublicKey]:
        """The keys by thumbprint."""
        return {entry.key.thumbprint(): entry.key for entry in self.keys}


_NO_KEYS: Final = KeySet(1, ())


@dataclass(frozen=True, slots=True)
class Successor:
    """Who may take over after `silence_s` without a sign of life, unless vetoed in `veto_s`."""

    keys: KeySet
    silence_s: int
    veto_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerRecord:
    """Everything a maker says of itself. `previous` is the SHA-256 of the link before."""

    epoch: int
    previous: bytes | None
    name: str
    root: KeySet
    policy: DevicePolicy
    roles: Mapping[Role, KeySet] = field(default_factory=dict)
    report_urls: tuple[str, ...] = ()
    report_key: PublicKey | None = None
    contact: str | None = None
    successor: Successor | None = None
    earlier_links: tuple[bytes, ...] = ()

    def keys_of(self, role: Role) -> KeySet:
        """The keys of a role; an empty set with threshold 1 where the maker has none."""
        return self.root if role is Role.ROOT else self.roles.get(role, _NO_KEYS)

    def without_earlier_links(self) -> "MakerRecord":
        """The record as its last link has it."""
        return replace(self, earlier_links=())

    def encode(self) -> bytes:
        """Deterministic CBOR: the payload of the link, and the value in the map."""
        value: dict[int, object] = {
            1: self.epoch,
            3: self.name,
            4: self.root.value(),
            5: {int(role): keys.value() for role, keys in self.roles.items()},
            6: self.policy.value(),
        }
        if self.previous is not None:
            value[2] = self.previous
        report: dict[int, object] = {}
        if self.report_urls:
            report[1] = list(self.report_urls)
        if self.report_key is not None:
            report[2] = self.report_key.cose_key()
        if report:
            value[7] = report
        if self.contact is not None:
            value[8] = self.contact
        if self.successor is not None:
            value[9] = {
                1: self.successor.keys.value(),
                2: self.successor.silence_s,
                3: self.successor.veto_s,
            }
        if self.earlier_links:
            value[10] = list(self.earlier_links)
        return cbor.encode(value)


def decode_maker_record(data: bytes, reading: Reading = Reading.LEDGER) -> MakerRecord:
    """Read a maker record. Raises Malformed, or Untrusted("unsupported") for devices."""
    fields = Fields(cbor.decode(data), "maker record")
    report_urls, report_key = (
        _read_report(fields.value(7), reading) if fields.has(7) else ((), None)
    )
    record = MakerRecord(
        epoch=fields.uint(1),
        previous=fields.octets(2, length=32) if fields.has(2) else None,
        name=fields.text(3, most=limits.MAX_NAME),
        root=_read_keys(fields.value(4), Role.ROOT, limits.MAX_ROOT_KEYS, reading),
        roles=_read_roles(fields.value(5), reading),
        policy=read_policy(fields.value(6), reading),
        report_urls=report_urls,
        report_key=report_key,
        contact=fields.text(8, most=limits.MAX_TEXT) if fields.has(8) else None,
        successor=_read_successor(fields.value(9), reading) if fields.has(9) else None,
        earlier_links=fields.each(10, _read_entry, least=1, most=256) if fields.has(10) else (),
    )
    fields.close(reading)
    if (record.epoch == 0) != (record.previous is None):
        raise Malformed("maker record: epoch 0 and no previous link go together")
    kids = [k for keys in (record.root, *record.roles.values()) for k in keys.by_kid()]
    check_distinct(tuple(kids), "keys of a maker's roles")
    return record


def _read_entry(value: cbor.Value) -> bytes:
    if not isinstance(value, bytes) or len(value) > limits.MAX_ENTRY_BYTES:
        raise Malformed("an earlier link must be the bytes of its entry")
    return value


def _read_roles(value: cbor.Value, reading: Reading) -> dict[Role, KeySet]:
    fields = Fields(value, "roles")
    roles: dict[Role, KeySet] = {
        role: _read_keys(fields.value(role), role, limits.MAX_ROLE_KEYS, reading)
        for role in Role
        if role is not Role.ROOT and fields.has(role)
    }
    fields.close(reading)
    return roles


def _read_report(value: cbor.Value, reading: Reading) -> tuple[tuple[str, ...], PublicKey | None]:
    fields = Fields(value, "report")
    url = text_of(limits.MAX_URL, "a URL")
    urls = fields.each(1, url, least=1, most=limits.MAX_LINK_URLS) if fields.has(1) else ()
    key = parse_cose_key(fields.value(2)) if fields.has(2) else None
    fields.close(reading)
    if reading is Reading.LEDGER and not urls and key is None:
        raise Malformed("report: an empty map says nothing, and is left out")
    return urls, key


def _read_keys(value: cbor.Value, role: Role, most: int, reading: Reading) -> KeySet:
    fields = Fields(value, f"keys of role {role.name.lower()}")
    threshold = fields.uint(1, least=1, most=most)
    keys = fields.each(2, lambda v: _read_role_key(v, reading), least=1, most=most)
    fields.close(reading)
    if threshold > len(keys):
        raise Malformed(f"role {role.name.lower()}: threshold {threshold} of {len(keys)} keys")
    if threshold > 1 and role not in THRESHOLD_ROLES:
        raise Malformed(f"role {role.name.lower()}: only root and release may need several keys")
    if role is Role.ROOT and any(key.scope is not None for key in keys):
        raise Malformed("a root key has no scope")
    key_set = KeySet(threshold, keys)
    check_distinct(tuple(key.key.thumbprint() for key in keys), "keys of a role")
    return key_set


def _read_role_key(value: cbor.Value, reading: Reading) -> RoleKey:
    fields = Fields(value, "role key")
    key = parse_cose_key(fields.value(1))
    scope = _read_scope(fields.value(2), reading) if fields.has(2) else None
    fields.close(reading)
    return RoleKey(key, scope)


def _read_scope(value: cbor.Value, reading: Reading) -> Scope:
    fields = Fields(value, "scope")
    scope = Scope(
        classes=(
            fields.each(1, octets_of(16, "a class id"), least=1, most=limits.MAX_CLASSES)
            if fields.has(1)
            else None
        ),
        channels=(
            fields.each(2, read_channel, least=1, most=limits.MAX_CHANNELS)
            if fields.has(2)
            else None
        ),
        devices=fields.uint(3) if fields.has(3) else None,
        not_after=fields.uint(4) if fields.has(4) else None,
    )
    fields.close(reading)
    check_distinct(scope.classes or (), "classes of a scope")
    check_distinct(scope.channels or (), "channels of a scope")
    return scope


def _read_successor(value: cbor.Value, reading: Reading) -> Successor:
    fields = Fields(value, "successor")
    successor = Successor(
        keys=_read_keys(fields.value(1), Role.ROOT, limits.MAX_ROOT_KEYS, reading),
        silence_s=fields.uint(2, least=1, most=limits.MAX_DURATION_S),
        veto_s=fields.uint(3, least=1, most=limits.MAX_DURATION_S),
    )
    fields.close(reading)
    return successor
