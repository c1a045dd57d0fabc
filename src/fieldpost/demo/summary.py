# SPDX-License-Identifier: Apache-2.0
"""The end of the demonstration: what happened, on one screen, or as JSON."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fieldpost.demo.attacks import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the demonstration showed."""

    board: str
    url: str
    root: Path
    home: Path
    class_name: str
    kept: bool
    elapsed_s: float
    checkin_bytes: int
    entries: int
    fleet: dict[str, Any]
    verdicts: list[Verdict]

    @property
    def held(self) -> bool:
        """Whether every attack was refused."""
        return all(verdict.refused for verdict in self.verdicts)

    def value(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "board": self.board,
            "url": self.url if self.kept else None,
            "folder": str(self.root),
            "seconds": round(self.elapsed_s, 1),
            "checkin_bytes": self.checkin_bytes,
            "entries": self.entries,
            "fleet": self.fleet,
            "attacks": [verdict.value() for verdict in self.verdicts],
            "all_refused": self.held,
        }

    def print(self, console: Console) -> None:
        """The screen that a person reads."""
        console.print()
        console.print(self._fleet())
        console.print(self._attacks())
        verdict = "every attack was refused" if self.held else "AN ATTACK SUCCEEDED"
        console.print(
            f"[bold]{verdict}[/bold] in {self.elapsed_s:.0f} s. "
            f"A check-in was {self.checkin_bytes} bytes; the board has {self.entries} entries "
            "for 1,000 devices. This software is unaudited."
        )
        console.print("\n[bold]Look further[/bold]")
        for line in self._further():
            console.print(f"  {line}", soft_wrap=True)

    def _fleet(self) -> Table:
        table = Table(title="What the devices say they run, signed", title_justify="left")
        for column in ("release", "confirmed", "failed", "reverted"):
            table.add_column(column, justify="right")
        for sequence, counts in sorted(self.fleet["releases"].items(), key=lambda i: int(i[0])):
            row = (str(counts.get(name, 0)) for name in ("confirmed", "failed", "reverted"))
            table.add_row(sequence, *row)
        table.caption = f"of {self.fleet['devices']} enrolled; {self.fleet['never_seen']} not live"
        return table

    def _attacks(self) -> Table:
        table = Table(title="What attackers tried", title_justify="left")
        for column in ("the device was given", "the attacker has", "it said", "ran", "runs"):
            table.add_column(column)
        for verdict in self.verdicts:
            counted = verdict.attack.startswith("a device that is in no lot")
            table.add_row(
                verdict.attack,
                verdict.attacker_has,
                f"[green]{verdict.reason}[/green]" if verdict.refused else f"[red]{verdict.reason}",
                "not counted" if counted else f"release {verdict.before}",
                "not counted" if counted else f"release {verdict.after}",
            )
        return table

    def _further(self) -> list[str]:
        lines = [f"fieldpost board verify {self.root / 'node'}"]
        if self.kept:
            lines += [
                f"fieldpost board show --board {self.url}",
                f"fieldpost fleet status {self.class_name} --home {self.home}",
                f"curl {self.url}/log/checkpoint",
            ]
        else:
            lines.append("fieldpost demo --keep        leaves the node running, to look at it live")
        return [*lines, "docs/tutorial.md             the same by hand"]
