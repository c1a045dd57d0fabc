# SPDX-License-Identifier: Apache-2.0
"""SUIT command sequences, read as a fixed text and never run.

A sequence is a flat CBOR array of command, argument, command, argument … inside a byte string.
Profile 1 knows six commands and seven parameters; `CommandReader` is told which one must come
next, and says precisely what stood there instead. Labels: draft-ietf-suit-manifest-37 §8.4,
encryption-info: draft-ietf-suit-firmware-encryption.
"""

from enum import IntEnum
from typing import Final

from fieldpost import cbor
from fieldpost.errors import Malformed, Untrusted


class Command(IntEnum):
    """The conditions and directives of profile 1."""

    VENDOR_MATCH = 1
    CLASS_MATCH = 2
    IMAGE_MATCH = 3
    SET_COMPONENT_INDEX = 12
    OVERRIDE_PARAMETERS = 20
    FETCH = 21


class Parameter(IntEnum):
    """The parameters of profile 1."""

    VENDOR = 1
    CLASS = 2
    IMAGE_DIGEST = 3
    IMAGE_SIZE = 14
    ENCRYPTION_INFO = 19
    URI = 21


REPORT_ALL: Final = 15
"""Reporting policy of every condition and of fetch: record success and failure, with details."""


class CommandReader:
    """One sequence being read, command by command.

    Every method raises Malformed for a broken sequence and Untrusted("unsupported") for a sound
    one that is not the text of profile 1.
    """

    def __init__(self, sequence: bytes, what: str) -> None:
        items = cbor.decode(sequence)
        if not isinstance(items, tuple) or len(items) % 2:
            raise Malformed(f"{what} must be an array of commands and arguments")
        self._items = items
        self._at = 0
        self._what = what

    def _take(self, command: Command) -> cbor.Value:
        place = f"{self._what}, command {self._at // 2 + 1}"
        if self._at == len(self._items):
            raise Untrusted("unsupported", f"{place}: must be {command}, but the sequence ends")
        found, argument = self._items[self._at : self._at + 2]
        if found != command:
            raise Untrusted("unsupported", f"{place}: must be {command}, not {found!r}")
        self._at += 2
        return argument

    def expect(self, command: Command, argument: int) -> None:
        """Exactly this command with exactly this argument comes next."""
        found = self._take(command)
        if found != argument:
            place = f"{self._what}, command {self._at // 2}"
            raise Untrusted("unsupported", f"{place}: argument must be {argument}, not {found!r}")

    def parameters(
        self, needed: set[Parameter], optional: frozenset[Parameter] = frozenset()
    ) -> dict[cbor.Key, cbor.Value]:
        """An override-parameters command with exactly the parameters `needed` (and `optional`)."""
        found = self._take(Command.OVERRIDE_PARAMETERS)
        place = f"{self._what}, command {self._at // 2}"
        if not isinstance(found, dict):
            raise Malformed(f"{place}: parameters must be a map")
        missing = sorted(needed - found.keys())
        if missing:
            raise Untrusted("unsupported", f"{place}: lacks parameter {missing[0]}")
        others = [label for label in found if label not in needed | optional]
        if others:
            raise Untrusted("unsupported", f"{place}: parameter {others[0]!r} has no place here")
        return found

    def end(self) -> None:
        """Nothing comes next."""
        if self._at != len(self._items):
            found = self._items[self._at]
            place = f"{self._what}, command {self._at // 2 + 1}"
            raise Untrusted("unsupported", f"{place}: must be the end, not {found!r}")
