# SPDX-License-Identifier: Apache-2.0
"""The state map's writer in C makes what the one in Python makes, node by node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.statemap.hashing import encode_leaf
from fieldpost.statemap.writing import Node, set_all_in_python
from fieldpost.testing.map_writers import writer_in_c
from tests.property.test_statemap_laws import Pairs, pairs_of_map

in_c = writer_in_c()
pytestmark = pytest.mark.skipif(
    in_c is None, reason="the writer in C was not built: run  make setup  with a C compiler"
)


def leaves_of(pairs: Pairs) -> list[bytes]:
    return sorted(encode_leaf(key, value) for key, value in pairs.items())


def nodes_of(tree: Node | None) -> list[Node]:
    """Every node, parents first."""
    if tree is None:
        return []
    below = nodes_of(tree[1]) + nodes_of(tree[2]) if isinstance(tree, tuple) else []
    return [tree, *below]


@given(st.lists(pairs_of_map, max_size=5), st.data())
def test_both_writers_make_equal_trees_and_keep_the_same_nodes(
    batches: list[Pairs], data: st.DataObject
) -> None:
    """Some of what is there already is written again, equal or not: chance seldom does it."""
    assert in_c is not None
    tree: Node | None = None
    content: Pairs = {}
    for batch in batches:
        again = data.draw(st.lists(st.sampled_from(sorted(content)), max_size=6)) if content else []
        leaves = leaves_of(batch | {key: content[key] for key in again})
        content |= batch | {key: content[key] for key in again}
        kept = {id(node) for node in nodes_of(tree)}
        expected, made = set_all_in_python(tree, leaves), in_c(tree, leaves)
        assert made == expected
        pairs = list(zip(nodes_of(made[0]), nodes_of(expected[0]), strict=True))
        assert all(type(ours) is type(theirs) for ours, theirs in pairs)
        assert all(
            ours is theirs for ours, theirs in pairs if id(ours) in kept or id(theirs) in kept
        )
        tree = made[0]
    assert in_c(None, leaves_of(content)) == (tree, len(content))


@st.composite
def damaged(draw: st.DrawFn, node: Node) -> object:
    """A tree with one node that is none; the walk of a write may lead there or not."""
    if isinstance(node, bytes) or draw(st.integers(0, 3)) == 0:
        return draw(
            st.sampled_from(
                [None, 7, b"", b"short", "text", (), (1, 2, 3), [node], bytearray(b"x" * 40)]
                + ([] if isinstance(node, bytes) else [node[1:], (*node, b"")])
            )
        )
    bit, left, right, hashed = node
    where = draw(st.sampled_from(["bit", "left", "right", "hashed", "swap"]))
    wrong: object
    match where:
        case "bit":
            wrong = draw(st.sampled_from([-1, 256, 2**70, bit + 1, 0, 255, None, "7", True]))
            return wrong, left, right, hashed
        case "hashed":
            return bit, left, right, draw(st.sampled_from([b"", hashed[:-1], hashed + b"x", None]))
        case "left":
            return bit, draw(damaged(left)), right, hashed
        case "right":
            return bit, left, draw(damaged(right)), hashed
        case _:
            return bit, right, left, hashed


@given(pairs_of_map.filter(len), pairs_of_map.filter(len), st.data())
def test_whatever_stands_in_for_a_tree_is_written_to_or_refused(
    before: Pairs, batch: Pairs, data: st.DataObject
) -> None:
    """A bug of a caller raises ValueError; it never crashes the process."""
    assert in_c is not None
    tree = set_all_in_python(None, leaves_of(before))[0]
    assert tree is not None
    broken = data.draw(damaged(tree))
    try:
        made = in_c(broken, leaves_of(batch))  # type: ignore[arg-type]
    except ValueError:
        return
    assert isinstance(made[0], tuple | bytes)
