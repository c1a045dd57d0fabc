# SPDX-License-Identifier: Apache-2.0
"""Tokens to test with: SoftHSM (a token in software, from Debian) in a folder of the test's own."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "4711-right"
PINS = ("--so-pin", "12345678", "--pin", PIN)


@dataclass(frozen=True, slots=True)
class Tokens:
    """A folder of tokens. `environment` is what a process needs to see them."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "softhsm2.conf"

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.config)}

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    def uri(self, label: str, *, key: str = "") -> str:
        query = f"module-path={MODULE}&pin-source=file:{self.pin_file}"
        return f"pkcs11:token={label}{key}?{query}"

    def add(self, label: str) -> None:
        subprocess.run(
            ["softhsm2-util", "--init-token", "--free", "--label", label, *PINS],
            env={**os.environ, **self.environment},
            check=True,
            capture_output=True,
            timeout=60,
        )


def make_tokens(folder: Path) -> Tokens:
    """An empty folder of tokens. Skips, and says what to install, where SoftHSM is not."""
    if not MODULE.is_file():
        pytest.skip("SoftHSM is not installed: run  make system-deps")
    tokens = Tokens(folder)
    (folder / "tokens").mkdir(parents=True)
    tokens.config.write_text(
        f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    tokens.pin_file.write_text(PIN + "\n")
    tokens.pin_file.chmod(0o600)
    return tokens
