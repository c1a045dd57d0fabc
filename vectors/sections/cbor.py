# SPDX-License-Identifier: Apache-2.0
"""CBOR: one encoding per value, and everything else that a decoder must refuse."""

from typing import Any

from fieldpost import cbor
from fieldpost.cbor import Tag

GOOD: list[tuple[str, object]] = [
    ("zero", 0),
    ("23, the largest in one byte", 23),
    ("24, the smallest in two", 24),
    ("255", 255),
    ("256", 256),
    ("65535", 65_535),
    ("65536", 65_536),
    ("2^32 - 1", 2**32 - 1),
    ("2^32", 2**32),
    ("2^63 - 1, the largest", 2**63 - 1),
    ("-1", -1),
    ("-24", -24),
    ("-25", -25),
    ("-2^63, the smallest", -(2**63)),
    ("empty byte string", b""),
    ("24 bytes", bytes(range(24))),
    ("empty text", ""),
    ("text with two- and three-byte characters", "\u00fc\u20ac"),
    ("empty array", []),
    ("nested arrays", [1, [2, [3, []]]]),
    ("empty map", {}),
    (
        'keys in bytewise order: 10, 100, -1, h\'64\', "z", "aa"',
        {10: 1, 100: 2, -1: 3, b"d": 4, "z": 5, "aa": 6},
    ),
    ("false, true, null", [False, True, None]),
    ("a tag", Tag(18, ())),
    ("a tag in two bytes", Tag(98, ())),
]
BAD: list[tuple[str, str]] = [
    ("nothing", ""),
    ("23 in two bytes", "1817"),
    ("255 in three bytes", "1900ff"),
    ("65535 in five bytes", "1a0000ffff"),
    ("2^32 - 1 in nine bytes", "1b00000000ffffffff"),
    ("2^63", "1b8000000000000000"),
    ("-2^63 - 1", "3b8000000000000000"),
    ("a length in two bytes where one is enough", "580100"),
    ("a byte string that is cut off", "4401020"[:-1]),
    ("a head that is cut off", "19ff"),
    ("indefinite byte string", "5f4101ff"),
    ("indefinite text", "7f6161ff"),
    ("indefinite array", "9f01ff"),
    ("indefinite map", "bf0102ff"),
    ("a break alone", "ff"),
    ("reserved additional information", "1c"),
    ("text that is not UTF-8", "62c328"),
    ("a surrogate in text", "63eda080"),
    ("half float", "f93c00"),
    ("single float", "fa3f800000"),
    ("double float", "fb3ff0000000000000"),
    ("undefined", "f7"),
    ("simple value 16", "f0"),
    ("false in two bytes", "f814"),
    ("keys out of order", "a202010102"),
    ("keys sorted by length first", "a3617a0542616106200a"),
    ("a key twice", "a201010102"),
    ("an array as a key", "a18001"),
    ("true as a key", "a1f501"),
    ("a byte after the item", "0000"),
    ("an array longer than the input", "9a7fffffff"),
    ("a map longer than the input", "ba7fffffff"),
    ("17 nested arrays", "81" * 17 + "80"),
]


def make() -> dict[str, Any]:
    """The file's content."""
    return {
        "about": "Items of the one deterministic encoding, and bytes that are none.",
        "spec": "docs/spec/cbor.md",
        "good": [{"name": name, "hex": cbor.encode(value).hex()} for name, value in GOOD],
        "bad": [{"name": name, "hex": data, "reason": "malformed"} for name, data in BAD],
    }
