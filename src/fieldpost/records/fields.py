# SPDX-License-Identifier: Apache-2.0
"""Taking fields out of a decoded CBOR map, strictly, with a limit on everything.

The ledger knows every label of its rule version and refuses all others. A device reads for twenty
years: labels ≥ 0 that it does not know are critical (`unsupported`), negative ones are skipped
(docs/spec/evolution.md).
"""

from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Final, TypeGuard, TypeVar

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted

_INTEGERS: Final = frozenset({int})

T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)


class Reading(Enum):
    """Who reads: the strict ledger, or a device that must outlive the format's next labels."""

    LEDGER = "ledger"
    DEVICE = "device"


class Fields:
    """One map being read. Every method raises Malformed for a wrong type, size or range."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, dict) or not _INTEGERS.issuperset(map(type, value)):
            raise Malformed(f"{what} must be a map with integer labels")
        self._left: dict[int, cbor.Value] = dict(value)
        self._what = what

    def has(self, label: int) -> bool:
        """Whether the label is there and not yet taken."""
        return label in self._left

    def _take(self, label: int) -> cbor.Value:
        try:
            return self._left.pop(label)
        except KeyError:
            raise Malformed(f"{self._what} lacks label {label}") from None

    def uint(self, label: int, *, most: int = cbor.MAX_INT, least: int = 0) -> int:
        """An integer in [least, most]."""
        value = self._take(label)
        if type(value) is not int or not least <= value <= most:
            raise Malformed(f"{self._what}: label {label} must be an integer in [{least}, {most}]")
        return value

    def octets(self, label: int, *, length: int | None = None, most: int = 65_535) -> bytes:
        """A byte string of exactly `length`, or of at most `most` bytes."""
        value = self._take(label)
        if not isinstance(value, bytes):
            raise Malformed(f"{self._what}: label {label} must be a byte string")
        if len(value) > most or (length is not None and len(value) != length):
            raise Malformed(f"{self._what}: label {label} has {len(value)} bytes")
        return value

    def text(self, label: int, *, most: int, least: int = 1) -> str:
        """Printable ASCII of least…most characters."""
        value = self._take(label)
        if not _is_text(value, least, most):
            raise _no_text(f"{self._what}: label {label}", least, most)
        return value

    def flag(self, label: int) -> bool:
        """True or false."""
        value = self._take(label)
        if not isinstance(value, bool):
            raise Malformed(f"{self._what}: label {label} must be true or false")
        return value

    def array(self, label: int, *, most: int, least: int = 0) -> tuple[cbor.Value, ...]:
        """An array of least…most items."""
        value = self._take(label)
        if not isinstance(value, tuple) or not least <= len(value) <= most:
            raise Malformed(f"{self._what}: label {label} must be an array of {least}…{most} items")
        return value

    def each(
        self, label: int, read: Callable[[cbor.Value], T], *, most: int, least: int = 0
    ) -> tuple[T, ...]:
        """An array with `read` applied to every item."""
        return tuple(map(read, self.array(label, most=most, least=least)))

    def map(self, label: int) -> dict[cbor.Key, cbor.Value]:
        """A map, unread."""
        value = self._take(label)
        if not isinstance(value, dict):
            raise Malformed(f"{self._what}: label {label} must be a map")
        return value

    def value(self, label: int) -> cbor.Value:
        """Whatever stands there, unread."""
        return self._take(label)

    def close(self, reading: Reading = Reading.LEDGER) -> None:
        """Judge what was not taken. Raises Malformed (ledger) or Untrusted("unsupported")."""
        if not self._left:
            return
        if reading is Reading.LEDGER:
            raise Malformed(f"{self._what}: unknown label {min(self._left)}")
        critical = [label for label in self._left if label >= 0]
        if critical:
            raise Untrusted("unsupported", f"{self._what}: unknown critical label {critical[0]}")


def check_text(value: object, what: str, most: int, least: int = 1) -> str:
    """Printable ASCII (0x20–0x7e) of least…most characters. Raises Malformed."""
    if not _is_text(value, least, most):
        raise _no_text(what, least, most)
    return value


def _is_text(value: object, least: int, most: int) -> TypeGuard[str]:
    return (
        isinstance(value, str)
        and least <= len(value) <= most
        # Of ASCII, exactly 0x20 to 0x7e is printable to Python.
        and value.isascii()
        and value.isprintable()
    )


def _no_text(what: str, least: int, most: int) -> Malformed:
    return Malformed(f"{what} must be {least}…{most} characters of printable ASCII")


def octets_of(length: int, what: str) -> Callable[[cbor.Value], bytes]:
    """A reader of byte strings of one length, for `Fields.each`."""

    def read(value: cbor.Value) -> bytes:
        if not isinstance(value, bytes) or len(value) != length:
            raise Malformed(f"{what} must be {length} bytes")
        return value

    return read


def text_of(most: int, what: str) -> Callable[[cbor.Value], str]:
    """A reader of printable ASCII, for `Fields.each`."""
    return lambda value: check_text(value, what, most)


def pair_of(value: cbor.Value, what: str, *, least: int = 0, most: int) -> tuple[int, int]:
    """[first, second], both integers in [least, most]. Raises Malformed."""
    if isinstance(value, tuple) and len(value) == 2:
        first, second = value
        # By exact type: true is an int.
        if (
            type(first) is int
            and type(second) is int
            and least <= first <= most
            and least <= second <= most
        ):
            return first, second
    raise Malformed(f"{what} must be two integers in [{least}, {most}]")


def member_of(kind: type[E], what: str) -> Callable[[cbor.Value], E]:
    """A reader of an enumeration's numbers, for `Fields.each`; true is not 1."""
    members = {int(item): item for item in kind}

    def read(value: cbor.Value) -> E:
        if type(value) is not int or value not in members:
            raise Malformed(f"{what} must be one of {', '.join(map(str, members))}")
        return members[value]

    return read


def is_of_later_version(value: object, known: frozenset[int]) -> bool:
    """Whether a map carries a critical label (≥ 0) that is not among `known`."""
    return (
        isinstance(value, dict)
        and not known.issuperset(value)
        and any(type(label) is int and label >= 0 and label not in known for label in value)
    )


def check_distinct(items: tuple[object, ...], what: str) -> None:
    """Raises Malformed if an item occurs twice."""
    if len(set(items)) != len(items):
        raise Malformed(f"{what} occur more than once")
