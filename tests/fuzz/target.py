# SPDX-License-Identifier: Apache-2.0
"""One reader to feed."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from fieldpost import cbor
from fieldpost.errors import FieldpostError, Malformed


@dataclass(frozen=True, slots=True)
class Target:
    """A reader: what it does with bytes, its seeds, and the families that may refuse them."""

    run: Callable[[bytes], object]
    family: str
    refuses: tuple[type[FieldpostError], ...] = (Malformed,)


def as_text(run: Callable[[str], object]) -> Callable[[bytes], object]:
    """A reader of text."""
    # As arguments of programs come: what is no UTF-8 is there as lone surrogates.
    return lambda data: run(data.decode("utf-8", "surrogateescape"))


def as_value(run: Callable[[cbor.Value], object]) -> Callable[[bytes], object]:
    """A reader of decoded CBOR."""
    return lambda data: run(cbor.decode(data))


def as_json(run: Callable[[object], object]) -> Callable[[bytes], object]:
    """A reader of decoded JSON."""

    def read(data: bytes) -> object:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            return None
        return run(value)

    return read
