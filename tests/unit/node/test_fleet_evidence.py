# SPDX-License-Identifier: Apache-2.0
"""Evidence that devices hand over: verified against the board's links, kept once, handed out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.checkin.evidence import make_evidence
from fieldpost.client.fleet_evidence import fetch_all_evidence
from fieldpost.errors import FieldpostError, Malformed, Unavailable, Untrusted
from fieldpost.fleet import evidence as fleet_evidence
from fieldpost.fleet.service import FleetService
from fieldpost.ledger.reading import read_board
from fieldpost.ledger.replay import replay
from fieldpost.node.api.reports import EVIDENCE
from fieldpost.testing.liar_members import Members
from fieldpost.tlog.checkpoint import Checkpoint, parse_checkpoint
from fieldpost.tlog.note import parse_note
from tests.unit.fleet.test_fleet_service import BOARD, Posted
from tests.unit.node.running_node import Running, running, with_class
from tests.unit.node.test_fleet_alone import fleet_of, provisioning


class Forger:
    """The node's own operator, who signs further heads of the newest size."""

    def __init__(self, node: Running, data: Path) -> None:
        self.node = node
        self.record = read_board(replay(None, node.entries()).map)
        self.members = Members.load([data], self.record)
        self.true = node.http.fetch("/log/checkpoint")
        self.head = parse_checkpoint(parse_note(self.true).text)

    def evidence(self, number: int, *, at: int = 1_800_000_000) -> bytes:
        """Evidence of the true head and another one."""
        other = replace(self.head, root=bytes([number]) * 32)
        return self.about(self.node.board, other, at=at)

    def about(self, board: str, other: Checkpoint, *, at: int = 1_800_000_000) -> bytes:
        note = self.members.note(other, self.members.cosign(other, at=at))
        return make_evidence(board, (self.true, note), links=()).encode()


@pytest.fixture
def forger(tmp_path: Path) -> Iterator[Forger]:
    with running(tmp_path / "node") as node:
        with_class(node)
        yield Forger(node, tmp_path / "node")


def send(forger: Forger, data: bytes) -> None:
    sent = forger.node.http.send("POST", "/v1/fleet/evidence", data, content_type=EVIDENCE)
    assert sent.status == 204


def test_evidence_is_kept_once_and_handed_out(forger: Forger) -> None:
    first, again = forger.evidence(1), forger.evidence(1, at=1_800_000_060)
    assert first != again, "the same heads, cosigned again"
    for data in (first, again, forger.evidence(2)):
        send(forger, data)
    assert list(fetch_all_evidence(forger.node.http)) == [first, forger.evidence(2)]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda forger: forger.evidence(1)[:-1], Malformed),
        (lambda forger: b"x" * (fleet_evidence.MOST_SENT_BYTES + 1), Malformed),
        (lambda forger: b"", Malformed),
        (
            lambda forger: forger.about(
                forger.node.board[:-32] + "ab" * 16,
                replace(forger.head, root=bytes(32)),
            ),
            Untrusted,
        ),
    ],
    ids=["torn", "too large", "empty", "of another board"],
)
def test_what_proves_nothing_about_this_board_is_not_kept(
    forger: Forger, spoil: object, error: type[FieldpostError]
) -> None:
    assert callable(spoil)
    with pytest.raises(FieldpostError) as found:
        send(forger, spoil(forger))
    assert isinstance(found.value, error), found.value
    assert list(fetch_all_evidence(forger.node.http)) == []


def test_two_heads_of_which_a_stranger_signed_one_are_no_evidence(
    forger: Forger, tmp_path: Path
) -> None:
    with running(tmp_path / "other", origin=forger.head.origin) as elsewhere:
        stranger = Forger(elsewhere, tmp_path / "other")
        other = replace(forger.head, root=bytes(32))
        note = stranger.members.note(other, stranger.members.cosign(other, at=1))
    data = make_evidence(forger.node.board, (forger.true, note), links=()).encode()
    with pytest.raises(Untrusted):
        send(forger, data)
    assert list(fetch_all_evidence(forger.node.http)) == []


def test_whoever_has_the_boards_keys_fills_no_disk(
    forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_evidence, "MOST_EVIDENCE_KEPT", 3)
    for number in range(5):
        send(forger, forger.evidence(number))
    assert len(list(fetch_all_evidence(forger.node.http))) == 3


def test_whoever_sends_evidence_while_other_is_judged_is_asked_to_come_again(
    tmp_path: Path,
) -> None:
    """Otherwise a crowd of senders would hold up everybody who asks the node for anything."""
    service = FleetService(
        tmp_path / "fleet.db", board=BOARD, lots=Posted(), clock=lambda: 1_800_000_000
    )
    try:
        with service._judging, pytest.raises(Unavailable, match="again"):
            service.take_evidence(b"")
        with pytest.raises(Malformed):
            service.take_evidence(b"")
    finally:
        service.close()


def test_a_list_longer_than_one_answer_is_read_to_its_end(
    forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_evidence, "EVIDENCE_AT_ONCE", 2)
    for number in range(5):
        send(forger, forger.evidence(number))
    assert len(list(fetch_all_evidence(forger.node.http))) == 5


def test_a_fleet_service_apart_from_any_node_asks_its_board_for_the_links(
    forger: Forger, tmp_path: Path
) -> None:
    trust = provisioning(forger.node, forger.node.world())
    with fleet_of(forger.node.url, trust, tmp_path / "fleet") as fleet:
        fleet.send("POST", "/v1/fleet/evidence", forger.evidence(1), content_type=EVIDENCE)
        assert list(fetch_all_evidence(fleet)) == [forger.evidence(1)]
