# SPDX-License-Identifier: Apache-2.0
"""A node's settings: where they come from, and that a wrong one stops the node with its name."""

from dataclasses import MISSING
from pathlib import Path

import pytest

from fieldpost.errors import Misconfigured
from fieldpost.node.config import Limits, NodeConfig
from fieldpost.node.config_sources import SETTINGS, Misconfigurations, Sourced, load_config
from fieldpost.node.setting import Setting

OTHER = {int: ("7", 7), float: ("7.5", 7.5), bool: ("true", True), str: ("other", "other")}


def load(
    tmp_path: Path, text: str = "", environment: dict[str, str] | None = None, **options: object
) -> Sourced:
    file = tmp_path / "node.toml"
    file.write_text(text)
    return load_config(file=file, environment=environment or {}, options=options)


def troubles(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(Misconfigurations) as caught:
        load(tmp_path, text, environment)
    return caught.value.troubles


def test_without_any_source_all_but_the_data_folder_has_a_default() -> None:
    config = load_config(file=None, environment={}, options={"data": Path("d")}).config
    assert config == NodeConfig(data=Path("d"))
    with pytest.raises(Misconfigurations, match=r"data: is not set; give --data"):
        load_config(file=None, environment={}, options={})


def test_an_option_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    text = 'data = "/file"\norigin = "file.example/1"\n[limits]\ndrain_s = 3\nheader_s = 2\n'
    environment = {
        "FIELDPOST_NODE_DATA": "/environment",
        "FIELDPOST_NODE_LIMITS_DRAIN_S": "4",
        "FIELDPOST_NODE_LISTEN": "127.0.0.1:1, [::1]:2",
        "FIELDPOST_HOME": "of somebody else",
    }
    sourced = load(tmp_path, text, environment, data=Path("/option"))
    assert sourced.config == NodeConfig(
        data=Path("/option"),
        origin="file.example/1",
        listen=("127.0.0.1:1", "[::1]:2"),
        limits=Limits(drain_s=4, header_s=2.0),
    )
    origins = {name: origin for name, _, origin in sourced.values()}
    assert origins["data"] == "--data"
    assert origins["origin"] == str(tmp_path / "node.toml")
    assert origins["limits.drain_s"] == "FIELDPOST_NODE_LIMITS_DRAIN_S"
    assert origins["limits.body_s"] == "default"


def test_a_relative_path_in_the_file_is_relative_to_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, 'data = "board"').config.data == tmp_path / "board"
    assert load(tmp_path, 'data = "/board"').config.data == Path("/board")


def test_every_setting_has_its_own_variable_and_says_what_it_is() -> None:
    variables = [setting.variable for setting in SETTINGS.values()]
    assert len(set(variables)) == len(variables)
    assert all(setting.about.what and setting.wanted for setting in SETTINGS.values())


def test_no_setting_holds_a_secret() -> None:
    secret = ("pin", "password", "passphrase", "secret", "token")
    holders = [name for name in SETTINGS if name.rpartition(".")[2].endswith(secret)]
    assert not holders, "a setting names the file that holds a secret"


@pytest.mark.parametrize(
    "name", [n for n, s in SETTINGS.items() if s.kind in OTHER and not s.about.choices]
)
def test_every_plain_setting_can_be_set_from_file_and_environment(
    tmp_path: Path, name: str
) -> None:
    setting = SETTINGS[name]
    text, value = OTHER[setting.kind]
    if setting.about.least is not None and setting.about.least > 7:
        text, value = str(setting.about.least), setting.about.least
    assert setting.check(value) == setting.parse(text) == value


@pytest.mark.parametrize("name", [n for n, s in SETTINGS.items() if s.about.choices])
def test_a_setting_of_a_few_words_takes_no_other(name: str) -> None:
    for word in SETTINGS[name].about.choices:
        assert SETTINGS[name].parse(word) == word
    with pytest.raises(Misconfigured, match=rf"{name}: must be \".* or .*, and is 'loud'"):
        SETTINGS[name].parse("loud")


