# SPDX-License-Identifier: Apache-2.0
"""The end of the demonstration: what happened, on one screen, or as JSON."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fieldpost.demo.attacks import Verdict
from fieldpost.demo.claims import Claim

_COLUMNS: Final = ("confirmed", "failed", "reverted", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the demonstration showed. `versions` by sequence; `node_pid` if the node was kept."""

    board: str
    url: str
    root: Path
    first_board: Path
    home: Path
    class_name: str
    node_pid: int | None
    elapsed_s: float
    checkin_bytes: int
    fleet: dict[str, Any]
    versions: dict[str, str]
    claims: list[Claim]
    verdicts: list[Verdict]

    @property
    def all_refused(self) -> bool:
        """Whether every attack was refused."""
        return all(verdict.refused for verdict in self.verdicts)

    @property
    def held(self) -> bool:
        """Whether everything was as claimed."""
        return self.all_refused and all(claim.held for claim in self.claims)

    def value(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "board": self.board,
            "url": None if self.node_pid is None else self.url,
            "node_pid": self.node_pid,
            "folder": str(self.root),
            "seconds": round(self.elapsed_s, 1),
            "checkin_bytes": self.checkin_bytes,
            "fleet": self.fleet,
            "claims": [claim.value() for claim in self.claims],
            "attacks": [verdict.value() for verdict in self.verdicts],
            "all_refused": self.all_refused,
            "held": self.held,
        }

    def print(self, console: Console) -> None:
        """The screen that a person reads."""
        console.print("\n[bold]What the devices reported, signed[/bold]")
        console.print(self._fleet())
        console.print("\n[bold]What attackers tried, what the device said, and what it runs[/bold]")
        console.print(self._attacks())
        console.print()
        failed = [claim for claim in self.claims if not claim.held]
        for claim in failed:
            console.print(f"[bold red]DID NOT HOLD:[/bold red] {claim.section}: {claim.says}")
        if not self.all_refused:
            console.print("[bold red]AN ATTACK SUCCEEDED.[/bold red]")
        if self.held:
            console.print(
                f"[bold green]Every attack was refused, and all {len(self.claims)} claims "
                "above held.[/bold green]"
            )
        console.print(
            f"{self.elapsed_s:.0f} s in all. A check-in was {self.checkin_bytes} bytes, proof "
            "included. This software is unaudited."
        )
        console.print("\n[bold]Look further[/bold]")
        for command, what in self._further():
            console.print(f"  [dim]# {what}[/dim]\n  {command}", soft_wrap=True)

    def _fleet(self) -> Table:
        table = _table()
        table.add_column("release")
        for title in ("confirmed", "failed", "reverted", "runs now"):
            table.add_column(title, justify="right")
        for sequence, counts in sorted(self.fleet["releases"].items(), key=lambda i: int(i[0])):
            name = f"{sequence}  [dim]{self.versions.get(sequence, '')}[/dim]"
            table.add_row(name, *(str(counts[column]) for column in _COLUMNS))
        silent = self.fleet["never_seen"]
        table.caption = f"of {self.fleet['devices']:,} enrolled; {silent:,} are not live here"
        return table

    def _attacks(self) -> Table:
        table = _table()
        table.show_header = False
        for verdict in self.verdicts:
            mark, colour = ("✓", "green") if verdict.refused else ("✗", "red")
            table.add_row(
                f"[{colour}]{mark}[/{colour}]",
                f"{verdict.attack}\n[dim]attacker: {verdict.attacker}[/dim]",
                f"[{colour}]{verdict.reason or 'nothing'}[/{colour}]\n{verdict.afterwards}",
            )
        return table

    def _further(self) -> list[tuple[str, str]]:
        verify = (
            f"{_program()} board fsck {self.first_board}",
            "recompute the closed board from its log",
        )
        log = (f"cat {self.root / 'attacks.json'}", "what each device stored, before and after")
        if self.node_pid is None:
            keep = ("make demo ARGS=--keep", "leave the node running, to look at it live")
            return [verify, log, keep]
        return [
            verify,
            log,
            (f"{_program()} board show --board {self.url}", "the node still runs: ask it"),
            (
                f"{_program()} fleet status {self.class_name} --home {self.home}",
                "the first table, as it is now",
            ),
            (f"curl {self.url}/log/checkpoint", "what its operator signs and cosigns"),
            (f"kill {self.node_pid}", "stop the node"),
        ]


def _program() -> str:
    """How this person calls us: by name, or where `make` has put us."""
    if shutil.which("fieldpost"):
        return "fieldpost"
    return os.path.relpath(Path(sys.executable).parent / "fieldpost")


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, pad_edge=True, show_edge=False, caption_justify="left")
