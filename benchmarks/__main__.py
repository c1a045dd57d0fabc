# SPDX-License-Identifier: Apache-2.0
"""`make bench`: what Fieldpost does in a second, beside its bar and what it cannot do without.

Everything runs on this machine, on loopback and below the current directory.
docs/benchmarks.md says what was measured when, and on what.
"""

import os
import platform
import sys
from collections.abc import Callable, Iterable

import click
from cryptography.hazmat.backends.openssl import backend

from benchmarks import engine, kernel, lots, over_http, posts, publish, reports
from benchmarks.measure import Result

# A benchmark is a file with `results`, and a line here.
BENCHMARKS: dict[str, Callable[[], Iterable[Result]]] = {
    "kernel": kernel.results,
    "engine": engine.results,
    "http": over_http.results,
    "posts": posts.results,
    "publish": publish.results,
    "reports": reports.results,
    "lots": lots.results,
}


@click.command()
@click.option("--only", type=click.Choice(list(BENCHMARKS)), multiple=True, help="These alone.")
def main(*, only: tuple[str, ...]) -> None:
    """Measure, and print a line for each result."""
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, {backend.openssl_version_text()}, ", end="")
    print(f"load {os.getloadavg()[0]:.1f}")
    for name, results in BENCHMARKS.items():
        if not only or name in only:
            for result in results():
                print(result.line())
                sys.stdout.flush()


if __name__ == "__main__":
    main()
