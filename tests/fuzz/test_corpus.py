# SPDX-License-Identifier: Apache-2.0
"""What guided runs found once stays read or refused; the corpus is small."""

import pytest

from fieldpost.errors import Malformed
from tests.fuzz import corpus, targets
from tests.fuzz.campaign import Fault, feed
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

MOST_BYTES = 200_000


@pytest.mark.parametrize("name", corpus.names())
def test_what_was_found_once_is_read_or_refused(name: str) -> None:
    inputs = corpus.load(name)
    # The first run makes the board that a reader may need, which is no work for the input.
    feed(name, inputs[0])
    for data in inputs:
        feed(name, data, measured=True)


def test_the_corpus_is_small_and_of_readers_that_there_are() -> None:
    assert len(corpus.names()) >= 8
    assert set(corpus.names()) <= set(TARGETS)
    assert sum(path.stat().st_size for path in corpus.FOLDER.iterdir()) <= MOST_BYTES


def test_a_reader_that_breaks_on_a_kept_input_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    name = corpus.names()[0]
    kept = set(corpus.load(name))

    def breaks(data: bytes) -> None:
        if data in kept:
            raise IndexError

    monkeypatch.setitem(targets.TARGETS, name, Target(breaks, "cbor", (Malformed,)))
    with pytest.raises(Fault):
        test_what_was_found_once_is_read_or_refused(name)


def test_only_what_reaches_further_is_kept_and_the_shortest_of_it() -> None:
    def reach(data: bytes) -> frozenset[corpus.Step]:
        return frozenset(("file", 0, number) for number in data)

    inputs = [b"\x01\x02\x03", b"\x02", b"\x02\x02", b"\x04\x01", b"\x00" * 5_000 + b"\x09"]
    assert corpus.fewest(inputs, reach, known=[b"\x01"]) == [b"\x02", b"\x04\x01", b"\x01\x02\x03"]


def test_steps_are_of_our_code_and_tell_branches_apart() -> None:
    def ways(data: bytes) -> frozenset[corpus.Step]:
        return corpus.steps(lambda: feed("cbor.decode", data))

    assert ways(b"\x01") == ways(b"\x02")
    assert ways(b"\x41a") - ways(b"\x01")
    assert all("/src/fieldpost/" in file for file, _, _ in ways(b"\x82\x01\x61a"))
