# SPDX-License-Identifier: Apache-2.0
"""Signed reports per second over HTTP, one to a request: verified, judged, and on the disk.

Devices of one lot report that a release is confirmed, then that it still runs. The reports were
signed beforehand; the sender shares the machine.
"""

import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from benchmarks.makers import MakerCrowd
from benchmarks.measure import Result
from benchmarks.processes import node
from benchmarks.senders import request, send
from fieldpost import cbor
from fieldpost.client.transport import HttpClient
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.identity.report_envelope import TYPE
from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner

_DEVICES = 6_000
_ROUNDS = 3
_CONNECTIONS = 256


def results() -> Iterator[Result]:
    """One algorithm after the other, each in a lot of its own."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        crowd = MakerCrowd(Path(name) / "data", makers=1)
        with node(crowd.data) as board:
            for algorithm in (Algorithm.ED25519, Algorithm.ESP256):
                devices = [DeterministicSigner(algorithm, f"{n}") for n in range(_DEVICES)]
                _enrol(board.url, crowd, devices)
                measured: list[tuple[float, float]] = []
                for boot in range(_ROUNDS):
                    reports = [_report(crowd.board, device, boot) for device in devices]
                    before = board.cpu_s()
                    load = send(board.url, reports, connections=_CONNECTIONS)
                    measured.append((load.rate, (board.cpu_s() - before) / len(reports)))
                rate, cpu = max(measured)
                what = f"reports, {algorithm.name}, {_CONNECTIONS} connections"
                yield Result(what=what, unit="reports/s", ours=rate, bar=2_000)
                yield Result(what="  processor time for each", unit="µs", ours=cpu * 1e6)


def _enrol(url: str, crowd: MakerCrowd, devices: list[DeterministicSigner]) -> None:
    leaves = sorted(
        DeviceLeaf(f"SN{n}", device.public_key, crowd.class_id).encode()
        for n, device in enumerate(devices)
    )
    root = LotTree.build(leaves).root
    lot, post = crowd.lot(count=len(leaves), root=root)
    with HttpClient(url) as http:
        http.send("POST", "/v1/posts", post, content_type="application/cose")
        path = f"/v1/lots/{lot.hex()}/leaves"
        http.send("PUT", path, cbor.encode(leaves), content_type="application/cbor")


def _report(board: str, device: DeterministicSigner, boot: int) -> bytes:
    report = Report(
        board=board,
        device=device.public_key.thumbprint(),
        boot_count=boot + 1,
        counter=1,
        components=(ReportedComponent(0, 1, sha256(b"image").digest()),),
        outcome=Outcome.CONFIRMED,
        head=(2 + boot, bytes(32), 1_800_000_000 + boot),
    )
    return request("POST", "/v1/reports", sign_report(report, device), TYPE)
