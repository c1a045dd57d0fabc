# SPDX-License-Identifier: Apache-2.0
"""A history that is shown to one device alone: its report says so, and who cosigned it."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from fieldpost import cbor
from fieldpost.checkin.evidence import decode_evidence, verify_evidence
from fieldpost.errors import Malformed
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.tlog.cosignature import Cosignature, parse_cosignature
from fieldpost.tlog.note import parse_note
from fieldpost.tlog.treehead import parse_checkpoint
from fieldpost.watch.monitor.alarm import Alarm
from fieldpost.watch.monitor.gossip import FleetHeads
from tests.attacks.test_lying_source_attacks import serving, serving_folder, write_another_end
from tests.attacks.test_monitor_attacks import Watching, kinds
from tests.unit.engines.mirrored_boards import copy, enrol, written
from tests.unit.watch.copied_boards import note_of

Row = dict[str, Any]


def row_of(data: Path, *, number: int = 1, cosigned: bool = True) -> Row:
    """What a fleet service says that a device verified, which was shown the board in `data`."""
    note = parse_note(note_of(data))
    head = parse_checkpoint(note.text)
    found: list[Cosignature] = []
    for line in note.signatures if cosigned else ():
        try:
            found.append(parse_cosignature(line))
        except Malformed:
            continue  # the log's own
    rows = [[one.key_id, one.timestamp, one.signature] for one in found]
    return {
        "number": number,
        "size": head.size,
        "root": head.root.hex(),
        "device": "ab" * 32,
        "cosignatures": cbor.encode(rows).hex(),
    }


def fleet_of(*rows: Row) -> type[BaseHTTPRequestHandler]:
    class Fleet(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            after = int(self.path.partition("after=")[2])
            kept = rows if "/heads" in self.path else ()
            body = json.dumps([row for row in kept if row["number"] > after]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    return Fleet


@pytest.fixture
def board(tmp_path: Path) -> BoardOnDisk:
    """A board with one lot more than `fork`, whose operator wrote something else there."""
    made = written(tmp_path / "data", lots=2)
    copy(made.data, tmp_path / "fork")
    enrol(made, 1)
    write_another_end(made, tmp_path / "fork")
    return made


def hear(board: BoardOnDisk, tmp_path: Path, *rows: Row) -> list[Alarm]:
    """The alarms of a monitor that sees `board` alone, and what devices reported."""
    watching = Watching(tmp_path / "monitor", board)
    with (
        serving(fleet_of(*rows)) as fleet,
        serving(serving_folder(board.data)) as url,
        watching.opened(url) as monitor,
    ):
        monitor.looking.fleets = [FleetHeads(fleet)]
        monitor.look()
        found = watching.news(monitor)
        monitor.look()
        assert watching.news(monitor) == [], "each head is told once"
        monitor.looking.fleets[0].close()
    return found


def test_a_head_that_one_device_was_shown_is_evidence_against_who_cosigned_it(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    (alarm,) = hear(board, tmp_path, row_of(tmp_path / "fork"))
    assert alarm.kind == "split-view"
    proven = verify_evidence(decode_evidence(Path(str(alarm.facts["evidence"])).read_bytes()))
    assert {signer.role for signer in proven.authors} == {"operator"}


def test_a_head_without_cosignatures_is_a_suspicion_alone(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """Whoever has a device's key can say anything; it names nobody."""
    alarms = hear(board, tmp_path, row_of(tmp_path / "fork", cosigned=False))
    assert kinds(alarms) == ["head-of-device"]
    assert "evidence" not in alarms[0].facts


def test_control_heads_that_fit_alarm_nobody(board: BoardOnDisk, tmp_path: Path) -> None:
    assert hear(board, tmp_path, row_of(board.data)) == []


def test_a_head_of_the_future_waits_until_the_log_is_there(
    board: BoardOnDisk, tmp_path: Path
) -> None:
    """A device with a stolen key names huge sizes; what is behind them is judged all the same."""
    future = row_of(tmp_path / "fork") | {"size": 2**40, "number": 1}
    alarms = hear(board, tmp_path, future, row_of(tmp_path / "fork", number=2))
    assert kinds(alarms) == ["split-view"]
