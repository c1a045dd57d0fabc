# SPDX-License-Identifier: Apache-2.0
"""Records on their way from a process that decoded them to the one that asked.

    carry(records)   a pickle, in which each record is its class and the values of its fields
    receive(data)    the same records; their fields are filled in, not judged again

To fill in a record costs a tenth of decoding it and holding it to its one form. A pickle can name
any function, so here it names frozen dataclasses and enumerations of this package and nothing
else. That is for tidiness: it comes from a process of our own that has the rights of this one and
whose word on signatures is taken as well, see engines.verifier.
"""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from io import BytesIO
from operator import attrgetter
from typing import Any, Final

_PACKAGE: Final = "fieldpost."


class _Packer(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        return (kind, _values_of(kind)(value)) if is_dataclass(kind) else NotImplemented


class _Unpacker(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module.startswith(_PACKAGE):
            found = super().find_class(module, name)
            if isinstance(found, type) and issubclass(found, Enum):
                return found
            if isinstance(found, type) and is_dataclass(found):
                return _filler(found)
        raise pickle.UnpicklingError(f"{module}.{name} is no record")


def carry(records: Sequence[object]) -> bytes:
    """Records, or None in the place of one, as bytes for `receive`."""
    data = BytesIO()
    _Packer(data, pickle.HIGHEST_PROTOCOL).dump(list(records))
    return data.getvalue()


def receive(data: bytes) -> list[object]:
    """What was carried. Raises whatever a pickle raises that is none."""
    received = _Unpacker(BytesIO(data)).load()
    if not isinstance(received, list):
        raise pickle.UnpicklingError("not a list of records")
    return received


@lru_cache
def _values_of(kind: type) -> Callable[[object], tuple[object, ...]]:
    """Takes the values of all fields out of a record of this kind, two and more in one call."""
    names = [field.name for field in fields(kind)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple([getattr(record, name) for name in names])


@lru_cache
def _filler(kind: type) -> Callable[..., object]:
    """Makes a record of the values of its fields, which `kind` itself would take twice as long."""
    puts = [getattr(kind, field.name).__set__ for field in fields(kind)]
    new = object.__new__

    def fill(*values: object) -> object:
        record: object = new(kind)
        for put, value in zip(puts, values, strict=True):
            put(record, value)
        return record

    return fill
