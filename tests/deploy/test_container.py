# SPDX-License-Identifier: Apache-2.0
"""The shipped container file: linted, its files and settings exist. No engine builds it here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from fieldpost.node.config_sources import load_config

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY / "deploy" / "container" / "Containerfile"
TEXT = FILE.read_text()
OPERATOR = FILE.with_name("operator.Containerfile")


def lint(path: Path) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert program is not None
    return subprocess.run(
        [program, str(path)], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_linter_finds_nothing(tmp_path: Path) -> None:
    assert lint(FILE).stdout == ""
    assert lint(OPERATOR).stdout == ""
    worse = tmp_path / "Containerfile"
    worse.write_text(TEXT.replace(":3.11-slim-bookworm", ":latest"))
    assert "DL3007" in lint(worse).stdout


def test_its_settings_are_settings_of_a_node() -> None:
    block = TEXT[TEXT.index("ENV ") :].split("STOPSIGNAL")[0]
    environment = dict(re.findall(r"(FIELDPOST_\w+)=(\S+)", block))
    config = load_config(file=None, environment=environment, options={}).config
    assert f"VOLUME {config.data}\n" in TEXT
    assert f"EXPOSE {config.addresses()[0][1]}\n" in TEXT
    # The health check asks where the settings say, also when somebody changes them.
    assert config.metrics_listen is not None
    assert 'environ[\\"FIELDPOST_NODE_METRICS_LISTEN\\"]}/readyz' in TEXT


def test_it_runs_as_nobody_in_particular_from_versions_that_are_locked() -> None:
    assert "\nUSER 8470:8470\n" in TEXT
    copied = re.findall(r"^COPY (?!--from)(.*) /build/$", TEXT, re.MULTILINE)
    assert copied == ["dist/*.whl requirements/dev.lock"]
    pattern = re.search(r"sed -n '(.*)' /build/dev.lock", TEXT)
    assert pattern is not None
    lock = REPOSITORY / "requirements" / "dev.lock"
    pinned = subprocess.run(
        ["sed", "-n", pattern[1], str(lock)], capture_output=True, text=True, check=True
    ).stdout
    for package in (
        "cryptography",
        "starlette",
        "uvicorn",
        "uvloop",
        "httptools",
        "python-pkcs11",
        "protobuf",
    ):
        assert re.search(rf"^{package}==[0-9.]+$", pinned, re.MULTILINE), package


def test_an_operators_image_has_the_cometbft_that_the_tests_ran_with() -> None:
    text = OPERATOR.read_text()
    pinned = (REPOSITORY / "requirements" / "go.txt").read_text()
    (program,) = re.findall(r"go install (\S+)@(\S+)", text)
    assert f"{program[0]} {program[1]}\n" in pinned
    block = text[text.index("ENV ") :].split("CMD")[0]
    environment = dict(re.findall(r"(FIELDPOST_\w+)=(\S+)", block))
    settings = REPOSITORY / "deploy" / "operator.toml"
    assert Path(environment["FIELDPOST_NODE_CONFIG"]).name == settings.name
    config = load_config(file=settings, environment=environment, options={}).config
    assert config.engine == "cometbft"
    assert text.count(f"EXPOSE {config.cometbft.p2p_listen.rpartition(':')[2]}\n") == 1
