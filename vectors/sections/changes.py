# SPDX-License-Identifier: Apache-2.0
"""Encoded items with one place changed: how bad vectors are made from good ones."""

from fieldpost import cbor

Place = tuple[int, ...]


class _Drop:
    """Says that a map's member is taken away."""


DROP = _Drop()


def changed(encoded: bytes, place: Place, new: object) -> bytes:
    """The encoding with what stands at `place` (labels and positions) replaced by `new`."""
    return cbor.encode(_changed(cbor.decode(encoded), place, new))


def _changed(value: object, place: Place, new: object) -> object:
    if not place:
        return new
    first, rest = place[0], place[1:]
    match value:
        case dict() if new is DROP and not rest:
            return {label: item for label, item in value.items() if label != first}
        case dict():
            return value | {first: _changed(value.get(first), rest, new)}
        case tuple():
            return [
                _changed(item, rest, new) if n == first else item for n, item in enumerate(value)
            ]
        case cbor.Tag():
            return cbor.Tag(value.number, _changed(value.value, place, new))  # type: ignore[arg-type]
        case bytes():
            # A byte string that holds an item: protected headers, payloads.
            return cbor.encode(_changed(cbor.decode(value), place, new))
    raise ValueError(f"nothing stands at {place}")


def flipped(data: bytes, at: int = -1) -> bytes:
    """`data` with one bit of the byte at `at` turned over."""
    at %= len(data)
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
