# SPDX-License-Identifier: Apache-2.0
"""`agent enrol` at the factory: which images a device leaves with, and what is refused in time."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldpost.agent.home import Home
from fieldpost.agent.memory import load_memory
from fieldpost.agent.status import read_status
from fieldpost.cli.agent_factory import enrol_device
from fieldpost.errors import Malformed, Misconfigured
from fieldpost.testing.bundles import PaperBoard


def enrol(folder: Path, *bases: str) -> Home:
    """Enrol a device that left with `bases`; raises what the command raises."""
    (folder / "prov").write_bytes(PaperBoard().provisioning())
    home = folder / "device"
    words = ["--home", str(home), "--provisioning", str(folder / "prov"), "--serial", "SN1"]
    for base in bases:
        words += ["--base", base]
    words += ["--base-sequence", "3", "--base-version", "1.2"]
    done = CliRunner().invoke(enrol_device, words)
    if done.exception is not None:
        raise done.exception
    return Home(home)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").write_bytes(b"application")
    (tmp_path / "radio").write_bytes(b"radio")
    return tmp_path


def test_a_device_leaves_with_one_image_or_with_several_by_name(folder: Path) -> None:
    home = enrol(folder, f"{folder}/app", f"radio={folder}/radio")
    status = read_status(home)
    assert load_memory(home.memory).running == status["sequence"] == 3
    components = status["components"]
    assert isinstance(components, list)
    assert [(item["component"], item["bytes"]) for item in components] == [
        ("image", 11),
        ("radio", 5),
    ]


@pytest.mark.parametrize(
    ("bases", "complaint"),
    [
        (("{}/app", "image={}/radio"), "given twice"),
        (("a//b={}/app",), "names no component"),
        (("{}/nowhere",), "there is no image"),
        (tuple(f"c{n}={{}}/app" for n in range(17)), "at most 16"),
    ],
)
def test_a_bad_image_is_refused_before_anything_is_made(
    folder: Path, bases: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(Misconfigured, match=complaint):
        enrol(folder, *(base.format(folder) for base in bases))
    assert not (folder / "device").exists()


def test_what_is_too_large_for_a_provisioning_record_is_not_read(folder: Path) -> None:
    (folder / "prov").write_bytes(bytes(65_537))
    words = ["--home", f"{folder}/device", "--provisioning", f"{folder}/prov", "--serial", "SN1"]
    with pytest.raises(Misconfigured, match="too large"):
        CliRunner().invoke(enrol_device, words, catch_exceptions=False)
    assert not (folder / "device").exists()


def test_a_file_that_is_no_provisioning_record_is_named_with_who_writes_one(folder: Path) -> None:
    words = ["--home", str(folder / "device"), "--serial", "SN1", "--provisioning"]
    done = CliRunner().invoke(enrol_device, [*words, str(folder / "app")])
    assert isinstance(done.exception, Malformed)
    assert f"{folder}/app is no provisioning record" in str(done.exception)
    assert "fieldpost class trust" in str(done.exception)
    assert not (folder / "device").exists()
