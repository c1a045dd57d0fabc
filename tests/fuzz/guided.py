# SPDX-License-Identifier: Apache-2.0
"""One reader under libFuzzer's coverage guidance, by atheris: `python -m tests.fuzz.guided NAME S`.

A run begins with the seeds, the kept inputs of tests/fuzz/corpus and what lies in .cache/fuzz/NAME,
where inputs that reach new code are added. Half of the mutations are ours, which know CBOR; the
other half are libFuzzer's.
"""

import sys
from random import Random

import atheris  # type: ignore[import-untyped, import-not-found, unused-ignore] # no stubs

with atheris.instrument_imports(include=["fieldpost"]):
    from tests.fuzz import corpus, seeds
    from tests.fuzz.campaign import feed
    from tests.fuzz.mutations import mutate
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run until the time is over or there is a fault; libFuzzer ends the process."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    folder = corpus.FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate((*seeds.seeds(TARGETS[name].family), *corpus.load(name))):
        (folder / f"seed-{number}").write_bytes(seed)

    def change(data: bytes, most: int, seed: int) -> bytes:
        if seed % 2:
            return bytes(atheris.Mutate(data, most))
        return mutate(Random(seed), bytes(data), seeds.everything())[:most]

    arguments = [sys.argv[0], f"-max_total_time={seconds}", "-max_len=20000", str(folder)]
    atheris.Setup(arguments, lambda data: bool(feed(name, data)) and None, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
