# SPDX-License-Identifier: Apache-2.0
"""An operator's keys that are made elsewhere before the first start."""

from pathlib import Path

import pytest

from fieldpost.engines.board_files import create_board, keys_directory, name_keys_in_token
from fieldpost.errors import Conflict, Misconfigured
from fieldpost.keys import Algorithm
from fieldpost.signers.keyfile import save_key_file
from fieldpost.signers.software import SoftwareSigner


def test_keys_are_named_before_the_first_start_and_never_instead_of_others(tmp_path: Path) -> None:
    made = name_keys_in_token(tmp_path / "new", lambda name: f"pkcs11:object={name}")
    assert [path.read_text() for path in made] == [
        f"pkcs11:object={name}\n" for name in ("governance", "log", "cosigner")
    ]
    with pytest.raises(Conflict, match="holds keys already"):
        name_keys_in_token(tmp_path / "new", lambda name: "pkcs11:object=x")
    create_board(tmp_path / "board", now=1_800_000_000)
    with pytest.raises(Conflict, match="holds keys already"):
        name_keys_in_token(tmp_path / "board", lambda name: "pkcs11:object=x")


@pytest.mark.parametrize("name", ["log", "cosigner"])
def test_a_key_that_checkpoints_do_not_know_is_refused_at_the_start(
    tmp_path: Path, name: str
) -> None:
    keys = keys_directory(tmp_path)
    keys.mkdir()
    save_key_file(keys / f"{name}.pem", SoftwareSigner.generate(Algorithm.ESP256), None)
    with pytest.raises(Misconfigured, match=rf"{name}\.pem must be an Ed25519 key"):
        create_board(tmp_path, now=1_800_000_000)
