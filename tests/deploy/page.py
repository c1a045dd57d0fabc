# SPDX-License-Identifier: Apache-2.0
"""The commands of docs/operations/operator-service.md, as one of the operators types them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.conftest import REPOSITORY
from tests.deploy.network import Place

PAGE: Final = REPOSITORY / "docs" / "operations" / "operator-service.md"
_SHOWN_FOR: Final = "berlin"
_SHOWN_TIME: Final = "2027-01-31T12:00:00Z"
_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """One way to run an operator: its blocks of commands, by heading."""

    blocks: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, way: str) -> "Page":
        """The part of the page under the heading `way`."""
        parts = dict(_parts(PAGE.read_text(encoding="utf-8"), "##"))
        found = {name: tuple(_BLOCK.findall(text)) for name, text in _parts(parts[way], "###")}
        return cls(found)

    def commands(self, heading: str, number: int, *, of: Place, time: str) -> str:
        """A block for this operator, by the address that it has in the try."""
        text = self.blocks[heading][number].replace(f"{_SHOWN_FOR}.example", of.address)
        return text.replace(_SHOWN_FOR, of.name).replace(_SHOWN_TIME, time)


def _parts(text: str, mark: str) -> list[tuple[str, str]]:
    pieces = re.split(rf"^{mark} (.+)$", text, flags=re.MULTILINE)
    return list(zip(pieces[1::2], pieces[2::2], strict=True))
