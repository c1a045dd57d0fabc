# SPDX-License-Identifier: Apache-2.0
"""Every error becomes one exit code and words with a next step; with --json, one JSON object."""

import json
import sys

import click
import pytest

from fieldpost import errors
from fieldpost.cli import failures
from fieldpost.errors import FieldpostError

EXAMPLES: list[tuple[FieldpostError, int]] = [
    (errors.Malformed("no CBOR"), 65),
    (errors.Rejected(27, "sequence", "choose a higher one"), 1),
    (errors.Untrusted("stale", "too old"), 3),
    (errors.Misbehaviour("split-view", "two roots", (b"a", b"b")), 4),
    (errors.NotFound("no lot"), 2),
    (errors.Conflict("it exists"), 2),
    (errors.Unavailable("no network", 7), 75),
    (errors.Misconfigured("no key"), 78),
    (FieldpostError("odd"), 70),
]
NAMES = [type(error).__name__ for error, _ in EXAMPLES]


def families() -> set[type[FieldpostError]]:
    return {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, FieldpostError)
    }


def test_every_family_has_an_exit_code_and_somebody_who_must_act() -> None:
    assert set(failures.FAMILIES) == families()
    assert {type(error) for error, _ in EXAMPLES} == families()
    assert all(meaning for _, meaning in failures.FAMILIES.values())
    assert not any(code in (0, failures.USAGE) for code, _ in failures.FAMILIES.values())


@pytest.mark.parametrize(("error", "code"), EXAMPLES, ids=NAMES)
def test_people_read_what_happened_and_who_must_act(
    error: FieldpostError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["fieldpost", "verify"])
    assert failures.explain(error) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    first, second = shown.err.splitlines()
    assert first == f"error: {error}"
    assert second.strip() == failures.FAMILIES[failures.family(error)][1]


@pytest.mark.parametrize(("error", "code"), EXAMPLES, ids=NAMES)
def test_scripts_read_one_json_object(
    error: FieldpostError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["fieldpost", "verify", "--json"])
    assert failures.explain(error) == code
    facts = json.loads(capsys.readouterr().err)
    assert facts["error"] == type(error).__name__.lower()
    assert facts["exit"] == code
    assert facts["detail"] == str(error)
    assert facts["next"]
    for name in ("code", "name", "reason", "retry_after_s"):
        assert facts.get(name) == getattr(error, name, None)


def test_a_subclass_counts_as_its_nearest_family() -> None:
    class TooOld(errors.Misbehaviour):
        pass

    assert failures.exit_code(TooOld("x", "y", ())) == 4


def test_json_after_two_dashes_is_an_argument_and_no_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fieldpost", "verify", "--", "--json"])
    failures.explain(errors.NotFound("no file --json"))
    assert capsys.readouterr().err.startswith("error: no file --json\n")


def test_what_a_stranger_wrote_cannot_command_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fieldpost"])
    failures.explain(errors.Unavailable("\x1b[2J\rall is well\x07"))
    assert not set(capsys.readouterr().err) & set("\x1b\r\x07")


def test_usage_errors_name_the_help_to_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["fieldpost", "lot", "--json"])
    context = click.Context(click.Command("lot"), info_name="fieldpost lot")
    assert failures.explain_usage(click.UsageError("no such option", context)) == 64
    facts = json.loads(capsys.readouterr().err)
    assert facts["error"] == "usage"
    assert facts["next"].endswith("fieldpost lot --help")


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (FileNotFoundError(2, "No such file", "image.bin"), errors.Misconfigured),
        (PermissionError(13, "Permission denied", "image.bin"), errors.Misconfigured),
        (IsADirectoryError(21, "Is a directory", "image.bin"), errors.Misconfigured),
        (OSError(28, "No space left on device", "image.bin"), errors.Unavailable),
        (ModuleNotFoundError("no uvicorn", name="uvicorn.config"), errors.Misconfigured),
    ],
)
def test_errors_of_the_system_get_a_family_and_name_the_thing(
    error: OSError | ModuleNotFoundError, family: type[FieldpostError]
) -> None:
    found = failures.of_system(error)
    assert type(found) is family
    assert "image.bin" in str(found) or "fieldpost[node]" in str(found)


def test_a_module_of_our_own_that_is_missing_is_a_bug() -> None:
    missing = ModuleNotFoundError("no", name="fieldpost.cli.nothing")
    assert failures.of_system(missing) is None


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_a_bug_never_looks_like_a_refusal(
    json_option: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["fieldpost", *json_option])
    with pytest.raises(KeyError) as raised:
        raise KeyError("size")
    assert failures.explain_bug(raised.value) == 70
    shown = capsys.readouterr().err
    assert "test_failures.py" in shown, "a report needs the place"
    if json_option:
        assert json.loads(shown)["error"] == "bug"
