# SPDX-License-Identifier: Apache-2.0
"""The page about the agent's states shows the table that the agent runs on."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_page_of_the_agents_states_shows_the_code() -> None:
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "draw_agent_states.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
