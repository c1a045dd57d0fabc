# SPDX-License-Identifier: Apache-2.0
"""`make fuzz`: readers and endpoints under 100,000 seeded mutations, or readers under guidance.

    make fuzz                                            every reader and endpoint, 100,000 each
    make fuzz ARGS="mutations --only cbor --count 1000"  those whose name has `cbor` in it
    make fuzz ARGS="mutations --only endpoint"           requests to servers, without sockets
    make fuzz ARGS="guided --seconds 60 --only suit"     libFuzzer by atheris, a minute for each

A fault makes the exit status 1 and shows the input in hex. What reaches new code is kept
in .cache/fuzz, where the next guided run begins; the fewest and shortest inputs that reach it are
written to tests/fuzz/corpus, which `make test` replays. Commit what changed there.
"""

import argparse
import gc
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from tests.fuzz import corpus, endpoints, private_address
from tests.fuzz.campaign import Fault, check_peak, feed_all, mutations, traced
from tests.fuzz.endpoints import ENDPOINTS
from tests.fuzz.targets import TARGETS

COUNT: Final = 100_000
PEAKS: Final = 200
SLOW_S: Final = 2.0
"""No input takes longer, a loaded machine allowed for; `make test` counts work instead."""


def _mutate(task: tuple[str, int, int]) -> str:
    """All mutations of one reader; a line about them, or about the fault."""
    name, count, seed = task
    if name in ENDPOINTS:
        return _ask(name, count, seed)
    if name == private_address.NAME:
        return _ask_privately(count, seed)
    began = before = time.process_time()
    slowest = collected = 0.0

    def without_collector(phase: str, _about: dict[str, int]) -> None:
        nonlocal collected
        collected += time.process_time() * (-1 if phase == "start" else 1)

    def timed() -> Iterator[bytes]:
        nonlocal slowest, before, collected
        for data in mutations(name, TARGETS[name], count, seed=seed):
            before, collected = time.process_time(), 0.0
            yield data
            slowest = max(slowest, time.process_time() - before - collected)

    # A full collection looks at all that this program keeps, a second on a loaded machine, and
    # falls to whichever input comes then.
    gc.callbacks.append(without_collector)
    try:
        outcomes = feed_all(name, timed())
        with traced():
            for data in mutations(name, TARGETS[name], min(PEAKS, count), seed=seed + 1):
                check_peak(name, data)
    except Fault as fault:
        return f"FAULT {fault}"
    finally:
        gc.callbacks.remove(without_collector)
    if slowest > SLOW_S:
        return f"FAULT {name}: an input took {slowest:.1f} s"
    return (
        f"ok {name}: {count} mutations, {outcomes[True]} read, {outcomes[False]} refused, "
        f"slowest {1000 * slowest:.0f} ms, {time.process_time() - began:.0f} s"
    )


def _ask(name: str, count: int, seed: int) -> str:
    """All mutations of requests to one endpoint; a line about them, or about the fault."""
    began = time.process_time()
    try:
        statuses, slowest_s = endpoints.feed_mutations(name, count, seed=seed)
        kept = endpoints.check_keeps_nothing(name, min(endpoints.TWICE, count), seed=seed)
    except Fault as fault:
        return f"FAULT {fault}"
    shown = " ".join(f"{status}:{times}" for status, times in sorted(statuses.items()))
    return (
        f"ok {name}: {count} mutations, {shown}, slowest {1000 * slowest_s:.0f} ms, "
        f"{kept} bytes kept, {time.process_time() - began:.0f} s"
    )


def _ask_privately(count: int, seed: int) -> str:
    """The same for the address that the operator alone reads."""
    began = time.process_time()
    try:
        statuses = private_address.feed_mutations(count, seed=seed)
    except Fault as fault:
        return f"FAULT {fault}"
    shown = " ".join(f"{status}:{times}" for status, times in sorted(statuses.items()))
    seconds = time.process_time() - began
    return f"ok {private_address.NAME}: {count} mutations, {shown}, {seconds:.0f} s"


def _guide(seconds: int, name: str) -> int:
    """One reader in a process of its own, whose code is instrumented; 1 if there was a fault."""
    command = [sys.executable, "-m", "tests.fuzz.guided", name, str(seconds)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    last = [line for line in ran.stderr.splitlines() if line.startswith("Done ")]
    good = last and not ran.returncode
    if not good:
        print(f"FAULT {name}\n{ran.stderr}")  # noqa: T201
        return 1
    before, now = corpus.keep(name)
    print(f"ok {name}: {last[-1]}; kept inputs: {before} before, {now} now")  # noqa: T201
    return 0


def main() -> int:
    """Run what the command line says; 1 if there was a fault."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("mode", nargs="?", choices=("mutations", "guided"), default="mutations")
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--count", type=int, default=COUNT, help="mutations of each")
    parser.add_argument("--seconds", type=int, default=30, help="guidance of each reader")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other mutations")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.mode == "guided":
        return max(map(partial(_guide, options.seconds), (n for n in TARGETS if options.only in n)))
    names = [name for name in (*TARGETS, *ENDPOINTS, private_address.NAME) if options.only in name]
    tasks = [(name, options.count, options.seed) for name in names]
    faults = 0
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for number, line in enumerate(pool.imap_unordered(_mutate, tasks), 1):
            faults += line.startswith("FAULT")
            print(f"[{number}/{len(tasks)}] {line}", flush=True)  # noqa: T201 - it is a program
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
