# SPDX-License-Identifier: Apache-2.0
"""The state map's writer in C: what it refuses, what it takes of memory, and doing without it."""

import gc
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from threading import Thread

import pytest

from fieldpost.statemap import StateMap, writing
from fieldpost.statemap.hashing import encode_leaf
from fieldpost.testing.map_writers import map_written_in, writer_in_c

in_c = writer_in_c()
built = pytest.mark.skipif(
    in_c is None, reason="the writer in C was not built: run  make setup  with a C compiler"
)
KEYS = [sha256(bytes([n])).digest() for n in range(200)]
A, B = sorted(encode_leaf(key, b"value") for key in KEYS[:2])
INNER = writing.set_all_in_python(None, [A, B])[0]
assert isinstance(INNER, tuple)

NO_TREES = {
    "a text": "node",
    "a number": 1,
    "a list": list(INNER),
    "three parts": INNER[:3],
    "a short leaf": A[:34],
    "a leaf of another kind": b"\x01" + A[1:],
    "a key of another length": b"\x00\x1f" + A[2:],
    "a bit below 0": (-1, *INNER[1:]),
    "a bit above 255": (256, *INNER[1:]),
    "a bit without end": (1 << 80, *INNER[1:]),
    "a bit that is a text": ("0", *INNER[1:]),
    "a bit that is in no key's place": (INNER[0] + 200, *INNER[1:]),
    "hashes cut off": (*INNER[:3], INNER[3][:-1]),
    "hashes in a list": (*INNER[:3], [INNER[3]]),
    "a node in itself": (INNER[0], INNER, INNER, INNER[3]),
    "nothing on both sides": (INNER[0], None, None, INNER[3]),
}
NO_LEAVES = {
    "twice": [A, A],
    "out of order": [B, A],
    "a text": ["leaf"],
    "none": [None],
    "bytes that change": [bytearray(A)],
    "a short one": [A[:34]],
    "a short one behind a good one": [A, B[:10]],
    "a node": [INNER],
}


@built
@pytest.mark.parametrize("case", NO_TREES)
def test_what_is_no_tree_is_refused(case: str) -> None:
    assert in_c is not None
    with pytest.raises(ValueError, match=r"no tree|no encoded leaf"):
        in_c(NO_TREES[case], [A, B])  # type: ignore[arg-type]


@built
@pytest.mark.parametrize("case", NO_LEAVES)
def test_what_are_no_sorted_leaves_is_refused(case: str) -> None:
    assert in_c is not None
    with pytest.raises(ValueError, match=r"no encoded leaf|twice, or out of order"):
        in_c(INNER, NO_LEAVES[case])  # type: ignore[arg-type]


@built
@pytest.mark.parametrize("arguments", [(), (None,), (None, [], []), (None, 7)])
def test_other_arguments_are_a_type_error(arguments: tuple[object, ...]) -> None:
    assert in_c is not None
    with pytest.raises(TypeError):
        in_c(*arguments)  # type: ignore[arg-type]


def blocks_grown_by(work: Callable[[], None]) -> int:
    """How many blocks of memory stay behind when it is done again and again."""
    work()
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    return sys.getallocatedblocks() - before


@built
def test_batches_leave_nothing_behind_in_memory() -> None:
    """Each of 300 batches makes nodes: one reference too many in any branch would show."""
    assert in_c is not None
    writer = in_c

    def work() -> None:
        tree: writing.Node | None = None
        for n in range(300):
            leaves = sorted(encode_leaf(key, bytes([n % 3, n % 7])) for key in KEYS[n % 50 :: 17])
            tree, _ = writer(tree, leaves)
            assert writer(tree, leaves) == (tree, 0)

    assert blocks_grown_by(work) < 50


@built
def test_refusals_leave_nothing_behind_in_memory() -> None:
    """Refused in the middle: nodes are open and some are made anew by then."""
    assert in_c is not None
    writer = in_c
    leaves = sorted(encode_leaf(key, b"1") for key in KEYS)
    tree = writing.set_all_in_python(None, leaves)[0]

    def work() -> None:
        for n in range(300):
            batch = sorted(encode_leaf(key, b"%d" % n) for key in KEYS[n % 50 :: 13])
            with pytest.raises(ValueError, match="no encoded leaf"):
                writer(tree, [*batch, b"no leaf"])

    assert blocks_grown_by(work) < 50


@built
def test_memory_that_runs_out_at_any_moment_is_an_error_and_loses_nothing() -> None:
    _testcapi = pytest.importorskip("_testcapi", reason="this Python has no module of its tests")
    assert in_c is not None
    before = writing.set_all_in_python(None, sorted(encode_leaf(k, b"1") for k in KEYS[:20]))[0]
    leaves = sorted(encode_leaf(key, b"2") for key in KEYS[10:30])
    expected = writing.set_all_in_python(before, leaves)

    def fails_at(moment: int) -> bool:
        assert in_c is not None
        _testcapi.set_nomemory(moment, moment + 1)
        try:
            made = in_c(before, leaves)
        except MemoryError:
            return True
        finally:
            _testcapi.remove_mem_hooks()
        assert made == expected
        return False

    def work() -> None:
        for _ in range(10):
            moments = 0
            while fails_at(moments):
                moments += 1
            assert moments > 20

    assert blocks_grown_by(work) < 50


@built
def test_nodes_that_c_made_are_not_searched_for_cycles() -> None:
    """They cannot be in one: all that they refer to was there before them, and never changes."""
    with map_written_in("c"):
        tree = StateMap.build((key, b"") for key in KEYS)
    assert not gc.is_tracked(tree._node)
    assert gc.is_tracked(object.__new__(type("AnyOther", (), {})))


@built
def test_threads_that_write_at_once_do_not_meet() -> None:
    """Batches are long enough for one to begin while others are in the middle."""
    leaves = [
        sorted(encode_leaf(sha256(b"%d" % n).digest(), b"%d" % t) for n in range(5_000))
        for t in range(4)
    ]
    made: list[object] = [None] * 4

    def write(number: int) -> None:
        assert in_c is not None
        made[number] = in_c(None, leaves[number])

    threads = [Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [writing.set_all_in_python(None, each) for each in leaves]


# What a fresh interpreter meets in the place of the built module, or of hashlib's library.
WORLDS = {
    "it was not built": "sys.modules['fieldpost.statemap._writing'] = None",
    "no library behind hashlib": (
        "import hashlib, types; fake = types.ModuleType('_hashlib'); "
        "fake.__file__ = '/nowhere/_hashlib.so'; sys.modules['_hashlib'] = fake"
    ),
    "a library without SHA-256": (
        "import hashlib, math, types; fake = types.ModuleType('_hashlib'); "
        "fake.__file__ = getattr(math, '__file__', '/nowhere'); sys.modules['_hashlib'] = fake"
    ),
}


@pytest.mark.parametrize("world", WORLDS)
def test_where_c_cannot_be_had_python_writes_the_same_map(world: str) -> None:
    script = (
        f"import sys\n{WORLDS[world]}\n"
        "from fieldpost.statemap import StateMap, writing\n"
        "grown = StateMap.build([(bytes(32), b'a')]).update({bytes(31) + b'b': b'c'})\n"
        "print(writing.WRITTEN_IN, grown.root.hex())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    here = StateMap.build([(bytes(32), b"a")]).update({bytes(31) + b"b": b"c"})
    assert done.stdout.split() == ["python", here.root.hex()]
    assert done.stderr == ""
