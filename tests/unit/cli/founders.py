# SPDX-License-Identifier: Apache-2.0
"""Operators who found a board together, each with a data folder and public files of its own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from fieldpost.cli.main import fieldpost

ORIGIN = "board.example/1"
TIME = "2026-11-29T12:00:00Z"


@dataclass(frozen=True, slots=True)
class Founders:
    """Commands run in this process; files of operator NAME are NAME.operator and so on."""

    root: Path

    def call(self, *words: str) -> Any:
        """The JSON that a command prints. Errors are raised as they are."""
        result = CliRunner().invoke(
            fieldpost, [*words, "--json"], standalone_mode=False, catch_exceptions=False
        )
        return json.loads(result.stdout)

    def data(self, name: str) -> Path:
        return self.root / name

    def public(self, name: str) -> Path:
        return self.root / f"{name}.operator"

    def signatures(self, name: str) -> Path:
        return self.root / f"{name}.signatures"

    def genesis_file(self, name: str) -> Path:
        return self.data(name) / "cometbft" / "config" / "genesis.json"

    def init(self, name: str, *, origin: str = ORIGIN, port: int = 26_656) -> Any:
        return self.call(
            *("operator", "init", name, "--origin", origin, "--url", f"https://{name}.example"),
            *("--p2p-address", f"{name}.example:{port}", "--data", str(self.data(name))),
            *("--out", str(self.public(name))),
        )

    def genesis(
        self,
        name: str,
        *files: str,
        signed: tuple[str, ...] = (),
        more: tuple[str, ...] = (),
        time: str = TIME,
    ) -> Any:
        """What operator `name` is told, with public files and signatures of those named."""
        given = [word for other in signed for word in ("--signatures", str(self.signatures(other)))]
        return self.call(
            *("operator", "genesis", *(str(self.public(file)) for file in files)),
            *("--data", str(self.data(name)), "--time", time, "--yes"),
            *("--out", str(self.signatures(name)), *given, *more),
        )

    def found(self, *names: str) -> list[Any]:
        """All of it; what each is told at the end."""
        for name in names:
            self.init(name)
        for name in names:
            self.genesis(name, *names)
        return [self.genesis(name, *names, signed=names) for name in names]
