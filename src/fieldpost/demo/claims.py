# SPDX-License-Identifier: Apache-2.0
"""What the demonstration claims to have shown, each time with what it saw."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing that was shown: in which section, what, whether it held, and what was seen."""

    section: str
    says: str
    held: bool
    seen: str

    def value(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)
