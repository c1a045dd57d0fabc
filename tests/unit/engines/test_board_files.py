# SPDX-License-Identifier: Apache-2.0
"""The first start makes keys and genesis, once."""

import stat
from pathlib import Path

import pytest

from fieldpost.engines.board_files import (
    create_board,
    is_board,
    is_trial,
    keys_directory,
    log_directory,
    read_board_id,
)
from fieldpost.engines.recovery import open_board
from fieldpost.errors import Conflict, Malformed, Misconfigured
from fieldpost.keys import Algorithm
from fieldpost.ledger.reading import read_board
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.faults import FaultyDisk, PowerCut

NOW = 1_800_000_000


def test_a_board_is_made_with_the_asked_record(tmp_path: Path) -> None:
    board = create_board(
        tmp_path,
        now=NOW,
        origin="board.example/1",
        urls=["https://board.example"],
        post_quantum=True,
        epoch_s=30,
    )
    log = open_log(log_directory(tmp_path))
    assert board == read_board_id(log)
    assert board.startswith("board.example/1#")
    assert log.size == 2
    writer = open_board(tmp_path)
    record = read_board(writer.state.map)
    assert (record.origin, record.epoch_s, record.is_solo) == ("board.example/1", 30, True)
    (operator,) = record.operators
    assert (operator.name, operator.urls) == ("board.example", ("https://board.example",))
    assert [key.public_key.algorithm for key in operator.cosigner_keys] == [
        Algorithm.ED25519,
        Algorithm.ML_DSA_44,
    ]
    assert len(writer.publish(NOW).cosignatures) == 2
    writer.close()


def test_a_board_without_an_origin_is_a_trial_board(tmp_path: Path) -> None:
    first = create_board(tmp_path / "1", now=NOW)
    second = create_board(tmp_path / "2", now=NOW)
    origins = [board.partition("#")[0] for board in (first, second)]
    assert all(is_trial(origin) for origin in origins)
    assert origins[0] != origins[1]
    assert not is_trial("board.example/1")


def test_only_the_owner_may_read_the_keys(tmp_path: Path) -> None:
    create_board(tmp_path, now=NOW, post_quantum=True)
    paths = list(keys_directory(tmp_path).iterdir())
    assert len(paths) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


def test_a_second_board_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    assert not is_board(tmp_path)
    board = create_board(tmp_path, now=NOW)
    assert is_board(tmp_path)
    with pytest.raises(Conflict) as refused:
        create_board(tmp_path, now=NOW)
    assert refused.value.current == board


def test_a_bad_origin_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        create_board(tmp_path, now=NOW, origin="https://board.example")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_first_start_is_begun_again(tmp_path: Path) -> None:
    counting = FaultyDisk()
    create_board(tmp_path / "whole", now=NOW, disk=counting)
    for step in range(0, len(counting.calls), 3):
        data = tmp_path / str(step)
        with pytest.raises(PowerCut):
            create_board(data, now=NOW, disk=FaultyDisk(fail_at=step, power_cut=True))
        if not is_board(data):
            create_board(data, now=NOW)
        writer = open_board(data)
        assert writer.publish(NOW).size == 2
        writer.close()


def test_keys_of_another_board_are_refused(tmp_path: Path) -> None:
    create_board(tmp_path / "1", now=NOW)
    create_board(tmp_path / "2", now=NOW)
    keys_directory(tmp_path / "1").rename(tmp_path / "old")
    keys_directory(tmp_path / "2").rename(keys_directory(tmp_path / "1"))
    with pytest.raises(Misconfigured, match="own keys"):
        open_board(tmp_path / "1")


def test_a_missing_key_is_refused(tmp_path: Path) -> None:
    create_board(tmp_path, now=NOW)
    (keys_directory(tmp_path) / "log.pem").unlink()
    with pytest.raises(Misconfigured, match=r"log\.pem"):
        open_board(tmp_path)
