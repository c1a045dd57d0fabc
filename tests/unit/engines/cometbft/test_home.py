# SPDX-License-Identifier: Apache-2.0
"""CometBFT's folder: keys that stay, settings that fit, and nothing that signs twice."""

import json
import stat
import tomllib
from pathlib import Path

import pytest

from fieldpost.engines.cometbft import home as homes
from fieldpost.engines.cometbft.home import HomeSettings
from fieldpost.errors import Malformed, Misconfigured

NODE = "4e0217db3398f40f8d17932698774feefe32f54f"


def settings(**given: object) -> HomeSettings:
    values: dict[str, object] = {
        "name": "one.example",
        "application": "unix:///run/abci.sock",
        "p2p_listen": "0.0.0.0:26656",
        "rpc_listen": "127.0.0.1:26657",
    }
    return HomeSettings(**(values | given))  # type: ignore[arg-type]


def test_keys_are_made_once_and_then_kept(tmp_path: Path) -> None:
    first = homes.make_keys(tmp_path / "home")
    assert homes.make_keys(tmp_path / "home") == first
    key, node = first
    assert (len(key), len(node)) == (32, 40)


def test_nobody_else_may_read_a_secret_key(tmp_path: Path) -> None:
    homes.make_keys(tmp_path / "home")
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*.json")}
    assert modes == dict.fromkeys(
        ("priv_validator_key.json", "priv_validator_state.json", "node_key.json"), 0o600
    )


def test_a_key_without_what_it_signed_last_is_not_used(tmp_path: Path) -> None:
    homes.make_keys(tmp_path)
    homes.signed_path(tmp_path).unlink()
    with pytest.raises(Misconfigured, match="voting twice"):
        homes.make_keys(tmp_path)
    assert not homes.signed_path(tmp_path).exists()


def test_no_new_key_takes_over_what_another_signed(tmp_path: Path) -> None:
    homes.make_keys(tmp_path)
    signed = json.loads(homes.signed_path(tmp_path).read_bytes()) | {"height": "12"}
    homes.signed_path(tmp_path).write_text(json.dumps(signed))
    homes.key_path(tmp_path).unlink()
    with pytest.raises(Misconfigured, match="put the key back"):
        homes.make_keys(tmp_path)
    assert not homes.key_path(tmp_path).exists()


def test_an_interrupted_first_start_goes_on(tmp_path: Path) -> None:
    homes.make_keys(tmp_path)
    homes.key_path(tmp_path).unlink()
    key, _ = homes.make_keys(tmp_path)
    assert homes.read_validator_key(tmp_path) == key


def test_a_broken_key_file_shows_nothing_of_its_content(tmp_path: Path) -> None:
    homes.make_keys(tmp_path)
    document = json.loads(homes.key_path(tmp_path).read_bytes())
    secret = document["priv_key"]["value"]
    document["pub_key"] = secret
    homes.key_path(tmp_path).write_text(json.dumps(document))
    with pytest.raises(Misconfigured) as caught:
        homes.read_validator_key(tmp_path)
    assert secret not in str(caught.value)


def test_settings_are_toml_that_says_what_was_asked() -> None:
    odd = 'one "two"\n[rpc]\nladdr = "tcp://0.0.0.0:1"'
    found = tomllib.loads(settings(name=odd, timeout_commit_ms=250).encode().decode())
    assert found["moniker"] == odd
    assert found["rpc"]["laddr"] == "tcp://127.0.0.1:26657"
    assert found["consensus"]["timeout_commit"] == "250ms"
    assert found["consensus"]["create_empty_blocks"] is False
    assert found["consensus"]["timeout_propose"] == "1s"


@pytest.mark.parametrize(
    ("peer", "strict"),
    [("board.example:26656", True), ("10.0.0.7:26656", False), ("[::1]:26656", False)],
)
def test_private_addresses_are_believed_only_where_somebody_named_one(
    peer: str, strict: bool
) -> None:
    found = tomllib.loads(settings(peers=(f"{NODE}@{peer}",)).encode().decode())["p2p"]
    assert (found["addr_book_strict"], found["allow_duplicate_ip"]) == (strict, not strict)
    assert found["unconditional_peer_ids"] == NODE


@pytest.mark.parametrize(
    "text",
    ["board.example:26656", f"{NODE}@board.example", f"{NODE}@:1", f"{NODE}@a:0", f"{NODE}@a:99999",
     f"{NODE.upper()}@a:1", f"{NODE}@a:1,{NODE}@b:1"],
)  # fmt: skip
def test_a_peer_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="node id"):
        homes.parse_peer(text)


def test_a_genesis_is_never_replaced(tmp_path: Path) -> None:
    homes.make_keys(tmp_path)
    homes.write_genesis(tmp_path, b"one")
    homes.write_genesis(tmp_path, b"one")
    with pytest.raises(Misconfigured, match="another board"):
        homes.write_genesis(tmp_path, b"two")
    assert homes.read_genesis(tmp_path) == b"one"
