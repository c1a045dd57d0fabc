# SPDX-License-Identifier: Apache-2.0
"""What an agent touches besides disk and network: clocks, chance, power, and whom it tells.

Tests hand in their own; the defaults are this machine.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Power:
    """Charge in percent, None without a battery; `external` = not running on the battery."""

    battery_percent: int | None = None
    external: bool = True


def _second_of_day() -> int:
    now = time.localtime()
    return now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec


def read_power(folder: Path = Path("/sys/class/power_supply")) -> Power:
    """What Linux says of the machine's power supplies; what it does not say hinders nothing."""
    charges: list[int] = []
    online: list[bool] = []
    for supply in sorted(folder.glob("*")):
        kind = _read(supply / "type")
        if kind == "Battery" and _read(supply / "scope") != "Device":
            charge = _read(supply / "capacity")
            charges += [int(charge)] if charge.isdigit() else []
        elif kind in ("Mains", "USB"):
            online.append(_read(supply / "online") == "1")
    return Power(min(charges, default=None), any(online) or not charges)


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Ports. `clock`: Unix seconds, right or not. `uptime`: seconds that only grow. `chance`:
    uniform in [0, 1). `emit`: tells an event and its facts to whoever watches."""

    emit: Callable[[str, Facts], None]
    clock: Callable[[], int] = lambda: int(time.time())
    uptime: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    pause: Callable[[float], None] = time.sleep
    second_of_day: Callable[[], int] = _second_of_day
    power: Callable[[], Power] = read_power
