# SPDX-License-Identifier: Apache-2.0
"""The fixture `node`: a new board, served on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.node.running_node import Running, running


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path / "data") as found:
        yield found
