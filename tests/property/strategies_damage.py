# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for values that are almost right.

`VALUES` is any CBOR. `damaged` takes a decoded record and changes one place of it, also into what
looks equal in Python and is not (1, True). `damaged_bytes` does so to encoded bytes.
"""

from hypothesis import strategies as st

from fieldpost import cbor

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.sampled_from([cbor.MAX_INT, cbor.MIN_INT, 2**32, 2**32 + 1]),
    st.binary(max_size=40),
    st.text(max_size=8),
)
VALUES: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.integers(-3, 12) | st.text(max_size=3), inner, max_size=4),
        st.builds(lambda value: cbor.Tag(18, value), inner),
    ),
    max_leaves=8,
)


@st.composite
def damaged(draw: st.DrawFn, value: object) -> object:
    """`value`, a decoded item, with one place changed, dropped, added or doubled."""
    if isinstance(value, dict) and value and draw(st.integers(0, 3)):
        key = draw(st.sampled_from(list(value)))
        if draw(st.integers(0, 5)) == 0:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: draw(damaged(value[key]))}
    if isinstance(value, dict) and draw(st.booleans()):
        return value | {draw(st.integers(-2, 14)): draw(VALUES)}
    if isinstance(value, tuple) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        match draw(st.integers(0, 5)):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return (*value[:at], value[at], *value[at:])
            case _:
                return (*value[:at], draw(damaged(value[at])), *value[at + 1 :])
    if type(value) is int:
        near = st.sampled_from([value + 1, value - 1, -value, bool(value)])
        return draw(near.filter(lambda n: cbor.MIN_INT <= n <= cbor.MAX_INT))
    if isinstance(value, bytes) and draw(st.booleans()):
        return draw(st.sampled_from([value + b"\0", value[:-1], bytes(len(value))]))
    return draw(VALUES)


@st.composite
def damaged_bytes(draw: st.DrawFn, encoded: bytes) -> bytes:
    """`encoded` cut off, or with something put in, written over or taken out in one place."""
    at = draw(st.integers(0, len(encoded)))
    new = draw(st.binary(max_size=9))
    gone = draw(st.sampled_from([0, len(new), 1]) | st.integers(0, 40))
    end = draw(st.sampled_from([len(encoded), len(encoded), at]))
    return encoded[:at] + new + encoded[at + gone : end]
