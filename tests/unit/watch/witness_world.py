# SPDX-License-Identifier: Apache-2.0
"""A witness on loopback with the real database, application and server, and a log that asks it."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fieldpost.client.transport import HttpClient
from fieldpost.client.witness import add_checkpoint
from fieldpost.keys import Algorithm
from fieldpost.node.server import Server
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import Checkpoint, sign_checkpoint
from fieldpost.tlog.hashing import EMPTY_ROOT, Hash, leaf_hash
from fieldpost.tlog.note import ED25519, Note, NoteSignature, VerifierKey, format_note
from fieldpost.tlog.proof import prove_consistency
from fieldpost.tlog.tree import MemoryTree, read_compact_range
from fieldpost.tlog.treehead import format_checkpoint
from fieldpost.tlog.witness import format_add_checkpoint
from fieldpost.watch.witness.app import OpenWitness, open_witness
from fieldpost.watch.witness.keys import keys_directory, make_keys
from fieldpost.watch.witness.logs import KnownLog
from fieldpost.watch.witness.sources import BoardSource

NOW = 1_800_000_000
NAME = "witness.test/1"


class ToyLog:
    """A log of any entries under one origin, signed by the keys that `seeds` make."""

    def __init__(self, origin: str = "log.test/1", *seeds: str, entries: str = "entry") -> None:
        self.origin = origin
        self.signers = [DeterministicSigner(Algorithm.ED25519, s) for s in seeds or ("log",)]
        self.tree = MemoryTree(leaf_hash(f"{entries} {n}".encode()) for n in range(300))

    def keys(self) -> tuple[VerifierKey, ...]:
        return tuple(VerifierKey(self.origin, ED25519, s.public_key.raw) for s in self.signers)

    def known(self) -> KnownLog:
        return KnownLog(self.origin, self.keys())

    def checkpoint(self, size: int) -> Checkpoint:
        root = read_compact_range(self.tree, size=size).root() if size else EMPTY_ROOT
        return Checkpoint(self.origin, size, root)

    def note(self, size: int, *more: NoteSignature, root: Hash | None = None) -> bytes:
        checkpoint = self.checkpoint(size)
        if root is not None:
            checkpoint = Checkpoint(self.origin, size, root)
        lines = [
            sign_checkpoint(checkpoint, name=self.origin, signer=signer) for signer in self.signers
        ]
        return format_note(Note(format_checkpoint(checkpoint), (*lines, *more)))

    def proof(self, old: int, size: int) -> tuple[Hash, ...]:
        return prove_consistency(self.tree, old_size=old, size=size) if old else ()

    def request(self, old: int, size: int) -> bytes:
        return format_add_checkpoint(old, self.proof(old, size), self.note(size))


@dataclass(slots=True)
class ServedWitness:
    """A witness that serves; its clock stands still until a test moves it."""

    open: OpenWitness
    http: HttpClient
    clock: list[int]

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        return self.open.service.keys.vkeys()

    def ask(self, log: ToyLog, old: int, size: int) -> tuple[NoteSignature, ...]:
        return add_checkpoint(
            self.http, old_size=old, proof=log.proof(old, size), note=log.note(size), state=None
        )


@contextmanager
def served(
    data: Path,
    *logs: KnownLog,
    boards: Sequence[BoardSource] = (),
    clock: Sequence[int] = (NOW,),
    post_quantum: bool = False,
) -> Iterator[ServedWitness]:
    """Serve the witness in `data`, whose keys are made if there are none."""
    if not keys_directory(data).exists():
        make_keys(data, NAME, post_quantum=post_quantum)
    moment = list(clock)
    with open_witness(
        data,
        logs={log.origin: log for log in logs},
        boards=tuple(boards),
        clock=lambda: moment[0],
    ) as witness:
        ready = threading.Event()
        server = Server(
            witness.app, listen=[("127.0.0.1", 0)], limits=witness.limits, on_ready=ready.set
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            assert ready.wait(60)
            with HttpClient(server.url, timeout_s=60) as http:
                yield ServedWitness(witness, http, moment)
        finally:
            server.stop()
            thread.join(timeout=60)
