# SPDX-License-Identifier: Apache-2.0
"""Inclusion and consistency proofs: made from any HashReader, checked from nothing but hashes.

A verifier derives the shape of a path from index and sizes alone, never from the path: a wrong
number of hashes, or a hash that is not 32 bytes, is Malformed before anything is hashed. What
has the right shape and leads elsewhere is Untrusted("bad-proof"). Source: RFC 6962 §2.1.1-2.1.2
(RFC 9162 §2.1.3-2.1.4). A consistency proof from an empty tree says nothing and is refused.

The last leaf of a tree is special: its path (the right edge) is popcount(index) left siblings,
so its size need not be told apart from its index.
"""

from bisect import bisect_left
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from fieldpost.errors import Malformed, Untrusted
from fieldpost.tlog.hashing import HASH_BYTES, NODE_PREFIX, Hash, node_hash
from fieldpost.tlog.tree import HashReader, fold, subtree_positions

_Range = tuple[int, int]
_HASH_LENGTH: Final = frozenset({HASH_BYTES})


def consistency_ranges(*, old_size: int, size: int) -> list[_Range]:
    """The leaf ranges whose roots prove that a tree of `size` extends one of `old_size`."""
    _check_sizes(old_size, size)
    ranges, begin, end = [], 0, size
    while old_size != end:
        middle = begin + _left_size(end - begin)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    # The verifier knows the old root; only another subtree that ends there must be told.
    return [*([(begin, end)] if begin else []), *reversed(ranges)]


def prove_inclusion(reader: HashReader, *, index: int, size: int) -> tuple[Hash, ...]:
    """The inclusion path of leaf `index` in the tree of `size`, leaf to root; one read.

    Raises Malformed if there is no such leaf, and what the reader raises.
    """
    return prove_inclusions(reader, indexes=[index], size=size)[0]


def prove_inclusions(
    reader: HashReader, *, indexes: Sequence[int], size: int
) -> list[tuple[Hash, ...]]:
    """`prove_inclusion` of several leaves of one tree, in one read: neighbours share most of it.

    The tree is walked once, from the root to these leaves. A leaf's path is its sibling and then
    the path of what is above both, so a neighbour costs two nodes more and no walk of its own.
    """
    for index in indexes:
        if not 0 <= index < size:
            raise Malformed(f"a tree of size {size} has no leaf {index}")
    # For each node that is met, after the root: the number of the one above, and its sibling.
    met: list[tuple[int, _Range]] = []
    leaves: dict[int, int] = {}
    ahead = [(0, 0, size, sorted(set(indexes)))]
    while ahead:
        number, begin, end, some = ahead.pop()
        if end - begin == 1:
            leaves[begin] = number
            continue
        middle = begin + _left_size(end - begin)
        cut = bisect_left(some, middle)
        if cut:
            met.append((number, (middle, end)))
            ahead.append((len(met), begin, middle, some[:cut]))
        if cut < len(some):
            met.append((number, (begin, middle)))
            ahead.append((len(met), middle, end, some[cut:]))
    paths: list[tuple[Hash, ...]] = [()]
    roots = _read_roots(reader, [sibling for _, sibling in met])
    for (above, _), root in zip(met, roots, strict=True):
        paths.append((root, *paths[above]))
    return [paths[leaves[index]] for index in indexes]


def prove_consistency(reader: HashReader, *, old_size: int, size: int) -> tuple[Hash, ...]:
    """The proof that the tree of `size` extends the tree of `old_size`; empty if they are equal.

    Raises Malformed unless 0 < old_size ≤ size, and what the reader raises.
    """
    return _read_roots(reader, consistency_ranges(old_size=old_size, size=size))


def root_from_inclusion(*, leaf_hash: Hash, index: int, size: int, path: Sequence[Hash]) -> Hash:
    """The root that an inclusion path leads to. Believe it only if something signed says so.

    Raises Malformed unless the path has exactly the shape that index and size demand.
    """
    if not 0 <= index < size:
        raise Malformed(f"a tree of size {size} has no leaf {index}")
    inner = (index ^ (size - 1)).bit_length()
    _check_path(path, inner + (index >> inner).bit_count())
    _check_hash(leaf_hash)
    return _climb_left(_climb(leaf_hash, path[:inner], index), path[inner:])


def root_from_edge(*, leaf_hash: Hash, index: int, edge: Sequence[Hash]) -> Hash:
    """The root of the tree of size `index` + 1, from its last leaf and its right edge.

    Raises Malformed unless the edge has exactly popcount(index) hashes of 32 bytes.
    """
    if index < 0:
        raise Malformed(f"no tree has a leaf {index}")
    _check_path(edge, index.bit_count())
    _check_hash(leaf_hash)
    return _climb_left(leaf_hash, edge)


