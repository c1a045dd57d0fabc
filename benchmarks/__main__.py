# SPDX-License-Identifier: Apache-2.0
"""`make bench`: what Fieldpost does in a second, beside its bar and what it cannot do without.

Everything runs on this machine, on loopback and below the current directory.
docs/benchmarks.md says what was measured when, and on what.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import click
from cryptography.hazmat.backends.openssl import backend

from benchmarks import (
    check_in_sizes,
    check_in_work,
    crowd,
    engine,
    footprint,
    images,
    lots,
    mirrors,
    monitor,
    over_http,
    posts,
    publish,
    replicated,
    reports,
    state_sync,
    wide_maps,
    witness,
)
from benchmarks.measure import Result

# A benchmark is a file with `results`, and a line here.
BENCHMARKS: dict[str, Callable[[], Iterable[Result]]] = {
    "http": over_http.results,
    "sizes": check_in_sizes.results,
    "work": check_in_work.results,
    "map": wide_maps.results,
    "images": images.results,
    "footprint": footprint.results,
    "crowd": crowd.results,
    "engine": engine.results,
    "posts": posts.results,
    "publish": publish.results,
    "reports": reports.results,
    "lots": lots.results,
    "witness": witness.results,
    "mirror": mirrors.results,
    "monitor": monitor.results,
}
# Those that are measured only when they are asked for.
APART: dict[str, Callable[[], Iterable[Result]]] = {
    "cluster": replicated.results,
    "state-sync": state_sync.results,
}


@click.command()
@click.option(
    "--only", type=click.Choice([*BENCHMARKS, *APART]), multiple=True, help="These alone."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="All of it, to a file.")
def main(*, only: tuple[str, ...], json_file: Path | None) -> None:
    """Measure, and print a line for each result."""
    about = {
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "openssl": backend.openssl_version_text(),
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    print(", ".join(f"{name} {text}" for name, text in about.items()))
    found: list[Result] = []
    for name, results in (BENCHMARKS | APART).items():
        if name in only or (not only and name in BENCHMARKS):
            began = time.perf_counter()
            for result in results():
                found.append(result)
                print(result.line(), flush=True)
            print(f"[{name}: {time.perf_counter() - began:.0f} s]", flush=True)
    missed = [result.what.strip() for result in found if not result.is_met]
    print(f"{sum(result.bar is not None for result in found)} bars, {len(missed)} missed", end="")
    print(f": {'; '.join(missed)}" if missed else "")
    if json_file is not None:
        whole = about | {"results": [asdict(r) | {"met": r.is_met} for r in found]}
        json_file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
