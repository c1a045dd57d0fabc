# SPDX-License-Identifier: Apache-2.0
"""Changes of real artefacts that keep most of their structure, so as to pass the first check.

`mutate` takes CBOR as a tree, byte strings that hold CBOR included: it changes, drops, doubles,
swaps, nests or replaces one place, takes places from other artefacts, writes lengths again or lies
about them. Text is changed by lines and words. Any bytes are also changed as bytes. Everything
follows from the random source, so that a seed names a mutation for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

MOST_BYTES: Final = 80_000
"""No mutation is longer: what is larger is refused by its length alone."""

_NUMBERS: Final = (0, 1, 2, 23, 24, 31, 32, 33, 63, 64, 65, 255, 256, 257, 2**16 - 1, 2**16, 2**31)
_HUGE: Final = (2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_SCALARS: Final = (
    b"\xf4",
    b"\xf5",
    b"\xf6",
    b"\xf7",
    b"\xf9\x3c\x00",
    b"\xff",
    b"\xfc",
    b"\x9f\xff",
)
_CRUMBS: Final = (
    b"",
    b"\n",
    b" ",
    b"\t",
    b"\r\n",
    b"\x00",
    b"=",
    b"+",
    b"/",
    b"%",
    b"-1",
    b"0",
    b"00",
)
_WORDS: Final = (
    b"99999999999999999999",
    b"-0",
    b"\xe2\x80\x94",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xd9\xa3",
)
_INTERESTING: Final = (0, 1, 0x7F, 0x80, 0xFF, 0x18, 0x1B, 0x5B, 0x7B, 0x9B, 0xBB, 0xDB, 0xF6)


@dataclass(frozen=True, slots=True)
class Item:
    """One CBOR item: its bytes, its head, and the items in it (a byte string may hold one)."""

    raw: bytes
    major: int
    argument: int
    children: tuple["Item", ...] = ()

    def around(self, pieces: Sequence[bytes]) -> bytes:
        """This item with other children: lengths and counts follow from them."""
        body = b"".join(pieces)
        if self.major == 2:
            return head(2, len(body)) + body
        count = {4: len(pieces), 5: len(pieces) // 2}.get(self.major, self.argument)
        return head(self.major, count) + body


def head(major: int, argument: int, *, width: int | None = None) -> bytes:
    """A CBOR head; `width` of the argument in bytes (0: in the head), None for the shortest."""
    if width is None:
        widths = ((0, 24), (1, 2**8), (2, 2**16), (4, 2**32), (8, 2**64))
        width = next(width for width, end in widths if argument < end)
    if width == 0:
        return bytes([major << 5 | argument])
    code = {1: 24, 2: 25, 4: 26, 8: 27}[width]
    return bytes([major << 5 | code]) + (argument % (1 << 8 * width)).to_bytes(width, "big")


@lru_cache(maxsize=4_096)
def parse(data: bytes) -> Item | None:
    """The item that fills `data`, byte strings opened where they hold CBOR; None for no CBOR."""
    try:
        item, end = _parse(data, 0, 24)
    except (IndexError, ValueError):
        return None
    return item if end == len(data) else None


def _parse(data: bytes, start: int, depth: int) -> tuple[Item, int]:
    major, argument = data[start] >> 5, data[start] & 31
    at = start + 1
    if argument >= 28 or depth == 0:
        raise ValueError("no head")
    if argument >= 24:
        width = 1 << (argument - 24)
        argument = int.from_bytes(data[at : at + width], "big")
        at += width
    children: list[Item] = []
    if major in (2, 3):
        end = at + argument
        if end > len(data):
            raise ValueError("cut off")
        nested = parse(data[at:end]) if major == 2 and argument > 2 else None
        if nested is not None and nested.major >= 4:
            children.append(nested)
        at = end
    if major in (4, 5, 6):
        count = {4: argument, 5: 2 * argument, 6: 1}[major]
        if count > len(data):
            raise ValueError("cut off")
        for _ in range(count):
            item, at = _parse(data, at, depth - 1)
            children.append(item)
    if major == 7 and argument not in (20, 21, 22):
        raise ValueError("no head")
    return Item(data[start:at], major, argument, tuple(children)), at


# A place: the items from the root down, and which child of the last one.
Place = tuple[tuple[Item, ...], tuple[int, ...]]


@lru_cache(maxsize=4_096)
def places(root: Item) -> tuple[Place, ...]:
    """Every item below a root, as the way to it."""
    found: list[Place] = []
    left: list[tuple[tuple[Item, ...], tuple[int, ...]]] = [((root,), ())]
    while left:
        way, steps = left.pop()
        for index, child in enumerate(way[-1].children):
            found.append((way, (*steps, index)))
            left.append(((*way, child), (*steps, index)))
    return tuple(found)


def mutate(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """`data` changed in one to three places; `others` are artefacts to take pieces from."""
    for _ in range(random.choice((1, 1, 1, 1, 2, 3))):
        data = _once(random, data, others)[:MOST_BYTES]
    return data


def _once(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    kind = random.random()
    if kind < 0.7:
        item = parse(data)
        if item is not None and item.children:
            return _change_tree(random, item, others)
        if data.isascii():
            return _change_text(random, data, others)
    if kind > 0.97:
        return random.choice((b"", random.choice(others), random.randbytes(random.randrange(64))))
    return _change_bytes(random, data, others)


# --- CBOR ---


def _change_tree(random: Random, root: Item, others: Sequence[bytes]) -> bytes:
    way, steps = random.choice(places(root))
    pieces = [child.raw for child in way[-1].children]
    at = steps[-1]
    victim = way[-1].children[at]
    match random.randrange(12):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(at, victim.raw)
        case 2:
            other = random.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        case 3 | 4:
            pieces[at] = _piece(random, others)
        case 5:
            pieces[at] = _scalar(random)
        case 6:
            pieces[at] = _nested(random, victim.raw)
        case 7:
            pieces[at] = _lie(random, victim)
        case 8:
            pieces[at:at] = [_scalar(random) for _ in range(random.choice((1, 2, 40, 300)))]
        case _:
            pieces[at] = _near(random, victim)
    changed = way[-1].around(pieces)
    for parent, index in zip(reversed(way[:-1]), reversed(steps[:-1]), strict=True):
        pieces = [child.raw for child in parent.children]
        pieces[index] = changed
        changed = parent.around(pieces)
    return changed


def _piece(random: Random, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    item = parse(other)
    if item is None or not item.children:
        return head(2, len(other[:300])) + other[:300]
    way, steps = random.choice(places(item))
    return way[-1].children[steps[-1]].raw


def _scalar(random: Random) -> bytes:
    match random.randrange(5):
        case 0:
            return random.choice(_SCALARS)
        case 1:
            octets = random.randbytes(random.choice((0, 1, 4, 16, 32, 64, 300)))
            return head(2, len(octets)) + octets
        case 2:
            text = random.choice((b"", b"a", b"\xff", b"\x00", b"x" * 300, b"\xc3\xa9"))
            return head(3, len(text)) + text
        case _:
            return head(random.randrange(2), random.choice(_NUMBERS + _HUGE))


def _nested(random: Random, raw: bytes) -> bytes:
    for _ in range(random.choice((1, 1, 2, 15, 16, 17, 200))):
        match random.randrange(3):
            case 0:
                raw = head(6, random.choice((18, 98, 107, 2**32))) + raw
            case 1:
                raw = head(2, len(raw)) + raw
            case _:
                raw = head(4, 1) + raw
    return raw


def _lie(random: Random, victim: Item) -> bytes:
    """The item with another head: a longer form, a wrong count, an indefinite length."""
    major = victim.major
    body = victim.raw[len(head(major, victim.argument)) :]
    match random.randrange(4):
        case 0:
            width = random.choice((1, 2, 4, 8))
            return head(major, victim.argument % (1 << 8 * width), width=width) + body
        case 1:
            return bytes([major << 5 | 31]) + body + b"\xff"
        case 2:
            return head(major, random.choice(_NUMBERS + _HUGE)) + body
        case _:
            return bytes([major << 5 | random.choice((28, 29, 30))]) + body


def _near(random: Random, victim: Item) -> bytes:
    """A value like the one that stands there."""
    if victim.major in (4, 5, 6):
        body = victim.raw[len(head(victim.major, victim.argument)) :]
        return head(random.choice((4, 5, 6)), victim.argument) + body
    if victim.major in (2, 3):
        inside = bytearray(victim.raw[len(head(victim.major, victim.argument)) :])
        match random.randrange(5):
            case 0:
                inside += b"\x00"
            case 1:
                del inside[-1:]
            case 2 if inside:
                inside[random.randrange(len(inside))] ^= 1 << random.randrange(8)
            case 3:
                inside = bytearray(len(inside))
            case _:
                inside *= random.choice((2, 9))
        major = random.choice((victim.major, victim.major, victim.major, 5 - victim.major))
        return head(major, len(inside)) + bytes(inside)
    step = random.choice((-1, 1, 2, 255, 2**32))
    return head(victim.major % 2, max(0, min(victim.argument + step, 2**64 - 1)))


# --- text and bytes ---


def _change_text(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    match random.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines[at:at] = [lines[at]] * random.choice((1, 2, 100))
        case 2:
            lines[at] = random.choice(random.choice(others).split(b"\n"))[:2_000]
        case 3:
            other = random.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        case _:
            words = lines[at].split(b" ")
            place = random.randrange(len(words))
            word = words[place]
            cut = random.randrange(len(word) + 1)
            end = cut + random.choice((0, 0, 1, 4))
            words[place] = word[:cut] + random.choice(_CRUMBS + _WORDS) + word[end:]
            lines[at] = b" ".join(words)
    return b"\n".join(lines)


def _change_bytes(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((0, 1, 1, 2, 4, 8, 32)))
    match random.randrange(7):
        case 0 if data:
            place = min(at, len(data) - 1)
            flipped = data[place] ^ 1 << random.randrange(8)
            return data[:place] + bytes([flipped]) + data[place + 1 :]
        case 1:
            return data[:at] + bytes([random.choice(_INTERESTING)]) + data[min(at + 1, len(data)) :]
        case 2:
            return data[:at] + data[end:]
        case 3:
            return data[:end] + data[at:end] * random.choice((1, 3, 60)) + data[end:]
        case 4:
            return data[:at]
        case 5:
            other = random.choice(others)
            return data[:at] + other[random.randrange(len(other) + 1) :]
        case _:
            return data[:at] + random.randbytes(random.choice((1, 2, 8))) + data[end:]
