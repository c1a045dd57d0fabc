# SPDX-License-Identifier: Apache-2.0
"""TOML that people wrote, read strictly: every key is asked for, and none may be left."""

import tomllib
from collections.abc import Mapping
from typing import Any, Final

from fieldpost.errors import Malformed

MAX_ITEMS: Final = 65_536


def read_toml(data: bytes) -> "Table":
    """The file's top table. Raises Malformed."""
    try:
        return Table(tomllib.loads(data.decode()), "the file")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not TOML: {error}") from error


class Table:
    """A TOML table whose every key must be taken."""

    def __init__(self, table: Mapping[str, Any], name: str) -> None:
        self._left = dict(table)
        self.name = name

    def take(self, key: str, kind: type, *default: Any) -> Any:
        """The value of a key, of a type; the default where it is absent. Raises Malformed."""
        if key not in self._left:
            if default:
                return default[0]
            raise Malformed(f"{self.name} lacks {key!r}")
        value = self._left.pop(key)
        if type(value) is not kind:
            raise Malformed(f"{self.name}: {key} must be of type {kind.__name__}, not {value!r}")
        return value

    def count(self, key: str) -> int | None:
        """A number from 0 on, or None."""
        value: int | None = self.take(key, int, None)
        if value is not None and not 0 <= value < 2**63:
            raise Malformed(f"{self.name}: {key} must be 0 or more")
        return value

    def number(self, key: str) -> float:
        """A number, whole or not."""
        if type(self._left.get(key)) is int:
            return float(self.take(key, int))
        number: float = self.take(key, float)
        return number

    def hex(self, key: str, length: int, *, optional: bool = False) -> bytes | None:
        """Bytes of a given length in hex."""
        text = self.take(key, str, None) if optional else self.take(key, str)
        if text is None:
            return None
        try:
            octets = bytes.fromhex(text)
        except ValueError:
            octets = b""
        if len(octets) != length:
            raise Malformed(f"{self.name}: {key} must be {2 * length} hex digits")
        return octets

    def texts(self, key: str) -> list[str] | None:
        """A list of texts, or None."""
        values: list[Any] | None = self.take(key, list, None)
        if values is not None and not all(isinstance(value, str) for value in values):
            raise Malformed(f"{self.name}: {key} must be a list of texts")
        return values

    def tables(self, key: str) -> "list[Table] | None":
        """A list of tables, or None."""
        values: list[Any] | None = self.take(key, list, None)
        if values is None:
            return None
        if len(values) > MAX_ITEMS or not all(isinstance(value, dict) for value in values):
            raise Malformed(f"{self.name}: [[{key}]] is a list of at most {MAX_ITEMS} tables")
        return [Table(value, f"{self.name}, {key} {n}") for n, value in enumerate(values, 1)]

    def close(self) -> None:
        """Nothing may be left. Raises Malformed."""
        if self._left:
            raise Malformed(f"{self.name} has unknown {', '.join(sorted(self._left))}")
