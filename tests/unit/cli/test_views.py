# SPDX-License-Identifier: Apache-2.0
"""A node may answer anything: what has another shape is a failure of the network, never a crash."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldpost.cli.views import BoardView, ClassView, FleetView, ReleaseRow
from fieldpost.errors import Unavailable

ARTIFACT = {"digest": "ab" * 32, "image": "cd" * 32, "size": 5, "encoding": "zstd", "stored": False}
RELEASE = {
    "sequence": 2,
    "version": "1.1",
    "kind": "feature",
    "manifest": "ef" * 32,
    "manifest_stored": False,
    "artifacts": [ARTIFACT, {**ARTIFACT, "encoding": "identity", "stored": True}],
    "withdrawn": None,
}
BOARD = {
    "board": "b/1#00",
    "origin": "b/1",
    "solo": True,
    "trial": False,
    "epoch": 0,
    "size": 2,
    "time": 3,
    "operators": [{"name": "op"}],
}
CLASS = {
    "record": "00",
    "maker": "11" * 16,
    "newest": 2,
    "floor": 0,
    "devices": 7,
    "channels": {
        "stable": {
            "interval_s": 60,
            "change_count": 1,
            "offers": [{"sequence": 2, "threshold": 2**32, "not_before": None}],
        },
        "beta": {"interval_s": 60, "change_count": 0, "offers": []},
    },
}
FLEET = {"devices": 9, "stale": 1, "never_seen": 2, "releases": {"9": {"failed": 1}, "11": {}}}

VIEWS: list[tuple[Callable[[object], object], dict[str, Any]]] = [
    (ReleaseRow.parse, RELEASE),
    (BoardView.parse, BOARD),
    (ClassView.parse, CLASS),
    (FleetView.parse, FLEET),
]
NAMES = ["release", "board", "class", "fleet"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def test_a_release_says_what_the_node_still_lacks() -> None:
    row = ReleaseRow.parse(RELEASE)
    assert row.missing == ("the manifest", f"the zstd artifact {'ab' * 6}…")
    assert row.has_image(bytes.fromhex("cd" * 32))
    assert not row.has_image(bytes.fromhex("ab" * 32))


def test_offers_and_counts_are_read() -> None:
    view = ClassView.parse(CLASS)
    assert view.intervals == {"stable": 60, "beta": 60}
    assert [(offer.channel, offer.sequence) for offer in view.offers] == [("stable", 2)]
    assert FleetView.parse(FLEET).releases == ((11, {}), (9, {"failed": 1})), "newest first"
    assert BoardView.parse(BOARD).operators == ("op",)


@pytest.mark.parametrize(("parse", "good"), VIEWS, ids=NAMES)
def test_a_document_without_one_of_its_members_is_refused(
    parse: Callable[[object], object], good: dict[str, Any]
) -> None:
    parse(good)
    needed = 0
    for name in good:
        rest = {key: value for key, value in good.items() if key != name}
        with pytest.raises(Unavailable, match="ask another node"):
            parse(rest)
        needed += 1
    assert needed == len(good)


@pytest.mark.parametrize(("parse", "good"), VIEWS, ids=NAMES)
def test_any_json_is_a_view_or_unavailable(
    parse: Callable[[object], object], good: dict[str, Any]
) -> None:
    @given(st.sampled_from(sorted(good)), JSON)
    def check(name: str, value: object) -> None:
        for document in (value, good | {name: value}):
            try:
                parse(document)
            except Unavailable:
                continue

    check()


@pytest.mark.parametrize(
    "releases", [{"²": {}}, {"x": {}}, {"1": {"failed": "many"}}, {"1": []}, []]
)
def test_counts_of_another_shape_are_refused(releases: object) -> None:
    with pytest.raises(Unavailable):
        FleetView.parse(FLEET | {"releases": releases})
