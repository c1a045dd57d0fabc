# SPDX-License-Identifier: Apache-2.0
"""Which program is CometBFT, of a line that this engine speaks to."""

from pathlib import Path

import pytest

from fieldpost.engines.cometbft.program import check_program, find_program
from fieldpost.errors import Misconfigured

BUILT = "path\tgithub.com/cometbft/cometbft/cmd/cometbft\nmod\tgithub.com/cometbft/cometbft\t"


def program(folder: Path, content: str) -> Path:
    path = folder / "cometbft"
    path.write_text(content)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["0.40.0", "0.40.7", "0.39.4"])
def test_the_version_that_the_linker_wrote_is_believed(tmp_path: Path, version: str) -> None:
    path = program(tmp_path, f"\x7fELF…{BUILT}v{version}\th1:=\n")
    assert check_program(path) == version


@pytest.mark.parametrize("version", ["v0.38.17", "v1.0.1", "v0.4.0"])
def test_another_line_is_refused_by_its_version(tmp_path: Path, version: str) -> None:
    with pytest.raises(Misconfigured, match=version[1:]):
        check_program(program(tmp_path, f"{BUILT}{version}\th1:=\n"))


@pytest.mark.parametrize("content", ["", "#!/bin/sh\necho 0.40.0\n"])
def test_another_program_is_refused_and_not_run(tmp_path: Path, content: str) -> None:
    with pytest.raises(Misconfigured, match="no CometBFT"):
        check_program(program(tmp_path, content))


def test_a_build_from_a_checkout_is_asked(tmp_path: Path) -> None:
    script = f"#!/bin/sh\necho 0.40.1\nexit 0\n{BUILT}(devel)\n"
    assert check_program(program(tmp_path, script)) == "0.40.1"
    with pytest.raises(Misconfigured, match="does not say its version"):
        check_program(program(tmp_path, script.replace("exit 0", "exit 3")))


def test_a_missing_program_is_an_error_that_says_how_to_get_it(tmp_path: Path) -> None:
    for name in ("no-such-cometbft", str(tmp_path / "cometbft")):
        with pytest.raises(Misconfigured, match="make cluster-deps"):
            find_program(name)


def test_a_program_is_found_where_go_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOBIN", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    path = program(tmp_path, "anything")
    assert find_program("cometbft") == path
