# SPDX-License-Identifier: Apache-2.0
"""The state map written in C or in Python, whichever a test asks for.

    with map_written_in("python"):
        …                                   as where the writer in C was not built

Shipped code takes what `statemap.writing` found when it was imported. Not for threads: the whole
process writes so for the time of the block.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from fieldpost.statemap import writing
from fieldpost.statemap.writing import Node

Language = Literal["c", "python"]
Writer = Callable[[Node | None, Sequence[bytes]], tuple[Node | None, int]]
LANGUAGES: Final[tuple[Language, ...]] = ("c", "python")


def writer_in_c() -> Writer | None:
    """`set_all` of `_writing.c`, or None: it was not built here."""
    try:
        from fieldpost.statemap import _writing
    except ImportError:
        return None
    return _writing.set_all


@contextmanager
def map_written_in(language: Language) -> Iterator[None]:
    """Have the state map written in this language. Raises ValueError where C was not built."""
    writer = writer_in_c() if language == "c" else writing.set_all_in_python
    if writer is None:
        raise ValueError("the writer in C was not built here: run  make setup  with a C compiler")
    before = writing.set_all, writing.WRITTEN_IN
    writing.set_all, writing.WRITTEN_IN = writer, language
    try:
        yield
    finally:
        writing.set_all, writing.WRITTEN_IN = before
