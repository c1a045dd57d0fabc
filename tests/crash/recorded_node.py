# SPDX-License-Identifier: Apache-2.0
"""A real node process, every write of which is recorded, and what a power cut at any would leave.

Three lives: a calm one, one that is killed, and one that finds what that left. One client posts,
sends manifest, image and leaves, and reports for devices, and notes after how many calls each
answer was sent. Then each cut is judged as `node_line` judges them: what was answered by then is
there, the log explains the state, the same posts are taken again; besides, the fleet's database
has the leaves and reports that were answered, and the check of the whole folder finds nothing.
"""

import json
import os
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost import cbor
from fieldpost.client.publisher import submit_post, submit_posts, upload_blob, upload_manifest
from fieldpost.client.transport import HttpClient
from fieldpost.fleet.database import FleetDb
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree
from fieldpost.identity.outcome import Outcome
from fieldpost.identity.report import Report, ReportedComponent, sign_report
from fieldpost.keys import Algorithm
from fieldpost.node.app import open_node
from fieldpost.node.config import NodeConfig
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.volatile_disk import VolatileDisk
from fieldpost.watch import fsck
from tests.crash.node_kills import READY_S, read_log
from tests.crash.node_line import NodeLine, Promises, judge
from tests.crash.recording import Recorder
from tests.unit.node.running_node import permit_of, release_of

PLAIN: Final = (sys.executable, "-m", "fieldpost.cli")
DEVICES: Final = [DeterministicSigner(Algorithm.ED25519, f"device/{n}") for n in range(3)]
FIRST, LAST = 10, 11
# The room for heads is one write, not one of megabytes that every survivor has to hold.
SMALL: Final = {"PYTHONUNBUFFERED": "1", "FIELDPOST_NODE_LIMITS_HEAD_RESERVE_BYTES": "65536"}


@dataclass
class Kept:
    """What was answered up to some moment."""

    node: Promises = field(default_factory=Promises)
    lots: list[bytes] = field(default_factory=list)
    reports: dict[bytes, tuple[int, int]] = field(default_factory=dict)


Promise = Callable[[Kept], None]


