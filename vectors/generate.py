# SPDX-License-Identifier: Apache-2.0
"""Writes the vectors and the generated parts of the spec, or checks that they are as it writes.

    python vectors/generate.py            write
    python vectors/generate.py --check    compare, exit 1 and name the files that differ

Everything follows from fixed seeds, so any machine writes the same bytes. ML-DSA-44 signatures
are hedged: the few that are needed are made once, kept in `fixed/`, and only verified from then on.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from vectors.sections import (  # noqa: E402 - found through the line above
    cbor,
    chains,
    check_in,
    evidence,
    example,
    going_back,
    identity,
    keys,
    log,
    manifests,
    offers,
    offline,
    posts,
    records,
    state_evidence,
    state_map,
    tables,
)

SECTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "cbor": cbor.make,
    "keys": keys.make,
    "log": log.make,
    "state-map": state_map.make,
    "records": records.make,
    "posts": posts.make,
    "manifests": manifests.make,
    "identity": identity.make,
    "offers": offers.make,
    "chains": chains.make,
    "check-in": check_in.make,
    "evidence": evidence.make,
    "state-evidence": state_evidence.make,
    "going-back": going_back.make,
    "offline": offline.make,
}


def files() -> dict[Path, str]:
    """The content of every generated file, by path."""
    made = {
        ROOT / "vectors" / f"{name}.json": json.dumps(make(), indent=1, ensure_ascii=True) + "\n"
        for name, make in SECTIONS.items()
    }
    spec = ROOT / "docs" / "spec"
    return made | tables.make(spec) | {spec / "example.md": example.make()}


def main(arguments: list[str]) -> int:
    """Write, or with --check compare. The exit status."""
    different = [
        path
        for path, text in files().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if arguments == ["--check"]:
        for path in different:
            print(f"{path.relative_to(ROOT)} is not what vectors/generate.py writes")
        return 1 if different else 0
    if arguments:
        print(__doc__)
        return 2
    made = files()
    for path in different:
        path.write_text(made[path], encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