@pytest.mark.parametrize("name", [n for n, s in SETTINGS.items() if s.about.most is not None])
def test_every_number_has_bounds_around_its_default(name: str) -> None:
    setting: Setting = SETTINGS[name]
    least, most = setting.about.least, setting.about.most
    assert least is not None
    assert most is not None
    assert setting.default is MISSING or least <= setting.default <= most  # type: ignore[operator]
    for outside in (least - 1, most + 1, float("nan"), float("inf")):
        with pytest.raises(Exception, match=f"{name}: must be"):
            setting.check(setting.kind(outside) if abs(outside) < 1e15 else outside)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("data = 5", r"node.toml: data: must be a path, as \"/path\", and is 5"),
        ('data = ""', "data: must be a path"),
        ('data = "d"\nlisten = "127.0.0.1:1"', r'listen: must be a list .*\["one", "two"\]'),
        ('data = "d"\nlisten = [""]', "listen: must be a list"),
        ('data = "d"\nlisten = []', "listen: is empty; name an address"),
        ('data = "d"\nlisten = ["8470"]', "listen: '8470' is no address; write HOST:PORT"),
        ('data = "d"\nlisten = [":1", "0.0.0.0:1"]', "listen: names an address twice"),
        ('data = "d"\n[limits]\ndrain_s = true', "limits.drain_s: must be a whole number, 1 to"),
        ('data = "d"\n[limits]\ndrain_s = 1.5', "limits.drain_s: must be a whole number"),
        ('data = "d"\n[limits]\ndrain_s = 0', "limits.drain_s: must be a whole number, 1 to 3600"),
        ('data = "d"\n[limits]\npost_bytes = 65536', "limits.post_bytes: must .* 1 to 65535"),
        ('data = "d"\n[limits]\nbody_s = 1.0', "body_silence_s: .* longer than limits.body_s"),
        ('data = "d"\n[limits]\npostbytes = 1', "did you mean limits.post_bytes?"),
        ('data = "d"\n[limit]\npost_bytes = 1', "limit: there is no such setting"),
        ('data = "d"\nlimits = 1', r"limits: must be a table, as \[limits\]"),
        ('data = "d"\n"limits.post_bytes" = {}', "limits.post_bytes: must be a whole number"),
        ('data = "d"\nlisten = [', "node.toml: .*; correct the file"),
        ('data = "d"\ndata = "e"', "correct the file"),
    ],
)
def test_what_cannot_be_is_said_with_file_name_and_remedy(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(Misconfigurations, match=says) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "node.toml") in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("FIELDPOST_NODE_LIMITS_DRAIN_S", "soon", "must be a whole number.*and is 'soon'"),
        ("FIELDPOST_NODE_LIMITS_HEADER_S", "nan", "must be a number"),
        ("FIELDPOST_NODE_LIMIT_DRAIN_S", "1", "did you mean FIELDPOST_NODE_LIMITS_DRAIN_S"),
        ("FIELDPOST_NODE_QUUX_FROB", "1", "there is no such setting; unset it"),
        ("FIELDPOST_NODE_LISTEN", "", "is empty"),
    ],
)
def test_what_the_environment_says_wrongly_is_named_by_its_variable(
    tmp_path: Path, variable: str, text: str, says: str
) -> None:
    with pytest.raises(Misconfigurations, match=says) as caught:
        load(tmp_path, 'data = "d"', {variable: text})
    assert variable in str(caught.value)


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    found = troubles(
        tmp_path, "[limits]\ndrain_s = 0\nstall = 1", {"FIELDPOST_NODE_LIMITS_BODY_S": "x"}
    )
    assert len(found) == 4
    assert [line.split(": ")[1] for line in found[:2]] == ["limits.drain_s", "limits.stall"]
    assert found[3].startswith("data: is not set")


def test_a_file_that_cannot_be_read_is_no_empty_one(tmp_path: Path) -> None:
    for path, says in (
        (tmp_path / "none.toml", "cannot read .*none.toml: No such file"),
        (tmp_path, "cannot read .*Is a directory"),
    ):
        with pytest.raises(Misconfigurations, match=says):
            load_config(file=path, environment={}, options={"data": Path("d")})
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'origin = "\xe9"')
    with pytest.raises(Misconfigurations, match="correct the file"):
        load_config(file=latin, environment={}, options={"data": Path("d")})
