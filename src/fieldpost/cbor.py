# SPDX-License-Identifier: Apache-2.0
"""Strict deterministic CBOR: the only codec, and one encoding per value.

The subset: integers within ±2^63, byte strings, UTF-8 text, arrays, maps with integer, text or
byte-string keys, tags, true, false, null. Encoding is RFC 8949 §4.2.1 core deterministic:
shortest heads, definite lengths, map keys sorted by their encoded bytes.

The decoder refuses everything that the encoder would not have written, so `encode(decode(x)) == x`
holds for every `x` it accepts. Arrays decode to tuples, maps to dicts in encoded key order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from fieldpost.errors import Malformed

MAX_DEPTH: Final = 16
MAX_INT: Final = 2**63 - 1
MIN_INT: Final = -(2**63)


@dataclass(frozen=True, slots=True)
class Tag:
    """A tagged value (major type 6)."""

    number: int
    value: "Value"


# Values as the decoder gives them; the encoder takes lists as well as tuples.
Key = int | str | bytes
Value = int | bytes | str | bool | None | tuple["Value", ...] | dict[Key, "Value"] | Tag
Encodable = (
    int
    | bytes
    | str
    | bool
    | None
    | tuple["Encodable", ...]
    | list["Encodable"]
    | Mapping[Key, "Encodable"]
    | Mapping[int, "Encodable"]
    | Mapping[str, "Encodable"]
    | Tag
)

_SIMPLE: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None}
_CUT_OFF: Final = "CBOR: the item is cut off"
_DISORDER: Final = "CBOR: map keys are out of order or repeated"
_NO_FLOATS: Final = "CBOR: floats and simple values but true, false, null are refused"
_MIN_OF_WIDTH: Final = {24: 24, 25: 0x100, 26: 0x10000, 27: 0x1_0000_0000}
_KEY_TYPES: Final = (int, str, bytes)
_BYTE: Final = tuple(bytes((number,)) for number in range(256))


def encode(value: object) -> bytes:
    """Encode `value` deterministically.

    Raises ValueError for what is outside the subset: that is a bug of the caller, not bad input.
    """
    if type(value) is int and 0 <= value <= MAX_INT:
        return _head(0, value)  # counters and nonces, six for each post
    out = bytearray()
    _WRITE.get(type(value), _write_kin)(out, value)
    return bytes(out)


def _long_head(major: int, argument: int) -> bytes:
    top = major << 5
    if argument < 24:
        return _BYTE[top | argument]
    if argument < 0x100:
        return bytes((top | 24, argument))
    if argument < 0x10000:
        return bytes((top | 25, argument >> 8, argument & 0xFF))
    if argument < 0x1_0000_0000:
        return bytes((top | 26,)) + argument.to_bytes(4, "big")
    return bytes((top | 27,)) + argument.to_bytes(8, "big")


# Nearly all heads are short; to look one up is cheaper than to make it.
_SHORT_HEADS: Final = tuple(tuple(_long_head(m, n) for n in range(0x100)) for m in range(7))
_UINT_HEADS, _BYTES_HEADS = _SHORT_HEADS[0], _SHORT_HEADS[2]


def _head(major: int, argument: int) -> bytes:
    return _SHORT_HEADS[major][argument] if argument < 0x100 else _long_head(major, argument)


def _write_bytes(out: bytearray, value: bytes) -> None:
    out += _head(2, len(value))
    out += value


def _write_text(out: bytearray, value: str) -> None:
    text = value.encode()
    out += _head(3, len(text))
    out += text


def _write_int(out: bytearray, value: int) -> None:
    if not MIN_INT <= value <= MAX_INT:
        raise ValueError(f"integer {value} is outside ±2^63")
    out += _head(0, value) if value >= 0 else _head(1, -1 - value)


def _write_array(out: bytearray, value: Sequence[Any]) -> None:
    out += _head(4, len(value))
    for item in value:
        # Hashes, ids and small numbers are nearly all of what arrays hold: those without a call.
        kind = type(item)
        if kind is bytes and len(item) < 0x100:
            out += _BYTES_HEADS[len(item)]
            out += item
        elif kind is int and 0 <= item <= MAX_INT:
            out += _UINT_HEADS[item] if item < 0x100 else _long_head(0, item)
        else:
            _WRITE.get(kind, _write_kin)(out, item)


def _write_map(out: bytearray, value: Mapping[object, object]) -> None:
    out += _head(5, len(value))
    pairs = [
        # Labels are nearly all of one byte: those without a call.
        (_BYTE[key] if type(key) is int and 0 <= key < 24 else _encode_key(key), item)
        for key, item in value.items()
    ]
    pairs.sort(key=_FIRST)
    for key, item in pairs:
        out += key
        _WRITE.get(type(item), _write_kin)(out, item)


def _write_bool(out: bytearray, value: bool) -> None:  # noqa: FBT001 - one of the codec's values
    out.append(0xF5 if value else 0xF4)


def _write_null(out: bytearray, _value: None) -> None:
    out.append(0xF6)


def _write_tag(out: bytearray, value: Tag) -> None:
    if not 0 <= value.number <= MAX_INT:
        raise ValueError(f"tag number {value.number} is outside 0 to 2^63 - 1")
    out += _head(6, value.number)
    _WRITE.get(type(value.value), _write_kin)(out, value.value)


_FIRST: Final = itemgetter(0)
# By the exact type, which is quickest: a node encodes some thirty values for every post.
_WRITE: Final[dict[type, Callable[[bytearray, Any], None]]] = {
    bytes: _write_bytes,
    str: _write_text,
    int: _write_int,
    tuple: _write_array,
    list: _write_array,
    dict: _write_map,
    bool: _write_bool,
    type(None): _write_null,
    Tag: _write_tag,
}
_KIN: Final = (bytes, str, int, tuple, list, Tag)


def _write_kin(out: bytearray, value: object) -> None:
    """A value of a subclass: enumerations above all."""
    for kind in _KIN:
        if isinstance(value, kind):
            _WRITE[kind](out, value)
            return
    if not isinstance(value, Mapping):
        raise ValueError(f"{type(value).__name__} has no place in deterministic CBOR")
    _write_map(out, value)


def _encode_key(key: object) -> bytes:
    if isinstance(key, bool) or not isinstance(key, _KEY_TYPES):
        raise ValueError(f"a map key must be an integer, text or bytes, not {type(key).__name__}")
    return encode(key)


def decode(data: bytes, *, max_depth: int = MAX_DEPTH) -> Value:
    """Decode exactly one deterministic item that fills `data`.

    Raises Malformed for anything else, including valid CBOR that is not deterministic, more than
    `max_depth` nested arrays, maps and tags, and trailing bytes.
    """
    value, end = _read(data, 0, max_depth)
    if end != len(data):
        raise Malformed(f"CBOR: {len(data) - end} bytes after the item")
    return value


def decode_byte_strings(data: bytes, *, most: int) -> tuple[bytes, ...]:
    """Decode an array of at most `most` byte strings that fills `data`. Raises Malformed.

    As `decode`, but nothing else is built first: for large arrays that strangers send.
    """
    count, at = read_head(data, 0, 4)
    if count > most:
        raise Malformed(f"CBOR: {count} byte strings; at most {most}")
    items: list[bytes] = []
    for _ in range(count):
        item, at = _read(data, at, 0)
        if not isinstance(item, bytes):
            raise Malformed("CBOR: not an array of byte strings")
        items.append(item)
    if at != len(data):
        raise Malformed(f"CBOR: {len(data) - at} bytes after the item")
    return tuple(items)


def read_head(data: bytes, at: int, major: int) -> tuple[int, int]:
    """The argument of the head of type `major` at `at`, and where the head ends. Raises Malformed.

    For forms that never change: read as they stand, they need not be built to be taken apart.
    """
    try:
        info = data[at] ^ major << 5
    except IndexError:
        raise Malformed(_CUT_OFF) from None
    if info < 24:
        return info, at + 1
    if info > 31:
        raise Malformed(f"CBOR: an item that is not of major type {major}")
    return _read_argument(data, at + 1, major, info)


def split_sequence(data: bytes, *, most: int, most_heads: int = 1_024) -> list[bytes]:
    """The encoded items of a CBOR sequence (RFC 8742), at most `most` of them. Raises Malformed.

    Only finds where items end, without building them, so that nobody pays with memory for what a
    stranger sent; `decode` judges each. `most_heads` counts an item's own and all nested ones.
    """
    items: list[bytes] = []
    at = 0
    while at < len(data):
        if len(items) == most:
            raise Malformed(f"CBOR: a sequence of more than {most} items")
        start = at
        at = _end_of(data, start, most_heads)
        items.append(data[start:at])
    return items


def _end_of(data: bytes, at: int, most_heads: int) -> int:
    left, heads = 1, 0
    while left:
        heads += 1
        if heads > most_heads:
            raise Malformed(f"CBOR: an item of more than {most_heads} parts")
        if at >= len(data):
            raise Malformed(_CUT_OFF)
        major, argument = data[at] >> 5, data[at] & 31
        at += 1
        if argument >= 24:
            argument, at = _read_argument(data, at, major, argument)
        left -= 1
        if major in {2, 3}:
            at += argument
        elif major == 4:
            left += argument
        elif major == 5:
            left += 2 * argument
        elif major == 6:
            left += 1
    if at > len(data):
        raise Malformed(_CUT_OFF)
    return at


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    # Integers and strings are read here and not in functions of their own: they are nine of ten
    # items, and a call costs as much as the reading.
    size = len(data)
    if at >= size:
        raise Malformed(_CUT_OFF)
    first = data[at]
    at += 1
    if first < 24:
        return first, at
    major, argument = first >> 5, first & 31
    if argument >= 24:
        if argument == 24 and major != 7 and at < size and data[at] >= 24:
            argument = data[at]
            at += 1
        elif argument == 25 and major != 7 and at + 1 < size and data[at]:
            argument = data[at] << 8 | data[at + 1]
            at += 2
        else:
            argument, at = _read_argument(data, at, major, argument)
    if major < 2:
        return -1 - argument if major else argument, at
    if major < 4:
        end = at + argument
        if end > size:
            raise Malformed(_CUT_OFF)
        return data[at:end] if major == 2 else _text(data[at:end]), end
    return _READ[major](data, at, argument, depth)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Malformed("CBOR: text is not UTF-8") from error


def _read_argument(data: bytes, at: int, major: int, info: int) -> tuple[int, int]:
    if info > 27:
        raise Malformed("CBOR: indefinite lengths and reserved heads are refused")
    end = at + (1 << (info - 24))
    if end > len(data):
        raise Malformed(_CUT_OFF)
    argument = int.from_bytes(data[at:end], "big")
    if major == 7:
        raise Malformed(_NO_FLOATS)
    if argument < _MIN_OF_WIDTH[info]:
        raise Malformed("CBOR: an integer or length is not in its shortest form")
    if argument > MAX_INT:
        raise Malformed("CBOR: an integer is outside ±2^63, or a length or tag number too large")
    return argument, end


def _read_array(data: bytes, at: int, count: int, depth: int) -> tuple[Value, int]:
    # Every item takes at least a byte, so a count beyond the rest is a lie; no memory for it.
    if count > len(data) - at:
        raise Malformed(_CUT_OFF)
    if depth == 0:
        raise Malformed("CBOR: nested too deeply")
    items: list[Value] = []
    size = len(data)
    for _ in range(count):
        first = data[at] if at < size else 0xFF
        # Small integers, and hashes, the bulk of every proof, without a call for each.
        if first < 24:
            at += 1
            items.append(first)
        elif first == 0x58 and at + 33 < size and data[at + 1] == 32:
            at += 34
            items.append(data[at - 32 : at])
        else:
            item, at = _read(data, at, depth - 1)
            items.append(item)
    return tuple(items), at


def _read_map(data: bytes, at: int, count: int, depth: int) -> tuple[Value, int]:
    if 2 * count > len(data) - at:
        raise Malformed(_CUT_OFF)
    if depth == 0:
        raise Malformed("CBOR: nested too deeply")
    depth -= 1
    result: dict[Key, Value] = {}
    # Labels below 24 are a byte each and come first, in the order of their numbers.
    size, label = len(data), -1
    while count and at < size and data[at] < 24:
        if data[at] <= label:
            raise Malformed(_DISORDER)
        label = data[at]
        result[label], at = _read(data, at + 1, depth)
        count -= 1
    if not count:
        return result, at
    previous = b""
    for _ in range(count):
        start = at
        key, at = _read(data, at, depth)
        if isinstance(key, bool) or not isinstance(key, _KEY_TYPES):
            raise Malformed("CBOR: a map key must be an integer, text or bytes")
        encoded = data[start:at]
        # Sorted by encoded bytes and strictly increasing: order and duplicates in one check.
        if encoded <= previous:
            raise Malformed(_DISORDER)
        previous = encoded
        result[key], at = _read(data, at, depth)
    return result, at


def _read_tag(data: bytes, at: int, number: int, depth: int) -> tuple[Value, int]:
    if depth == 0:
        raise Malformed("CBOR: nested too deeply")
    value, at = _read(data, at, depth - 1)
    return Tag(number, value), at


def _read_simple(_data: bytes, at: int, argument: int, _depth: int) -> tuple[Value, int]:
    if argument not in _SIMPLE:
        raise Malformed(_NO_FLOATS)
    return _SIMPLE[argument], at


_READ: Final[dict[int, Callable[[bytes, int, int, int], tuple[Value, int]]]] = {
    4: _read_array,
    5: _read_map,
    6: _read_tag,
    7: _read_simple,
}
