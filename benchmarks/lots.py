# SPDX-License-Identifier: Apache-2.0
"""A lot of a million devices: hashed, made a tree, posted; then the whole line of `lot enrol`.

The first number is what the bar is about: leaves in memory to an answered post, in one process.
The second is the command as a factory calls it, leaves in a file, with every check, and the upload
of all leaves to the node's fleet service, which hashes, checks and stores them once more.
"""

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import Serving, node
from fieldpost import cbor
from fieldpost.client.publisher import submit_post
from fieldpost.client.transport import HttpClient
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree
from fieldpost.keys import Algorithm, PublicKey

_DEVICES = 1_000_000
_CLASS = "bulb:r1"


def results() -> Iterator[Result]:
    """Measure one after the other, each in a process of its own."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        crowd = MakerCrowd(folder / "data", makers=1)
        with node(crowd.data) as board:
            seconds, most_mb = _in_child(lambda: _hash_tree_post(board.url, crowd))
            yield Result(
                what="lot of a million: hash, tree, post",
                unit="s",
                ours=seconds,
                bar=5,
                at_most=True,
            )
            yield Result(
                what="  memory, leaves included", unit="MB", ours=most_mb, bar=500, at_most=True
            )
            yield from _whole_line(board, folder)


def _leaves(class_: bytes) -> list[bytes]:
    """Keys that nobody has, in the form of Ed25519 ones; sorted as a lot has them."""
    keys = (PublicKey(Algorithm.ED25519, sha256(b"%d" % n).digest()) for n in range(_DEVICES))
    return sorted(DeviceLeaf(f"SN{n:07}", key, class_).encode() for n, key in enumerate(keys))


def _hash_tree_post(url: str, crowd: MakerCrowd) -> float:
    leaves = _leaves(crowd.class_id)
    with HttpClient(url, timeout_s=60) as http:
        began = time.perf_counter()
        root = LotTree.build(leaves).root
        submit_post(http, crowd.lot(count=len(leaves), root=root)[1])
        return time.perf_counter() - began


def _whole_line(board: Serving, folder: Path) -> Iterator[Result]:
    home = ["--home", str(folder / "home"), "--json"]
    _fieldpost("maker", "init", "--name", "Bulbs", "--no-passphrase", *home)
    _fieldpost("maker", "register", "--board", board.url, "--yes", *home)
    size = ("--most-devices", str(_DEVICES))
    added = _fieldpost("class", "add", _CLASS, "--support-end", "2040-12-31", *size, *home)
    class_ = bytes.fromhex(json.loads(added)["class"])
    file = folder / "leaves.cbor"
    file.write_bytes(cbor.encode(_leaves(class_)))
    began = time.perf_counter()
    _, most_mb = _in_child(
        lambda: len(_fieldpost("lot", "enrol", _CLASS, "--leaves", str(file), *home))
    )
    what = "lot of a million: `lot enrol`, leaves uploaded"
    yield Result(what=what, unit="s", ours=time.perf_counter() - began)
    yield Result(what="  memory of the command", unit="MB", ours=most_mb)
    yield Result(what="  memory of the node, at most so far", unit="MB", ours=board.peak_mb())


def _fieldpost(*arguments: str) -> bytes:
    """One command to its end; what it printed."""
    command = [sys.executable, "-m", "fieldpost.cli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def _in_child(work: Callable[[], float]) -> tuple[float, float]:
    """What `work` returns in a process of its own, and the most memory of that, in 10^6 bytes."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        value = work()
        usage = [resource.getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
        sender.send((value, max(one.ru_maxrss for one in usage) * 1_024 / 1e6))

    process = context.Process(target=run)
    process.start()
    sender.close()
    try:
        value, most_mb = receiver.recv()
    finally:
        process.join()
    return value, most_mb
