# SPDX-License-Identifier: Apache-2.0
"""How many bytes a check-in has: real encodings for the fixed parts, exact odds for the rest.

    size = fixed (head of two offers, state leaf, cosignatures)      encoded here
         + 33 × steps in the state map                               counted in a real map
         + 34 × ones in the state leaf's index                       every index in 2^23…2^24

Both last ones are as random as SHA-256 and as the moment at which a device asks. So there are two
worst sizes. The worst moment, an index of ones alone, comes to every key, once while the log
doubles: that with the mean key is what the bar means, whose arithmetic is the longest edge with a
usual path. The worst of all is the deepest key that was found at that moment; nobody can promise
that there is no deeper one, so its odds are printed, and those of being over the bar.
"""

from collections import Counter
from collections.abc import Iterator
from math import comb
from random import Random

from benchmarks.measure import Result
from benchmarks.wide_maps import key_of, wide_map
from fieldpost.checkin.bundle import Bundle, decode_bundle, encode_bundle
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.statemap.tree import StateMap
from fieldpost.testing.bundles import PaperBoard
from fieldpost.tlog.hashing import HASH_BYTES

MEAN_BAR = 1_650
WORST_BAR = 2_050
_STEP_BYTES = 33
_EDGE_BYTES = HASH_BYTES + 2
_INDEX_BITS = 23
_SAMPLE = 100_000

Odds = dict[int, float]


def results() -> Iterator[Result]:
    """Maps of 10^3 and 10^6 keys; 1, 3 and 7 cosignatures."""
    for keys in (10**3, 10**6):
        steps = _steps(wide_map(keys), keys)
        for cosignatures in (1, 3, 7):
            yield from _judge(steps, keys, cosignatures)


def fixed_bytes(cosignatures: int) -> int:
    """What does not vary: a bundle without map path and edge, whose arrays and heads are large."""
    board = PaperBoard(operators=1, witnesses=cosignatures - 1)
    board.offer(board.release(20_002), board.release(20_001))
    real = decode_bundle(board.bundle(), most_bytes=MAX_PROOF_BYTES)
    sample = Bundle(
        value=real.value,
        path=bytes(20 * _STEP_BYTES),
        # Numbers of this board are small: those of a large one take 4 bytes and not 1, thrice.
        state_leaf=real.state_leaf + bytes(3 * 4),
        edge=(bytes(HASH_BYTES),) * 12,
        cosignatures=real.cosignatures,
    )
    return len(encode_bundle(sample)) - 20 * _STEP_BYTES - 12 * _EDGE_BYTES


def _steps(full: StateMap, keys: int) -> Odds:
    """How likely a map path has so many steps, counted for real keys of a real map."""
    numbers = Random(1).sample(range(keys), min(keys, _SAMPLE))
    counts = Counter(len(full.prove(key_of(n))[1]) // _STEP_BYTES for n in numbers)
    return {steps: count / len(numbers) for steps, count in counts.items()}


def sizes(steps: Odds, fixed: int) -> Odds:
    """How likely a check-in has so many bytes, at a moment of the log between 2^23 and 2^24."""
    odds: Odds = {}
    for more in range(_INDEX_BITS + 1):
        # Of the numbers in 2^23…2^24 - 1, so many have 1 + `more` ones.
        share = comb(_INDEX_BITS, more) / 2**_INDEX_BITS
        for count, likely in steps.items():
            size = fixed + count * _STEP_BYTES + (1 + more) * _EDGE_BYTES
            odds[size] = odds.get(size, 0) + share * likely
    return odds


def _judge(steps: Odds, keys: int, cosignatures: int) -> Iterator[Result]:
    what = f"check-in, {keys:,} keys, {cosignatures} cosignatures"
    is_bar = keys == 10**6 and cosignatures == 3
    fixed = fixed_bytes(cosignatures)
    odds = sizes(steps, fixed)
    bar = MEAN_BAR if is_bar else None
    yield Result(what=f"{what}, mean", unit="bytes", ours=_mean(odds), bar=bar, at_most=True)
    for share in (0.99, 0.9999) if is_bar else (0.9999,):
        size = _quantile(odds, share)
        yield Result(what=f"  {share:.2%} are at most", unit="bytes", ours=size)
    longest = fixed + (1 + _INDEX_BITS) * _EDGE_BYTES
    what = "  worst moment (24 ones), mean key"
    bar = WORST_BAR if is_bar else None
    size_then = longest + _mean(steps) * _STEP_BYTES
    yield Result(what=what, unit="bytes", ours=size_then, bar=bar, at_most=True)
    deepest = max(steps)
    what = f"  worst of all: that moment, deepest key ({deepest} steps)"
    yield Result(what=what, unit="bytes", ours=longest + deepest * _STEP_BYTES)
    if is_bar:
        likely = 1e12 * steps[deepest] / 2**_INDEX_BITS
        yield Result(what="    which is so likely", unit="of 10^12", ours=likely)
        over = 1e8 * sum(likely for size, likely in odds.items() if size > WORST_BAR)
        yield Result(what=f"  over {WORST_BAR:,} bytes are", unit="of 10^8", ours=over)


def _mean(odds: Odds) -> float:
    return sum(count * likely for count, likely in odds.items())


def _quantile(odds: Odds, share: float) -> int:
    total = 0.0
    for size in sorted(odds):
        total += odds[size]
        if total >= share:
            break
    return size
