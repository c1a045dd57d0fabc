# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/agent-states.md from the agent's table, so that it cannot be wrong.

python tools/draw_agent_states.py            write the page
python tools/draw_agent_states.py --check    change nothing, exit 1 if the page is stale
"""

import argparse
import ast
import sys
from pathlib import Path
from typing import Final

from fieldpost.agent import states
from fieldpost.agent.states import ACTING, TRANSITIONS, Event, State

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "reference" / "agent-states.md"
HEAD: Final = """\
# What an agent does next

Written by `make docs` from `src/fieldpost/agent/states.py`; change that file.

The next state and what it records are saved in one file before anything is done, so a power cut at
any moment is one of the events below. *Effects* that act on the world (network, slots, boot) stand
in bold; all others go into the same save. Pairs that are not listed cannot occur.
"""


def meanings(name: str) -> dict[str, str]:
    """What the docstrings below the members of the enum `name` say, by member."""
    tree = ast.parse(Path(states.__file__).read_text())
    (body,) = (
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name
    )
    found: dict[str, str] = {}
    member = ""
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=member)]):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if member:
                found[member] = " ".join(text.split())
    return found


def draw_page() -> str:
    """The page."""
    lines = [HEAD, "```mermaid", states.draw().rstrip(), "```"]
    for title, members in (("State", State), ("Event", Event)):
        said = meanings(title)
        lines += ["", f"| {title.lower()} | |", "|---|---|"]
        lines += [f"| `{member}` | {said[member.name]} |" for member in members]
    lines += ["", "| in | when | then | effects |", "|---|---|---|---|"]
    for (state, event), (following, effects) in TRANSITIONS.items():
        words = [f"**{effect}**" if effect in ACTING else str(effect) for effect in effects]
        lines.append(f"| {state} | {event} | {following} | {', '.join(words) or '–'} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write or check the page; the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/reference/agent-states.md.")
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if stale")
    arguments = parser.parse_args()
    fresh = draw_page()
    if PAGE.exists() and PAGE.read_text() == fresh:
        return 0
    if arguments.check:
        print(
            "docs/reference/agent-states.md no longer shows the code. Run: make docs",
            file=sys.stderr,
        )
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(fresh)
    print("docs/reference/agent-states.md: written anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
