# SPDX-License-Identifier: Apache-2.0
"""The group of Ed25519 by its own arithmetic (RFC 8032 §5.1.4): the judge of quicker answers."""

from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, P) % P
_SQRT_M1: Final = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
IDENTITY: Final[Point] = (0, 1)


def decompress(raw: bytes) -> Point | None:
    """The point that 32 bytes encode canonically, None if they encode none."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(_D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * _SQRT_M1 % P
    if y >= P or x * x % P != square or (x == 0 and sign):
        return None
    return (x if x & 1 == sign else P - x), y


def compress(point: Point) -> bytes:
    """The encoding of a point."""
    x, y = point
    return (y | (x & 1) << 255).to_bytes(32, "little")


def add(p: Point, q: Point) -> Point:
    """The sum, by the one law that holds for all points."""
    (x, y), (v, w) = p, q
    both = _D * x * y * v * w % P
    return (
        (x * w + y * v) * pow(1 + both, -1, P) % P,
        (y * w + x * v) * pow(1 - both, -1, P) % P,
    )


def multiply(scalar: int, point: Point) -> Point:
    """The multiple, bit by bit."""
    result = IDENTITY
    for bit in f"{scalar:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def low_order_points() -> list[Point]:
    """The eight points whose order divides 8."""
    found = {IDENTITY}
    for y in range(2, 40):
        point = decompress(y.to_bytes(32, "little"))
        if point is not None:
            # What is left without the part of order L, and what it makes.
            torsion = multiply(L, point)
            found |= {multiply(times, torsion) for times in range(1, 8)}
    return sorted(found)


def is_good_key(raw: bytes) -> bool:
    """docs/spec/keys.md, word by word: a canonical point, not the identity, [L]A = identity."""
    point = decompress(raw)
    return point is not None and point != IDENTITY and multiply(L, point) == IDENTITY