class Lives:
    """The lives of a node below `data`; `promises` are pairs of a count of calls and a promise."""

    def __init__(self, recorder: Recorder, program: Sequence[str] = PLAIN) -> None:
        self.data = recorder.root
        self.recorder = recorder
        self.promises: list[tuple[int, Promise]] = []
        self.posts: list[bytes] = []
        self.time = 0
        self._program = program
        self._orders: dict[bytes, int] = {}

    @contextmanager
    def _running(self, end: signal.Signals) -> Iterator[HttpClient]:
        command = [*self._program, "node", "run", "--data", str(self.data)]
        with subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--json"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **SMALL, **self.recorder.environment},
        ) as process:
            assert process.stdout is not None
            try:
                said = json.loads(process.stdout.readline())
                with HttpClient(said["url"], timeout_s=READY_S) as http:
                    self.world = MirroredBoard(lambda: read_log(self.data))
                    board = self.world.state.board
                    self._show(http)
                    self._promise(lambda kept: setattr(kept.node, "board", board))
                    yield http
                process.send_signal(end)
                process.wait(READY_S)
            finally:
                process.kill()

    def live(self) -> None:
        """All of it."""
        with self._running(signal.SIGTERM) as http:
            maker = self.world.maker
            self._post(http, maker.registration())
            self._post(http, maker.class_set())
            self._release(http, FIRST)
            self._enrol(http)
            self._report(http)
        with self._running(signal.SIGKILL) as http:
            lots = [sha256(bytes([n])).digest() for n in range(6)]
            self._post(http, *(self.world.maker.lot_enrol(count=1, root=root) for root in lots))
            self._report(http)
        with self._running(signal.SIGKILL) as http:
            self._release(http, LAST)
            self._report(http)
        # After the last of the node's own times; a restart is never before what it wrote.
        self.time = int(time.time()) + 60

    # --- what a client does ---

    def _promise(self, promise: Promise) -> None:
        self.promises.append((self.recorder.answered(), promise))

    def _show(self, http: HttpClient) -> None:
        note = http.fetch("/log/checkpoint", accept="text/plain")
        size, root = int(note.split(b"\n")[1]), b64decode(note.split(b"\n")[2])
        self._promise(lambda kept: kept.node.shown.update({size: root}))

    def _post(self, http: HttpClient, *entries: bytes) -> None:
        self.posts += entries
        if len(entries) == 1:
            places = [submit_post(http, entries[0]).index]
        else:
            results = submit_posts(http, entries)
            places = [getattr(result, "index", -1) for result in results]
        receipts = dict(zip(entries, places, strict=True))
        self._promise(lambda kept: kept.node.receipts.update(receipts))
        self._show(http)
        self.world.refresh()

    def _release(self, http: HttpClient, sequence: int) -> None:
        entry, made = release_of(self.world, sequence, 3_000)
        self._post(http, entry)
        digest, manifest = sha256(made.image).digest(), made.record.manifest
        upload_manifest(http, made.envelope, digest=manifest)
        self._promise(lambda kept: kept.node.manifests.update({manifest: (made.envelope,)}))
        image = self.data.with_name("image")
        image.write_bytes(made.image)
        permit = permit_of(self.world, made.image, not_after=int(time.time()) + 3_000)
        upload_blob(http, image, digest=digest, permit=permit)
        self._promise(lambda kept: kept.node.blobs.update({digest: made.image}))

    def _enrol(self, http: HttpClient) -> None:
        maker = self.world.maker
        leaves = [
            DeviceLeaf(f"SN{n}", signer.public_key, maker.class_id("tracker")).encode()
            for n, signer in enumerate(DEVICES)
        ]
        root = LotTree.build(leaves).root
        self._post(http, maker.lot_enrol(count=len(leaves), root=root))
        lot = maker.lot_id(count=len(leaves), root=root)
        path = f"/v1/lots/{lot.hex()}/leaves"
        http.send("PUT", path, cbor.encode(leaves), content_type="application/cbor")
        self._promise(lambda kept: kept.lots.append(lot))

    def _report(self, http: HttpClient) -> None:
        for signer in DEVICES:
            device = signer.public_key.thumbprint()
            order = self._orders[device] = self._orders.get(device, 0) + 1
            report = Report(
                board=self.world.state.board,
                device=device,
                boot_count=1,
                counter=order,
                components=(ReportedComponent(0, FIRST, b"i" * 32),),
                outcome=Outcome.CONFIRMED,
            )
            body = sign_report(report, signer)
            http.send("POST", "/v1/reports", body, content_type="application/eat+cwt")
            self._promise(partial(_keep_report, device=device, order=(1, order)))

    # --- what was answered by then ---

    def kept(self, count: int) -> Kept:
        """What had been answered when so many calls had been made."""
        kept = Kept()
        for at, promise in self.promises:
            if at <= count:
                promise(kept)
        return kept

    def told(self, count: int) -> int:
        """How many promises had been made by then."""
        return sum(at <= count for at, _ in self.promises)

    def judge(self, left: Path, count: int) -> None:
        """A whole start in what a cut left. Raises if a promise is broken."""
        kept = self.kept(count)
        line = NodeLine(left, VolatileDisk(left))
        line.time, line.promises = self.time, kept.node
        if kept.node.board:
            # Whoever was not answered sends again, also what nobody took yet.
            line.sent = self.posts[: len(kept.node.receipts) + 1]
        for _ in judge(line, left):
            pass
        with open_node(NodeConfig(data=left), clock=lambda: line.time):
            pass
        judge_fleet(left / "fleet.db", kept)
        report = fsck.check_folder(
            left, lambda path: (left / "log" / path).read_bytes(), progress=_silently
        )
        assert not report.damaged, [f"{one.file}: {one.what}" for one in report.damaged]


def _keep_report(kept: Kept, *, device: bytes, order: tuple[int, int]) -> None:
    kept.reports[device] = order


@contextmanager
def _silently(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


def judge_fleet(path: Path, kept: Kept) -> None:
    """Leaves and reports that were answered are there; a report may be a newer one."""
    if not path.exists():
        assert not kept.lots, "the fleet's database is gone"
        return
    db = FleetDb(path)
    try:
        for lot in kept.lots:
            assert db.has_lot(lot), "leaves that were acknowledged are not there"
        for device, order in kept.reports.items():
            seen = db.find_seen(device)
            found = (seen.boot, seen.counter) if seen else (0, 0)
            assert found >= order, f"a report that was acknowledged is lost: {order}, {found}"
    finally:
        db.close()
