# SPDX-License-Identifier: Apache-2.0
"""File systems of a test's own, to fill up and to break: root's business, so it may skip."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import pytest


def need(*programs: str) -> None:
    """Skip, saying why, where the tests may not mount."""
    missing = [program for program in programs if which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} missing: run  make system-deps")
    if os.geteuid() != 0:
        pytest.skip("mounting is root's business: run the tests as root to try a real full disk")


@contextmanager
def mounted(folder: Path, *what: str) -> Iterator[Path]:
    """`mount WHAT FOLDER`, until the block ends. Skips where the system does not allow it."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", *what, str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount here, so no real full disk is tried: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        # Lazily: a process that was killed may hold it for a moment.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_ext4(image: Path, *, size_bytes: int) -> None:
    """An ext4 file system in a file."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)


def abort(folder: Path) -> None:
    """What ext4 does when its journal cannot be written: from here on it is read-only."""
    subprocess.run(["mount", "-o", "remount,abort", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until nothing fits any more; removing the file makes room again."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast
