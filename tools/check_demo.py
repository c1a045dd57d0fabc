# SPDX-License-Identifier: Apache-2.0
"""Whether a demonstration held and left nothing running: `check_demo.py DEMO.json`."""

import json
import os
import sys
from pathlib import Path

# Of the story's sections, all but the first and the attacks make claims of their own.
_SECTIONS = 5


def processes_about(folder: str) -> list[str]:
    """The command lines of processes that name the folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        if file.parent.name == str(os.getpid()):
            continue
        try:
            words = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if folder in words:
            found.append(words)
    return found


def main() -> None:
    """Say what happened; exit 1 if an attack succeeded or something still runs."""
    shown = json.loads(Path(sys.argv[1]).read_text())
    left = processes_about(shown["folder"])
    refused = [attack["reason"] for attack in shown["attacks"] if attack["refused"]]
    claims = shown["claims"]
    sections = {claim["section"] for claim in claims}
    sys.stdout.write(
        f"demo: {len(claims)} claims in {len(sections)} sections held, {len(refused)} attacks "
        f"refused, in {shown['seconds']} s\n"
    )
    broken = [f"{claim['section']}: {claim['says']}" for claim in claims if not claim["held"]]
    if broken:
        sys.exit(f"demo: did not hold: {broken}")
    if len(sections) < _SECTIONS or not shown["held"]:
        sys.exit(f"demo: only these sections claimed anything: {sorted(sections)}")
    if left or not refused or not shown["all_refused"]:
        sys.exit(f"demo: refused {refused}, still running {left}")


if __name__ == "__main__":
    main()
