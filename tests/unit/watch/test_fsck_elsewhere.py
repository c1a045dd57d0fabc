# SPDX-License-Identifier: Apache-2.0
"""`board fsck` of folders whose keys are not all here, or no longer this board's: no damage."""

from pathlib import Path

import pytest

from fieldpost.engines.board_files import keys_directory
from fieldpost.engines.cometbft.moving import moved_genesis
from fieldpost.engines.operator_keys import load_signer
from fieldpost.engines.writer import GivenAway
from fieldpost.node.mirrors import open_mirror
from fieldpost.testing.boards import BoardOnDisk
from fieldpost.testing.paper_cluster import make_member, make_operators
from fieldpost.watch.fsck import check_folder
from fieldpost.watch.fsck_report import Report
from tests.unit.watch.test_fsck import reader, silent


def check(data: Path) -> Report:
    return check_folder(data, reader(data / "log"), progress=silent)


def test_the_keys_of_a_board_that_was_given_away_are_no_damage_there_or_destroyed(
    tmp_path: Path,
) -> None:
    board = BoardOnDisk(tmp_path / "old")
    writer = board.open()
    writer.publish(board.time)
    members = tuple(make_member(tmp_path / "new" / f"op{n}", f"op{n}") for n in range(4))
    keys = keys_directory(board.data)
    signers = [load_signer(keys / "governance.pem"), *[s for m in members for s in m.signers]]
    post = make_operators(board.state, members, signers)
    board.apply([post])
    writer.commit([post], time=board.time)
    with pytest.raises(GivenAway):
        writer.publish(board.time)
    writer.close()

    moved_genesis(tmp_path / "new" / "op0", open_mirror(str(board.data)))
    for _ in range(2):
        report = check(board.data)
        assert report.damaged == ()
        assert "given to others" in {one.what: one.why for one in report.unchecked}["keys"]
        for path in keys.glob("*.pem"):
            path.unlink()

    new = check(tmp_path / "new" / "op0")
    assert new.damaged == ()
    assert "keys" not in {one.what for one in new.unchecked}


@pytest.mark.parametrize("uri", ["pkcs11:token=board;object=log", "pkcs11:object=log;id=%01"])
def test_keys_in_a_token_that_this_host_cannot_ask_are_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.delenv("FIELDPOST_PKCS11_MODULE", raising=False)
    board = BoardOnDisk(tmp_path / "data")
    writer = board.open()
    writer.publish(board.time)
    writer.close()
    path = keys_directory(board.data) / "log.pem"
    path.write_text(f"{uri}\n")
    report = check(board.data)
    assert report.damaged == ()
    why = {one.what: one.why for one in report.unchecked}[str(path)]
    assert "its token cannot be asked here" in why

    path.write_text("pkcs11:nonsense\n")
    (found,) = check(board.data).damaged
    assert found.file == str(path)
