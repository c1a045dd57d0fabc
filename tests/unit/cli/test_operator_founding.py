# SPDX-License-Identifier: Apache-2.0
"""Operators found a board: keys, public files, signatures, and the same genesis everywhere."""

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fieldpost.cli.operator_file import decode_operator_file
from fieldpost.engines.cometbft.genesis import decode_genesis
from fieldpost.engines.cometbft.home import comet_home, read_validator_key
from fieldpost.engines.exclusive import DirectoryLock
from fieldpost.errors import Malformed, Misconfigured, Untrusted
from fieldpost.ledger.genesis import apply_genesis
from fieldpost.ledger.reading import read_board
from tests.unit.cli.founders import TIME, Founders

FOUR = ("berlin", "oslo", "paris", "rome")


@pytest.fixture
def founders(tmp_path: Path) -> Founders:
    return Founders(tmp_path)


def test_operators_found_the_same_board_whatever_the_order_of_files(founders: Founders) -> None:
    for name in FOUR:
        founders.init(name)
    for name in FOUR:
        founders.genesis(name, *reversed(FOUR))
    told = [founders.genesis(name, *FOUR, signed=FOUR) for name in FOUR]
    assert len({each["sha256"] for each in told}) == 1
    assert len({founders.genesis_file(name).read_bytes() for name in FOUR}) == 1

    genesis = decode_genesis(founders.genesis_file("oslo").read_bytes())
    assert genesis.genesis_post is not None
    batch = apply_genesis(genesis.genesis_post, time=genesis.time)
    record = read_board(batch.state.map)
    assert [operator.name for operator in record.operators] == list(FOUR)
    assert record.quorum == 3
    keys = [read_validator_key(comet_home(founders.data(name))) for name in FOUR]
    assert [validator.key for validator in genesis.validators] == keys
    assert (genesis.size, genesis.board) == (2, told[0]["board"])


def test_the_same_commands_again_write_the_same_files(founders: Founders) -> None:
    told = founders.found("berlin", "oslo")
    before = {p: p.read_bytes() for p in founders.root.rglob("*") if p.is_file()}
    assert founders.found("berlin", "oslo") == told
    assert {p: p.read_bytes() for p in founders.root.rglob("*") if p.is_file()} == before


def test_a_board_is_founded_only_when_every_operator_signed(founders: Founders) -> None:
    for name in FOUR:
        founders.init(name)
    founders.genesis("oslo", *FOUR)
    founders.genesis("paris", *FOUR)
    told = founders.genesis("berlin", *FOUR, signed=("oslo", "paris"))
    assert told["still_needed"] == ["rome"]
    assert not founders.genesis_file("berlin").exists()
    founders.genesis("rome", *FOUR)
    # Signatures that were brought before are kept.
    assert "sha256" in founders.genesis("berlin", *FOUR, signed=("rome",))


def test_a_signature_over_another_record_counts_for_nothing(founders: Founders) -> None:
    for name in FOUR[:2]:
        founders.init(name)
    founders.genesis("oslo", "berlin", "oslo", more=("--epoch-s", "30"))
    with pytest.raises(Misconfigured, match="the same options"):
        founders.genesis("berlin", "berlin", "oslo", signed=("oslo",))
    assert not founders.genesis_file("berlin").exists()


def test_a_forged_signature_is_refused(founders: Founders) -> None:
    for name in FOUR[:2]:
        founders.init(name)
    founders.genesis("oslo", "berlin", "oslo")
    data = bytearray(founders.signatures("oslo").read_bytes())
    data[-3] ^= 1  # within the signature, which an absent manifest follows
    founders.signatures("oslo").write_bytes(data)
    with pytest.raises(Untrusted):
        founders.genesis("berlin", "berlin", "oslo", signed=("oslo",))


def test_an_operator_signs_no_board_in_which_its_own_keys_are_not(founders: Founders) -> None:
    for name in FOUR[:3]:
        founders.init(name)
    with pytest.raises(Misconfigured, match="no operator"):
        founders.genesis("paris", "berlin", "oslo")
    assert not founders.signatures("paris").exists()


@pytest.mark.parametrize(
    ("file", "trouble"),
    [
        ("cometbft/config/priv_validator_key.json", "another validator key"),
        ("cometbft/config/node_key.json", "another CometBFT"),
        ("keys/governance.pem", "not the governance key"),
        ("keys/log.pem", "no operator"),
    ],
)
def test_a_key_that_is_not_the_public_files_is_noticed_before_anything_is_signed(
    founders: Founders, file: str, trouble: str
) -> None:
    for name in FOUR[:2]:
        founders.init(name)
    founders.init("rome")
    other = founders.data("rome") / file
    other.replace(founders.data("oslo") / file)
    with pytest.raises(Misconfigured, match=trouble):
        founders.genesis("oslo", "berlin", "oslo")
    assert not founders.signatures("oslo").exists()


