# SPDX-License-Identifier: Apache-2.0
"""A monitor as its user runs it: real processes against real nodes, and what they say."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.test_gossip_attacks import fleet_of, row_of
from tests.attacks.test_lying_source_attacks import serving
from tests.e2e.maker_cli import Maker, make_maker, running_node

pytestmark = pytest.mark.e2e


def look(maker: Maker, data: Path, *options: str | Path) -> tuple[int, list[dict[str, Any]], Any]:
    """One look: exit code, the alarms, and the last line."""
    words = ("monitor", "run", "--data", data, "--once", "--json", *options)
    answer = maker(*words)
    lines = [json.loads(line) for line in answer.out.splitlines()]
    assert lines, answer.err
    return answer.code, lines[:-1], lines[-1]


def test_a_monitor_from_its_first_look_to_a_split_view(tmp_path: Path) -> None:
    """Nothing of the history alarms; what comes later does, once, whatever is restarted."""
    data, expected = tmp_path / "monitor", tmp_path / "expected.toml"
    with running_node(tmp_path / "one") as url:
        maker = make_maker(tmp_path / "home", url)
        maker_id = maker.settings()["maker"]
        wrote = maker("monitor", "expect", "--maker", maker_id, "--board", url, "-o", expected)
        assert wrote.code == 0, wrote.err
        watch = ("--expect", expected, "--board", url)
        code, alarms, said = look(maker, data, *watch)
        assert (code, alarms, said["seen"]) == (0, [], True)

        text = expected.read_text()
        expected.write_text(text.replace("# hours = [", "hours = []  # ["))
        maker.must("class", "add", "lamp", "--support-end", "2035-01-01")
        code, alarms, _ = look(maker, data, *watch)
        assert code == 1
        assert [alarm["kind"] for alarm in alarms] == ["unexpected-post"]
        assert alarms[0]["maker"] == maker_id
        assert "at a time that is not expected" in alarms[0]["text"]
        assert look(maker, data, *watch)[:2] == (0, [])
        kept = maker("monitor", "alarms", "--data", data, "--json")
        assert json.loads(kept.out)["id"] == alarms[0]["id"]

        other = make_maker(tmp_path / "other-home", url)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    with running_node(tmp_path / "one") as one, running_node(tmp_path / "two") as two:
        maker.ask_at(one)
        other.ask_at(two)
        expected.write_text(text)
        other.must("class", "add", "elsewhere", "--support-end", "2035-01-01")
        maker.must("class", "add", "here", "--support-end", "2035-01-01")
        both = ("--expect", expected, "--board", one, "--board", two)
        code, alarms, _ = look(maker, data, *both)
        assert code == 4
        (alarm,) = alarms
        assert alarm["kind"] == "split-view"
        evidence = alarm["facts"]["evidence"]
        # What a device would report that was shown the other history, by the command line.
        with serving(fleet_of(row_of(tmp_path / "two"))) as fleet:
            words = ("--board", one, "--fleet", fleet, "--save", tmp_path / "kept", "--json")
            answer = maker("fleet", "evidence", *words)
        assert answer.code == 4, answer.err
        (found,) = json.loads(answer.out)["found"]
        assert found["signed_by"].startswith("operator ")
        assert Maker(tmp_path / "nobody").must("verify", found["evidence"])["authors"]
        # A second look says nothing new, and still says that it is not well.
        assert look(maker, data, *both)[:2] == (4, [])
    judged = Maker(tmp_path / "nobody").must("verify", evidence)
    assert judged["authors"] == judged["signed_the_first"] == judged["signed_the_second"]
    # Nobody answers any more.
    code, _, said = look(maker, data, *both)
    assert (code, said["seen"]) == (75, False)