def verify_inclusion(
    *, leaf_hash: Hash, index: int, size: int, root: Hash, path: Sequence[Hash]
) -> None:
    """Check that leaf `index` of the tree (size, root) is `leaf_hash`.

    Raises Malformed for a path of the wrong shape, Untrusted("bad-proof") for another root.
    """
    _check_hash(root)
    if root_from_inclusion(leaf_hash=leaf_hash, index=index, size=size, path=path) != root:
        raise Untrusted("bad-proof", f"leaf {index} is not in the tree of size {size}")


def verify_consistency(
    *, old_size: int, old_root: Hash, size: int, root: Hash, path: Sequence[Hash]
) -> None:
    """Check that the tree (size, root) extends the tree (old_size, old_root).

    Raises Malformed unless 0 < old_size ≤ size and the path has the shape that they demand,
    Untrusted("bad-proof") if it leads to another old or new root.
    """
    _check_sizes(old_size, size)
    _check_hash(old_root)
    _check_hash(root)
    known = _is_own_seed(old_size=old_size, size=size)
    _check_path(path, _prefix_length(old_size=old_size, size=size) - known)
    whole = (old_root, *path) if known else path
    if roots_from_prefix(old_size=old_size, size=size, path=whole) != (old_root, root):
        raise Untrusted("bad-proof", f"the tree of size {size} does not extend size {old_size}")


def prove_prefix(reader: HashReader, *, old_size: int, size: int) -> tuple[Hash, ...]:
    """What the tree of `size` has as its first `old_size` leaves: a consistency proof for those
    who do not know the old root, so that it is told where `prove_consistency` leaves it out.

    Raises as `prove_consistency`.
    """
    ranges = consistency_ranges(old_size=old_size, size=size)
    seed = [(0, old_size)] if _is_own_seed(old_size=old_size, size=size) else []
    return _read_roots(reader, [*seed, *ranges])


def roots_from_prefix(*, old_size: int, size: int, path: Sequence[Hash]) -> tuple[Hash, Hash]:
    """The roots of `old_size` and `size` to which a prefix proof leads, both of one tree.

    Hashes cannot collide, so a tree whose root is the second has the first and no other at
    `old_size`: whoever signed another one for that size signed two histories. Raises Malformed
    unless 0 < old_size ≤ size and the path has exactly the shape that they demand.
    """
    _check_sizes(old_size, size)
    _check_path(path, _prefix_length(old_size=old_size, size=size))
    seed, rest = path[0], path[1:]
    shift, inner = _levels(old_size=old_size, size=size)
    turns = (old_size - 1) >> shift
    root = _climb_left(_climb(seed, rest[:inner], turns), rest[inner:])
    lefts = [item for level, item in enumerate(rest[:inner]) if turns >> level & 1]
    return _climb_left(_climb_left(seed, lefts), rest[inner:]), root


def _is_own_seed(*, old_size: int, size: int) -> bool:
    """Whether the subtree where a proof starts is the whole old tree, whose root is known."""
    return old_size in (size, old_size & -old_size)


def _levels(*, old_size: int, size: int) -> tuple[int, int]:
    """The level of the subtree where a proof starts, and how many levels turn both ways above."""
    if old_size == size:
        return size.bit_length(), 0
    # The largest full subtree that ends at old_size: its levels are shared by both trees.
    shift = (old_size & -old_size).bit_length() - 1
    return shift, ((old_size - 1) ^ (size - 1)).bit_length() - shift


def _prefix_length(*, old_size: int, size: int) -> int:
    shift, inner = _levels(old_size=old_size, size=size)
    return 1 + inner + ((old_size - 1) >> shift + inner).bit_count()


def _left_size(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _read_roots(reader: HashReader, ranges: Sequence[_Range]) -> tuple[Hash, ...]:
    plans = [subtree_positions(begin, end) for begin, end in ranges]
    hashes = iter(reader.read_hashes([position for plan in plans for position in plan]))
    return tuple(fold([next(hashes) for _ in plan]) for plan in plans)


def _climb(start: Hash, path: Sequence[Hash], turns: int) -> Hash:
    for level, sibling in enumerate(path):
        left = turns >> level & 1
        start = node_hash(sibling, start) if left else node_hash(start, sibling)
    return start


def _climb_left(start: Hash, path: Sequence[Hash]) -> Hash:
    for sibling in path:
        # `node_hash` without the call: a device climbs an edge at every check-in.
        start = sha256(NODE_PREFIX + sibling + start).digest()
    return start


def _check_sizes(old_size: int, size: int) -> None:
    if not 0 < old_size <= size:
        raise Malformed(f"no consistency proof goes from size {old_size} to size {size}")


def _check_hash(value: Hash) -> None:
    if len(value) != HASH_BYTES:
        raise Malformed("a tree hash must have 32 bytes")


def _check_path(path: Sequence[Hash], count: int) -> None:
    if len(path) != count:
        raise Malformed(f"the proof has {len(path)} hashes where {count} belong")
    if not _HASH_LENGTH.issuperset(map(len, path)):
        raise Malformed("a tree hash must have 32 bytes")
