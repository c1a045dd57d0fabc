# SPDX-License-Identifier: Apache-2.0
"""What a monitor says when keys are stolen, operators lie and sources cheat."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fieldpost.checkin.evidence import decode_evidence, verify_evidence
from fieldpost.checkin.went_back import decode_went_back, verify_went_back
from fieldpost.durable import write_file
from fieldpost.engines.recovery import open_board
from fieldpost.errors import Unavailable
from fieldpost.keys import Algorithm
from fieldpost.records.maker import Role
from fieldpost.testing import maker_posts
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.note import Note, format_note, parse_note
from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.looking import MOST_EVIDENCE, Look, Patience
from fieldpost.watch.monitor.running import Monitor, MonitorSettings, open_monitor
from fieldpost.watch.monitor.watchlist import Watchlist
from tests.attacks.test_lying_source_attacks import (
    Endless,
    serving,
    serving_folder,
    sign_alone,
    write_another_end,
    write_wrong_state,
)
from tests.unit.engines.mirrored_boards import copy, enrol, written
from tests.unit.watch.copied_boards import note_of


class Watching:
    """One monitor's folder, opened for each look as a new process would."""

    def __init__(self, folder: Path, board: BoardOnDisk) -> None:
        self.folder = folder
        self.board = board
        self.ask_s = 60.0
        self.now = board.time + 60
        self._seen = 0

    @contextmanager
    def opened(self, *sources: Path | str) -> Iterator[Monitor]:
        with ExitStack() as stack:
            urls = tuple(
                source
                if isinstance(source, str)
                else stack.enter_context(serving(serving_folder(source)))
                for source in sources
            )
            settings = MonitorSettings(
                data=self.folder,
                urls=urls,
                patience=Patience(stale_s=900, blind_s=900, ask_s=self.ask_s),
            )
            watchlist = Watchlist([self.board.maker.id], [])
            yield stack.enter_context(open_monitor(settings, watchlist, [], clock=lambda: self.now))

    def look(self, *sources: Path | str) -> tuple[Look, list[Alarm]]:
        """One look, and the alarms that are new since the look before."""
        with self.opened(*sources) as monitor:
            look = monitor.look()
            return look, self.news(monitor)

    def news(self, monitor: Monitor) -> list[Alarm]:
        found = monitor.memory.alarms(after=self._seen)
        self._seen = max([self._seen, *(number for number, _ in found)])
        return [alarm for _, alarm in found]


def kinds(alarms: Sequence[Alarm]) -> list[str]:
    return [f"{alarm.kind}{' is over' if alarm.over else ''}" for alarm in alarms]


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A board, and `fork`, where its operator goes another way from the same size on."""
    made = written(tmp_path / "data", lots=2)
    copy(made.data, tmp_path / "fork")
    return made


@pytest.fixture
def watching(tmp_path: Path, board: BoardOnDisk) -> Watching:
    """A monitor that has looked once, and found nothing."""
    found = Watching(tmp_path / "monitor", board)
    look, alarms = found.look(board.data)
    assert (look.seen, alarms) == (True, [])
    return found


def post(board: BoardOnDisk, *posts: bytes) -> None:
    writer = board.open()
    board.write(writer, *posts)
    writer.close()


# --- stolen keys ---


def test_a_stolen_enrol_key_alarms_at_the_next_look_and_once(
    board: BoardOnDisk, watching: Watching
) -> None:
    enrol(board, 1)
    _, alarms = watching.look(board.data)
    assert kinds(alarms) == ["new-lot"]
    assert watching.look(board.data)[1] == []


def test_a_thief_that_adds_a_key_of_its_own_alarms(board: BoardOnDisk, watching: Watching) -> None:
    thief = DeterministicSigner(Algorithm.ED25519, "thief")
    post(board, maker_posts.maker_set(board.maker, keys={Role.RELEASE: (1, [thief])}))
    _, alarms = watching.look(board.data)
    assert kinds(alarms) == ["new-key", "new-record"]
    assert alarms[0].facts["kid"] == thief.public_key.thumbprint().hex()


def test_control_another_makers_monitor_is_not_alarmed(board: BoardOnDisk, tmp_path: Path) -> None:
    with Watching(tmp_path / "other", board).opened(board.data) as monitor:
        monitor.look()
        monitor.looking.makers.expected = {}
        enrol(board, 1)
        monitor.look()
        assert monitor.memory.alarms() == []


def test_an_alarm_that_could_not_be_written_comes_at_the_next_look(
    board: BoardOnDisk, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power cut, full disk: what was not written did not happen, and is judged again."""
    enrol(board, 1)
    with watching.opened(board.data) as monitor:
        with monkeypatch.context() as broken:

            def fail(*_: object) -> None:
                raise Unavailable("the disk is full")

            broken.setattr(monitor.memory, "set_meta", fail)
            with pytest.raises(Unavailable):
                monitor.look()
        assert monitor.memory.alarms() == []
    assert kinds(watching.look(board.data)[1]) == ["new-lot"]


