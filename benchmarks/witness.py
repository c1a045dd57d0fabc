# SPDX-License-Identifier: Apache-2.0
"""A witness's add-checkpoint requests per second over HTTP, each durable before its answer.

Many logs, each of which grows three times. The requests were signed beforehand; the sender shares
the machine.
"""

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks.measure import Result
from benchmarks.processes import witness
from benchmarks.senders import request, send
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import Checkpoint, sign_checkpoint
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import ED25519, Note, VerifierKey, format_note, format_vkey
from fieldpost.tlog.proof import prove_consistency
from fieldpost.tlog.tree import MemoryTree, read_compact_range
from fieldpost.tlog.treehead import format_checkpoint
from fieldpost.tlog.witness import format_add_checkpoint
from fieldpost.watch.witness.keys import make_keys

_LOGS = 2_000
_SIZES = (0, 1_000, 1_077, 1_500)
_CONNECTIONS = 128


def results() -> Iterator[Result]:
    """With an Ed25519 key alone, and with ML-DSA-44 beside it."""
    logs = [DeterministicSigner(Algorithm.ED25519, f"log {n}") for n in range(_LOGS)]
    tree = MemoryTree(leaf_hash(b"%d" % n) for n in range(_SIZES[-1]))
    for post_quantum in (False, True):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
            yield from _measure(Path(name), logs, tree, post_quantum=post_quantum)


def _measure(
    folder: Path, logs: list[DeterministicSigner], tree: MemoryTree, *, post_quantum: bool
) -> Iterator[Result]:
    keys = "Ed25519 and ML-DSA-44" if post_quantum else "Ed25519"
    make_keys(folder / "data", "witness.bench/1", post_quantum=post_quantum)
    policy = folder / "logs.policy"
    lines = [f"log {format_vkey(_key(n, signer))}\n" for n, signer in enumerate(logs)]
    policy.write_text("".join(lines) + "quorum none\n")
    grown: list[tuple[float, float]] = []
    with witness(folder / "data", policy) as served:
        for old, size in pairwise(_SIZES):
            root = read_compact_range(tree, size=size).root()
            proof = prove_consistency(tree, old_size=old, size=size) if old else ()
            requests = [
                _request(Checkpoint(f"log.bench/{n}", size, root), signer, old, proof)
                for n, signer in enumerate(logs)
            ]
            before = served.cpu_s()
            load = send(served.url, requests, connections=_CONNECTIONS)
            grown.append((load.rate, (served.cpu_s() - before) / len(requests)))
        rate, cpu = max(grown)
        yield Result(what=f"witness, {_LOGS:,} logs grow, {keys}", unit="per s", ours=rate)
        yield Result(what="  processor time for each", unit="µs", ours=cpu * 1e6)
        yield Result(what="  waits, 99 of 100", unit="ms", ours=load.wait(0.99) * 1_000)
        yield Result(what="  memory", unit="MB", ours=served.peak_mb())


def _key(number: int, signer: DeterministicSigner) -> VerifierKey:
    return VerifierKey(f"log.bench/{number}", ED25519, signer.public_key.raw)


def _request(
    checkpoint: Checkpoint, signer: DeterministicSigner, old: int, proof: tuple[bytes, ...]
) -> bytes:
    signature = sign_checkpoint(checkpoint, name=checkpoint.origin, signer=signer)
    note = format_note(Note(format_checkpoint(checkpoint), (signature,)))
    body = format_add_checkpoint(old, proof, note)
    return request("POST", "/add-checkpoint", body, "text/plain")
