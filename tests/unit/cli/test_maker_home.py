# SPDX-License-Identifier: Apache-2.0
"""A maker's files: posts are saved before they are sent, keys are never shown, nothing is lost."""

import stat
from pathlib import Path
from typing import NoReturn

import pytest

from fieldpost.cli.maker_home import MakerHome, default_home
from fieldpost.cli.new_keys import NewKeys
from fieldpost.errors import Misconfigured
from fieldpost.keys import Algorithm
from fieldpost.records.maker import Role

PASSPHRASE = b"correct horse"


def nobody() -> NoReturn:
    raise AssertionError("the passphrase was asked for")


def make(path: Path, *, roots: int = 1, passphrase: bytes | None = None) -> MakerHome:
    home = MakerHome(path, lambda: PASSPHRASE)
    keys = NewKeys(algorithm=Algorithm.ED25519, passphrase=passphrase)
    home.create(
        name="acme",
        counts={role: roots if role is Role.ROOT else 1 for role in Role},
        make_key=keys.make,
        root_threshold=roots,
        release_threshold=1,
    )
    return home


def test_what_was_created_is_read_again(tmp_path: Path) -> None:
    made = make(tmp_path / "home", roots=2).settings()
    again = MakerHome(tmp_path / "home", nobody)
    assert again.settings() == made
    assert (made.name, made.root_threshold, made.board) == ("acme", 2, None)
    assert len(again.everyone(Role.ROOT)) == 2
    again.bind(board_urls=["http://127.0.0.1:1"], board="b")
    assert MakerHome(tmp_path / "home", nobody).settings().board == "b"


def test_keys_are_encrypted_private_and_never_shown(tmp_path: Path) -> None:
    home = make(tmp_path / "home", passphrase=PASSPHRASE)
    files = list((tmp_path / "home" / "keys").iterdir())
    assert files
    assert stat.S_IMODE((tmp_path / "home" / "keys").stat().st_mode) == 0o700
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"ENCRYPTED" in file.read_bytes()
    (signer,) = MakerHome(home.path, lambda: PASSPHRASE).signers(Role.RELEASE, 1)
    for shown in (repr(home), repr(signer), str(signer), repr(home.settings())):
        assert "correct horse" not in shown
        assert "PRIVATE" not in shown


def test_a_wrong_passphrase_says_which_file_and_not_which_words(tmp_path: Path) -> None:
    make(tmp_path / "home", passphrase=PASSPHRASE)
    wrong = MakerHome(tmp_path / "home", lambda: b"battery staple")
    with pytest.raises(Misconfigured, match=r"release-1\.pem") as refused:
        wrong.signers(Role.RELEASE, 1)
    assert "battery" not in str(refused.value)


def test_the_passphrase_is_asked_for_once_and_only_when_a_key_is_used(tmp_path: Path) -> None:
    make(tmp_path / "home", passphrase=PASSPHRASE)
    asked = []

    def ask() -> bytes:
        asked.append(1)
        return PASSPHRASE

    home = MakerHome(tmp_path / "home", ask)
    home.settings()
    home.pending()
    assert asked == []
    first = home.signers(Role.RELEASE, 1)
    assert home.signers(Role.RELEASE, 1) == first
    assert asked == [1]


def test_roots_that_were_taken_away_are_asked_for_by_name(tmp_path: Path) -> None:
    home = make(tmp_path / "home", roots=2)
    (tmp_path / "home" / "keys" / "root-2.pem").unlink()
    assert len(home.signers(Role.ROOT, 1)) == 1
    with pytest.raises(Misconfigured, match=r"needs 2 root key.*root-2\.pem"):
        home.signers(Role.ROOT, 2)


def test_a_home_is_made_once(tmp_path: Path) -> None:
    before = make(tmp_path / "home").settings()
    with pytest.raises(Misconfigured, match="holds a maker already"):
        make(tmp_path / "home")
    assert MakerHome(tmp_path / "home", nobody).settings() == before


def test_keys_of_an_interrupted_init_are_not_overwritten(tmp_path: Path) -> None:
    make(tmp_path / "home")
    (tmp_path / "home" / "maker.json").unlink()
    before = (tmp_path / "home" / "keys" / "root-1.pem").read_bytes()
    with pytest.raises(Misconfigured, match=r"interrupted.*remove that folder"):
        make(tmp_path / "home")
    assert (tmp_path / "home" / "keys" / "root-1.pem").read_bytes() == before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"keys": 1}', '{"keys": {}, "x": 1}'])
def test_settings_that_do_not_parse_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "maker.json").write_text(text)
    with pytest.raises(Misconfigured, match=r"maker\.json"):
        MakerHome(tmp_path, nobody).settings()


def test_no_maker_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="fieldpost maker init"):
        MakerHome(tmp_path, nobody).settings()


def test_posts_wait_in_order_until_each_is_acknowledged_or_refused(tmp_path: Path) -> None:
    home = MakerHome(tmp_path, nobody)
    first = home.keep("class.set", b"one")
    second = home.keep("release.publish", b"two")
    assert home.pending() == [first, second]
    proof = home.acknowledge(first, b"receipt")
    assert home.pending() == [second]
    assert (proof.read_bytes(), proof.name) == (b"receipt", "000001-class.set.tlog-proof")
    assert (tmp_path / "sent" / first.name).read_bytes() == b"one"
    refused = home.refuse(second)
    assert home.pending() == []
    assert (refused.parent.name, refused.read_bytes()) == ("refused", b"two")
    assert home.keep("x", b"three").name.startswith("000003-"), "numbers are never used twice"


def test_evidence_is_kept_once_per_statement(tmp_path: Path) -> None:
    home = MakerHome(tmp_path, nobody)
    folder = home.keep_evidence((b"one note", b"another note"))
    home.keep_evidence((b"one note",))
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"another note", b"one note"]


def test_the_home_is_named_by_the_environment_or_below_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FIELDPOST_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.setenv("FIELDPOST_HOME", "")
    assert default_home() == Path.home() / ".fieldpost"