# --- two histories ---


@pytest.mark.parametrize(("here", "there"), [(1, 1), (1, 2), (3, 1)])
def test_two_sources_that_show_two_histories_become_evidence(
    board: BoardOnDisk, watching: Watching, tmp_path: Path, here: int, there: int
) -> None:
    """At one size, and where the other history is longer or shorter."""
    enrol(board, here)
    watching.look(board.data)
    write_another_end(board, tmp_path / "fork", posts=there)
    look, alarms = watching.look(board.data, tmp_path / "fork")
    assert look.misbehaviour
    (alarm,) = alarms
    assert alarm.kind == "split-view"
    file = Path(str(alarm.facts["evidence"]))
    proven = verify_evidence(decode_evidence(file.read_bytes()))
    assert {signer.role for signer in proven.authors} == {"operator"}
    assert proven.board == board.state.board


def test_liars_do_not_fill_the_monitors_disk_and_one_more_alarms_all_the_same(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    folder = watching.folder / "evidence"
    folder.mkdir(exist_ok=True)
    for number in range(MOST_EVIDENCE):
        write_file(folder / f"split-view-{number:016x}.evidence", b"of another liar")
    enrol(board, 1)
    watching.look(board.data)
    write_another_end(board, tmp_path / "fork")
    look, alarms = watching.look(board.data, tmp_path / "fork")
    assert look.misbehaviour
    assert kinds(alarms) == ["split-view"]
    assert len(list(folder.glob("split-view-*"))) == MOST_EVIDENCE


def test_control_a_monitor_with_one_source_sees_no_second_history(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    enrol(board, 1)
    write_another_end(board, tmp_path / "fork")
    look, alarms = watching.look(board.data)
    assert not look.misbehaviour
    assert "split-view" not in kinds(alarms)


def test_one_operators_head_of_another_history_is_evidence_without_a_quorum(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    enrol(board, 1)
    watching.look(board.data)
    write_another_end(board, tmp_path / "fork")
    sign_alone(tmp_path / "fork", None)
    _, alarms = watching.look(board.data, tmp_path / "fork")
    assert kinds(alarms) == ["split-view"]


def test_a_strangers_head_alarms_nobody(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    """Whoever has no key of the board can show anything, and wakes nobody with it."""
    enrol(board, 1)
    watching.look(board.data)
    write_another_end(board, tmp_path / "fork")
    sign_alone(tmp_path / "fork", "stranger")
    look, alarms = watching.look(board.data, tmp_path / "fork")
    assert (alarms, look.seen, look.misbehaviour) == ([], True, False)


def test_a_fork_that_goes_on_alarms_once_and_again_after_it_was_over(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    enrol(board, 1)
    watching.look(board.data)
    write_another_end(board, tmp_path / "fork")
    with (
        serving(serving_folder(board.data)) as one,
        serving(serving_folder(tmp_path / "fork")) as two,
    ):
        assert kinds(watching.look(one, two)[1]) == ["split-view"]
        write_another_end(board, tmp_path / "fork", posts=2)
        assert watching.look(one, two)[1] == []


# --- operators that lie, and sources that cheat ---


def test_a_wrong_state_that_the_operators_published_alarms(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    write_wrong_state(board, tmp_path / "fork")
    look, alarms = watching.look(tmp_path / "fork")
    assert look.misbehaviour
    assert kinds(alarms) == ["wrong-state"]


def test_a_board_that_stands_still_is_stale_and_a_fresh_head_ends_it(
    board: BoardOnDisk, watching: Watching
) -> None:
    watching.now += 1_000
    assert kinds(watching.look(board.data)[1]) == ["stale-board"]
    assert watching.look(board.data)[1] == []
    board.time = watching.now
    enrol(board, 1)
    assert "stale-board is over" in kinds(watching.look(board.data)[1])


def test_a_source_that_serves_old_heads_alone_is_told_apart(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    watching.now = board.time + 1_000
    board.time = watching.now - 60
    enrol(board, 1)
    _, alarms = watching.look(board.data, tmp_path / "fork")
    assert kinds(alarms) == ["new-lot", "stale-source"]


def cosign_anew(data: Path, now: int) -> None:
    """The operator cosigns the head of a folder once more."""
    writer = open_board(data)
    writer.publish(now)
    writer.close()


def test_an_older_head_that_the_operators_cosign_after_a_newer_one_is_proven(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    """Devices that ask there take it for fresh, and hear of nothing that was posted since."""
    enrol(board, 1)
    cosign_anew(tmp_path / "fork", board.time + 1)
    watching.now = board.time + 60
    with watching.opened(board.data, tmp_path / "fork") as monitor:
        assert monitor.look().misbehaviour
        alarms = watching.news(monitor)
        assert monitor.look().misbehaviour
        assert watching.news(monitor) == [], "once"
    assert kinds(alarms) == ["new-lot", "went-back"]
    evidence = Path(str(alarms[1].facts["evidence"])).read_bytes()
    proven = verify_went_back(decode_went_back(evidence))
    assert [one.role for one in proven.authors] == ["operator"]
    assert proven.older.size < proven.newer.size


def test_control_an_older_head_that_was_cosigned_before_the_newer_one_is_none(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    enrol(board, 1)
    cosign_anew(tmp_path / "fork", board.time)
    watching.now = board.time + 60
    look, alarms = watching.look(board.data, tmp_path / "fork")
    assert not look.misbehaviour
    assert kinds(alarms) == ["new-lot"]


def test_an_invented_line_beside_the_liars_own_does_not_hide_its_fork(
    board: BoardOnDisk, watching: Watching, tmp_path: Path
) -> None:
    """Everybody refuses such a head; it is proof against whoever made the line that holds."""
    write_another_end(board, tmp_path / "fork")
    enrol(board, 1)
    note = parse_note(note_of(tmp_path / "fork"))
    *true, last = note.signatures
    invented = replace(last, payload=last.payload[:-1] + bytes([last.payload[-1] ^ 1]))
    spoilt = format_note(Note(note.text, (*true, invented)))
    write_file(tmp_path / "fork" / "log" / "checkpoint", spoilt)
    look, alarms = watching.look(board.data, tmp_path / "fork")
    assert look.misbehaviour
    assert kinds(alarms) == ["new-lot", "split-view"]
    evidence = Path(str(alarms[1].facts["evidence"])).read_bytes()
    assert verify_evidence(decode_evidence(evidence)).authors


def test_a_monitor_that_cannot_see_says_so_and_when_it_sees_again(
    board: BoardOnDisk, watching: Watching
) -> None:
    nobody = "http://127.0.0.1:1"
    assert watching.look(nobody)[1] == [], "not at the first look that fails"
    watching.now += 1_000
    with watching.opened(nobody) as monitor:
        look = monitor.look()
        assert not look.seen
        assert kinds(watching.news(monitor)) == ["blind"]
        with pytest.raises(Unavailable, match="blind"):
            monitor.check_ready()
    board.time = watching.now
    enrol(board, 1)
    with watching.opened(board.data) as monitor:
        monitor.look()
        assert sorted(kinds(watching.news(monitor))) == ["blind is over", "new-lot"]
        assert monitor.check_ready() is None


def test_a_source_that_is_gone_while_it_was_ahead_is_not_asked_without_a_pause(
    board: BoardOnDisk, watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(board, 1)
    with serving(serving_folder(board.data)) as url, watching.opened(url) as monitor:
        monkeypatch.setattr(monitor.looking._follower, "step", lambda *_: False)
        monitor.look()
        assert monitor.looking.behind()
        monitor.looking._eyes.all[0].asked.http.close()
        monitor.looking._eyes.all[0].answered = False
        assert not monitor.looking.behind()


@pytest.mark.parametrize(
    ("piece", "has_note"),
    [(b"x" * 65_536, True), (b"x" * 65_536, False), (b"x", False)],
    ids=["endless files", "endless", "dripping"],
)
def test_a_source_that_never_ends_keeps_nobody_from_looking_at_the_others(
    board: BoardOnDisk,
    watching: Watching,
    piece: bytes,
    has_note: bool,
) -> None:
    enrol(board, 1)
    # The liar is waited for as long as this.
    watching.ask_s = 3.0
    note = note_of(board.data) if has_note else None
    liar = type("Liar", (Endless,), {"note": note, "piece": piece})
    with serving(liar) as bad:
        look, alarms = watching.look(bad, board.data)
    assert look.seen
    assert kinds(alarms) == ["new-lot"]
