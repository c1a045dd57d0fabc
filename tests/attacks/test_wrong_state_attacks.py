# SPDX-License-Identifier: Apache-2.0
"""Operators that publish what the rules refuse: who stops, and what is proven to others."""

from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.engines.mirrors import MirrorHead, verify_tail
from fieldpost.engines.published import verify_published
from fieldpost.errors import Misbehaviour, Untrusted
from fieldpost.ledger.reading import read_board
from fieldpost.node.mirrors import open_mirror
from fieldpost.store.log_recovery import open_log
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.tree import CompactRange
from fieldpost.watch import mirror_follow
from fieldpost.watch.state_evidence import (
    WrongState,
    decode_state_evidence,
    verify_state_evidence,
)
from tests.attacks.test_lying_source_attacks import refused, sign_alone, write_wrong_state
from tests.unit.engines.mirrored_boards import copy, enrol, written
from tests.unit.watch.copied_boards import follow, note_of


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A board that `copy` follows, and `fork`, where its operator is to go another way."""
    made = written(tmp_path / "data", lots=2)
    follow(tmp_path / "copy", made.data)
    copy(made.data, tmp_path / "fork")
    return made


def test_a_wrong_state_that_the_operators_published_ends_the_mirror(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    write_wrong_state(board, tmp_path / "fork")
    error = refused(tmp_path / "copy", tmp_path / "fork", Misbehaviour, "wrong-state")
    assert isinstance(error, Misbehaviour)
    assert error.evidence == (note_of(tmp_path / "fork"),)
    (kept,) = (tmp_path / "copy" / "evidence").iterdir()
    evidence = decode_state_evidence(kept.read_bytes())
    proven = verify_state_evidence(evidence, entries_before(board, evidence))
    assert evidence.head == note_of(tmp_path / "fork")
    assert {signer.role for signer in proven.authors} == {"operator"}
    assert proven.why.startswith("wrong-state")


def entries_before(board: BoardOnDisk, evidence: WrongState) -> list[bytes]:
    """What any honest copy of the board has."""
    return open_log(board.data / "log").read_entries(0, evidence.base)


def test_true_heads_and_strange_entries_are_no_evidence_of_a_wrong_state(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """Nobody can accuse the operators of what they did not sign."""
    write_wrong_state(board, tmp_path / "fork")
    refused(tmp_path / "copy", tmp_path / "fork", Misbehaviour, "wrong-state")
    (kept,) = (tmp_path / "copy" / "evidence").iterdir()
    wrong = decode_state_evidence(kept.read_bytes())
    enrol(board, 1)
    log = open_log(board.data / "log")
    base = wrong.base
    true = replace(wrong, head=note_of(board.data), entries=tuple(log.read_entries(base, log.size)))
    before = log.read_entries(0, base)
    for accusation in (true, replace(wrong, entries=true.entries), replace(true, head=wrong.head)):
        with pytest.raises(Untrusted, match="no-wrong-state"):
            verify_state_evidence(accusation, before)
    with pytest.raises(Untrusted, match="no-wrong-state"):
        verify_state_evidence(wrong, before[:-1])
    sign_alone(tmp_path / "fork", "stranger")
    with pytest.raises(Untrusted, match="unknown-key"):
        verify_state_evidence(replace(wrong, head=note_of(tmp_path / "fork")), before)


def test_a_wrong_state_too_large_for_a_file_is_kept_as_its_head_alone(
    board: BoardOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_follow, "MOST_ENTRIES", 1)
    write_wrong_state(board, tmp_path / "fork")
    refused(tmp_path / "copy", tmp_path / "fork", Misbehaviour, "wrong-state")
    (kept,) = (tmp_path / "copy" / "evidence").iterdir()
    assert kept.read_bytes() == note_of(tmp_path / "fork")


def test_control_tiles_and_cosignatures_of_the_wrong_state_are_in_order(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """What a follower sees that applies no rule: nothing."""
    write_wrong_state(board, tmp_path / "fork")
    note = note_of(tmp_path / "fork")
    checkpoint = verify_published(note, read_board(board.state.map))
    source = open_mirror(str(tmp_path / "fork"))
    tail = verify_tail(MirrorHead(source, note, checkpoint), CompactRange.empty())
    assert sum(map(len, tail.bundles())) == checkpoint.size
