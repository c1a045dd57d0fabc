# SPDX-License-Identifier: Apache-2.0
"""What an engine is told of its CometBFT, by the answers that it gave last."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from fieldpost.engines.cometbft.ordering import SILENT_S, CometOrdering
from fieldpost.engines.cometbft.rpc import CometStatus
from fieldpost.errors import Malformed, Unavailable


class Comet:
    """A CometBFT that is there, and what it answers; `now` is the time of this program."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.status: CometStatus | None = None
        self.taken: list[object] = []
        self.ordering = CometOrdering(
            Path("/bin/false"), home, "127.0.0.1:1", uptime=lambda: self.now
        )
        self.process = SimpleNamespace(check_running=lambda: None, pid=7)
        patch.setattr(self.ordering, "_process", self.process)
        patch.setattr(self.ordering, "_answered", self.now)
        patch.setattr(self.ordering._questions, "status", self._answer)
        patch.setattr(self.ordering._rpc, "broadcast", lambda _: self.taken)

    def _answer(self) -> CometStatus:
        if self.status is None:
            raise Unavailable("no answer")
        return self.status

    def look(self, after_s: float) -> str | None:
        self.now += after_s
        self.ordering.look_after()
        return self.ordering.trouble


@pytest.fixture
def comet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comet:
    return Comet(tmp_path, monkeypatch)


def status(*, catching_up: bool = False) -> CometStatus:
    return CometStatus(height=41, time=0, catching_up=catching_up, peers=3)


def test_while_it_fetches_missed_blocks_others_take_the_posts(comet: Comet) -> None:
    assert comet.look(2) == "CometBFT is being started"
    comet.status = status(catching_up=True)
    assert "at block 41" in (comet.look(2) or "")
    assert "other operators meanwhile" in (comet.ordering.trouble or "")
    comet.status = status()
    assert comet.look(2) is None


def test_one_that_hangs_is_noticed_and_forgiven_when_it_answers(comet: Comet) -> None:
    comet.status = status()
    assert comet.look(2) is None
    comet.status = None
    assert comet.look(SILENT_S) is None
    assert "has not answered for" in (comet.look(2) or "")
    comet.status = status()
    assert comet.look(2) is None


def test_a_post_that_it_took_is_an_answer(comet: Comet) -> None:
    comet.status = status()
    assert comet.look(2) is None
    comet.status, comet.taken = None, [None, Unavailable("full")]
    comet.now += SILENT_S
    comet.ordering.broadcast([b"a", b"b"])
    assert comet.look(2) is None
    comet.taken = [Unavailable("no answer")]
    comet.now += SILENT_S
    comet.ordering.broadcast([b"a"])
    assert comet.look(2) is not None
    comet.taken = [Malformed("too large")]
    comet.ordering.broadcast([b"a"])
    assert comet.ordering.trouble is None


def test_what_another_process_said_says_nothing_of_this_one(comet: Comet) -> None:
    comet.status = status()
    assert comet.look(2) is None
    comet.status, comet.process.pid = None, 8
    assert comet.look(2) == "CometBFT is being started"
    comet.status = status()
    assert comet.look(2) is None
