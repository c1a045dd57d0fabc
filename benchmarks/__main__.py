# SPDX-License-Identifier: Apache-2.0
"""`make bench`: what Fieldpost does in a second, side by side with what it cannot do without.

Everything runs on this machine, on loopback and below the current directory, for about a minute.
docs/benchmarks.md says what was measured when, and on what.
"""

import os
import platform
import ssl
import sys

import click

from benchmarks import engine, kernel, over_http


@click.command()
@click.option("--only", type=click.Choice(["kernel", "engine", "http"]), help="One part alone.")
def main(*, only: str | None) -> None:
    """Measure, and print a line for each result."""
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}")
    parts = {"kernel": kernel.results, "engine": engine.results, "http": over_http.results}
    for name, results in parts.items():
        if only in (None, name):
            for result in results():
                print(result.line())
                sys.stdout.flush()


main()
