# SPDX-License-Identifier: Apache-2.0
"""The CometBFT program: where it is, and whether it is of a line that this engine was tried with.

`cometbft version` cannot be asked: the tag v0.40.0 says 0.39.0 of itself. What Go's linker wrote
into the program is right, and can be read without running it. Only a program that was built from a
checkout, and so carries no version there, is asked.
"""

import mmap
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from fieldpost.errors import Misconfigured

LINES: Final = ("0.40.", "0.39.")
INSTALL: Final = (
    "run  make cluster-deps  in a checkout of Fieldpost, or  "
    "go install github.com/cometbft/cometbft/cmd/cometbft@v0.40.0"
)
_BUILT: Final = re.compile(
    rb"path\tgithub\.com/cometbft/cometbft/cmd/cometbft\n"
    rb"mod\tgithub\.com/cometbft/cometbft\t([!-~]{1,100})"
)
_ANSWER_S: Final = 30.0
_MOST_BYTES: Final = 1024**3


def find_program(name: str) -> Path:
    """The program called `name`: a path as it is, else from PATH or where `go install` puts it.

    Raises Misconfigured that says how to get it.
    """
    if os.sep in name:
        found: str | None = name if Path(name).is_file() else None
    else:
        places = [os.environ.get("PATH", os.defpath), *_go_folders()]
        found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Misconfigured(f"there is no CometBFT program {name!r} here: {INSTALL}")
    return Path(found).absolute()


def check_program(path: Path) -> str:
    """The version of the CometBFT at `path`, as 0.40.0. Raises Misconfigured for anything else."""
    version = (_built_version(path) or "").removeprefix("v")
    if version == "(devel)":
        version = _said_version(path)
    if not version.startswith(LINES):
        found = f"CometBFT {version}" if version else "no CometBFT"
        raise Misconfigured(
            f"{path} is {found}, and this engine speaks to {' and '.join(f'{x}x' for x in LINES)}: "
            f"{INSTALL}"
        )
    return version


def _go_folders() -> list[str]:
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is no home
    go = os.environ.get("GOPATH", "").split(os.pathsep)[0] or os.path.join(home, "go")  # noqa: PTH118
    # An empty entry of a search path is the current directory, where nobody installs.
    return [*filter(None, [os.environ.get("GOBIN")]), os.path.join(go, "bin")]  # noqa: PTH118


def _built_version(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            if not 0 < os.fstat(file.fileno()).st_size <= _MOST_BYTES:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = _BUILT.search(content)
                return found[1].decode() if found else None
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}; {INSTALL}") from error


def _said_version(path: Path) -> str:
    try:
        said = subprocess.run(
            [path, "version"], capture_output=True, timeout=_ANSWER_S, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Misconfigured(f"{path} does not say its version ({error}): {INSTALL}") from error
    return said.stdout.strip()[:100]