def test_another_time_is_another_agreement_and_replaces_nothing(founders: Founders) -> None:
    founders.found("berlin")
    before = founders.genesis_file("berlin").read_bytes()
    with pytest.raises(Misconfigured, match="another agreement"):
        founders.genesis("berlin", "berlin", time="2026-11-29T12:00:01Z")
    assert founders.genesis_file("berlin").read_bytes() == before


def test_a_governance_key_elsewhere_signs_there(founders: Founders) -> None:
    for name in FOUR[:2]:
        founders.init(name)
    key = founders.data("oslo") / "keys" / "governance.pem"
    safe = founders.root / "safe.pem"
    key.rename(safe)
    unsigned = founders.root / "unsigned"
    told = founders.genesis("oslo", "berlin", "oslo", more=("--export-unsigned", str(unsigned)))
    assert told["still_needed"] == ["berlin", "oslo"]
    signatures = str(founders.signatures("oslo"))
    founders.call("maker", "sign", str(unsigned), "--key", str(safe), "--out", signatures, "--yes")
    founders.genesis("berlin", "berlin", "oslo")
    assert "sha256" in founders.genesis("oslo", "berlin", "oslo", signed=("berlin", "oslo"))


def test_settings_to_begin_with_name_the_other_operators(founders: Founders) -> None:
    settings = founders.root / "oslo.toml"
    for name in FOUR:
        founders.init(name)
    for name in FOUR:
        founders.genesis(name, *FOUR)
    more = ("--settings", str(settings))
    told = founders.genesis("oslo", *FOUR, signed=FOUR, more=more)
    found = tomllib.loads(settings.read_text())
    assert found["engine"] == "cometbft"
    assert found["cometbft"]["peers"] == told["peers"]
    assert len(told["peers"]) == 3
    settings.write_text("# mine\n")
    founders.genesis("oslo", *FOUR, more=more)
    assert settings.read_text() == "# mine\n"


def test_a_public_file_shows_no_secret_and_keys_are_the_operators_alone(
    founders: Founders,
) -> None:
    founders.init("berlin")
    secrets = [
        json.loads(path.read_bytes())["priv_key"]["value"]
        for path in founders.data("berlin").rglob("*_key.json")
    ]
    public = founders.public("berlin").read_text()
    assert len(secrets) == 2
    assert not [secret for secret in secrets if secret in public]
    assert {stat.S_IMODE(p.stat().st_mode) for p in founders.data("berlin").rglob("*.pem")} == {
        0o600
    }


def _change(document: dict[str, Any], **members: object) -> bytes:
    return json.dumps(document | members, indent=2).encode() + b"\n"


@pytest.mark.parametrize(
    "members",
    [
        {"fieldpost": "operator/2"},
        {"name": ""},
        {"name": 5},
        {"urls": "https://one.example"},
        {"peer": "nobody"},
        {"validator_key": "00"},
        {"governance_key": "00"},
        {"log_key": "board.example/2+e120bc4c+AWloZjtokRHkSD3A9oMG5/Ju38LMTKYPszRpmZjNRkxK"},
        {"cosigner_keys": []},
        {"extra": 1},
    ],
)
def test_a_public_file_that_says_what_it_must_not_is_malformed(
    founders: Founders, members: dict[str, object]
) -> None:
    founders.init("berlin")
    content = founders.public("berlin").read_bytes()
    document = json.loads(content)
    assert decode_operator_file(_change(document)).encode() == content
    with pytest.raises(Malformed):
        decode_operator_file(_change(document, **members))


def test_files_of_two_boards_found_none(founders: Founders) -> None:
    founders.init("berlin")
    founders.init("oslo", origin="other.example/1")
    with pytest.raises(Malformed, match="of 2 boards"):
        founders.genesis("berlin", "berlin", "oslo")


def test_a_time_that_is_not_in_utc_is_a_wrong_command(founders: Founders) -> None:
    founders.init("berlin")
    with pytest.raises(Exception, match="no time in UTC"):
        founders.genesis("berlin", "berlin", time=TIME.removesuffix("Z"))


def test_a_folder_that_nobody_could_fill_again_is_not_wiped(founders: Founders) -> None:
    founders.init("berlin")
    with pytest.raises(Misconfigured, match="nobody could give back"):
        founders.call("operator", "wipe", "--data", str(founders.data("berlin")), "--yes")
    founders.genesis("berlin", "berlin")
    wiped = founders.call("operator", "wipe", "--data", str(founders.data("berlin")), "--yes")
    assert wiped == {"removed": []}
    assert founders.genesis_file("berlin").exists()


def test_a_key_votes_again_only_above_the_others_last_block(founders: Founders) -> None:
    founders.init("berlin")
    data = founders.data("berlin")
    words = ("operator", "vote-above", "48211", "--data", str(data), "--yes")
    assert founders.call(*words) == {"votes_from": 48_213}
    lock = DirectoryLock(data)
    with pytest.raises(Misconfigured, match="in use"):
        founders.call(*words)
    lock.release()
