# SPDX-License-Identifier: Apache-2.0
"""`fieldpost verify` judges evidence offline, for whoever was handed the file."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldpost.cli.main import fieldpost
from fieldpost.errors import Misconfigured, Untrusted
from tests.vectors.own_vectors import load, octets

FILES = {
    case["name"]: octets(case["hex"])
    for name in ("state-evidence", "going-back", "evidence")
    for case in load(name)["files"]
}


def judge(tmp_path: Path, name: str) -> Any:
    file = tmp_path / "split-view.evidence"
    file.write_bytes(FILES[name])
    words = ["verify", str(file), "--json"]
    result = CliRunner().invoke(fieldpost, words, standalone_mode=False, catch_exceptions=False)
    return json.loads(result.stdout)


def test_the_author_of_two_histories_is_named(tmp_path: Path) -> None:
    said = judge(tmp_path, "one size, one log key under both")
    assert said["authors"] == ["operator operator1"]
    assert said["signed_the_first"] != said["signed_the_second"]
    assert len(said["heads"]) == 2


def test_heads_of_two_sizes_are_judged_by_the_proof(tmp_path: Path) -> None:
    said = judge(tmp_path, "300 entries that do not begin with the 6")
    assert said["authors"] == ["operator operator0"]


def test_where_nobody_signed_both_that_is_said(tmp_path: Path) -> None:
    (said,) = judge(tmp_path, "nobody signed both")["authors"]
    assert "somebody lied" in said


def test_what_proves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Untrusted) as refused:
        judge(tmp_path, "7 entries that begin with the 3")
    assert refused.value.reason == "no-split-view"


def test_evidence_without_links_asks_for_a_node(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="--board URL"):
        judge(tmp_path, "no links")


def test_who_cosigned_an_older_head_after_a_newer_one_is_named(tmp_path: Path) -> None:
    said = judge(tmp_path, "both operators went back")
    assert said["authors"] == ["operator operator0", "operator operator1"]
    assert said["older"] != said["newer"]


def test_heads_that_were_cosigned_in_order_convict_nobody(tmp_path: Path) -> None:
    with pytest.raises(Untrusted) as refused:
        judge(tmp_path, "in order")
    assert refused.value.reason == "no-going-back"


def test_evidence_of_a_wrong_state_asks_for_a_copy_of_the_log(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="--log"):
        judge(tmp_path, "a leaf that states another map")
