# SPDX-License-Identifier: Apache-2.0
"""A wipe takes what peers have, and never what keeps a key from signing twice."""

from pathlib import Path

import pytest

from fieldpost.engines.cometbft.home import comet_home, make_keys
from fieldpost.engines.cometbft.wiping import wipe_replica
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.errors import Misconfigured

STAYS = (
    "keys/log.pem",
    "keys/largest-signed",
    "blobs/aa/aabb",
    "fleet.db",
    "evidence/split-view.cbor",
    "cometbft/config/genesis.json",
    "cometbft/config/node_key.json",
    "cometbft/config/priv_validator_key.json",
    "cometbft/data/priv_validator_state.json",
)
GOES = (
    "state.db",
    "state.db-wal",
    "catalog.db",
    "log/checkpoint",
    "log/tile/0/000",
    "log/tile/entries/000.p/2",
    "cometbft/data/blockstore.db/000001.log",
    "cometbft/data/cs.wal/wal",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_keys(comet_home(tmp_path))
    for name in (*STAYS, *GOES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(name)
    return tmp_path


def test_keys_and_what_they_signed_last_outlive_a_wipe(data: Path) -> None:
    kept = {name: (data / name).read_bytes() for name in STAYS}
    wipe_replica(data)
    left = {str(p.relative_to(data)) for p in data.rglob("*") if p.is_file()}
    assert left == set(STAYS)
    assert {name: (data / name).read_bytes() for name in STAYS} == kept


def test_a_wiped_folder_is_wiped_again_without_complaint(data: Path) -> None:
    assert wipe_replica(data)
    assert wipe_replica(data) == []


def test_a_folder_in_use_is_left_alone(data: Path) -> None:
    lock = DirectoryLock(data)
    with pytest.raises(Misconfigured, match="in use"):
        wipe_replica(data)
    lock.release()
    assert (data / "log/checkpoint").exists()
