# SPDX-License-Identifier: Apache-2.0
"""A node's life on one disk, what it promised on the way, and whether a restart keeps that.

`NodeLine` runs the real engine and blob store over any `Disk`. `judge` starts a second one in a
directory that a power cut left: what was acknowledged is there, every checkpoint that was ever
shown is a prefix of the log, and posts go on.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Final, cast

from fieldpost.durable import Disk
from fieldpost.engines.base import Answer, Receipt
from fieldpost.engines.board_files import create_board, is_board, keys_directory
from fieldpost.engines.embedded import EmbeddedEngine
from fieldpost.engines.operator_keys import load_signer
from fieldpost.engines.recovery import open_board
from fieldpost.engines.writer import BoardWriter
from fieldpost.ledger.batch import Included
from fieldpost.ledger.reading import find_link, read_board
from fieldpost.ledger.replay import replay
from fieldpost.node.catalog import Catalog
from fieldpost.node.config import Limits
from fieldpost.node.uploads import Upload, Uploads
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import map_keys
from fieldpost.records.identifiers import origin_of
from fieldpost.store.blobs import FileBlobs
from fieldpost.testing.actors import WitnessActor
from fieldpost.testing.mirror import MirroredBoard
from fieldpost.testing.volatile_disk import VolatileDisk
from fieldpost.testing.world import START
from fieldpost.tlog.checkpoint import Checkpoint
from fieldpost.tlog.cosignature import cosign, format_cosignature
from tests.crash.rfc6962 import root_of

# Everything that a cut may leave of a batch is judged before its posts are answered.
WAIT_S: Final = 1_800.0
ORIGIN: Final = "board.test/1"


@dataclass
class Promises:
    """What somebody outside was told and may rely on."""

    board: str = ""
    receipts: dict[bytes, int] = field(default_factory=dict)
    shown: dict[int, bytes] = field(default_factory=dict)
    blobs: dict[bytes, bytes] = field(default_factory=dict)
    manifests: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)


class _Everything:
    """A catalog in which every blob is named."""

    def check_named(self, digest: bytes, *, size: int) -> None:
        """It is."""


class NodeLine:
    """One node. Every method is one thing that a node does, and returns when it is acknowledged."""

    def __init__(self, data: Path, disk: Disk) -> None:
        self.data = data
        self.disk = disk
        self.time = START
        self.witness = WitnessActor("witness")
        self.promises = Promises()
        self.sent: list[bytes] = []
        self._engine: EmbeddedEngine | None = None

    def again(self, data: Path, disk: Disk) -> "NodeLine":
        """The next life of this node, on a copy of its data."""
        line = NodeLine(data, disk)
        line.time, line.sent = self.time, list(self.sent)
        line.promises = deepcopy(self.promises)
        return line

    # --- what a node does ---

    def create(self) -> None:
        """The first start: keys and genesis."""
        self.promises.board = create_board(
            self.data,
            origin=ORIGIN,
            now=self.time,
            witnesses=[self.witness.witness()],
            disk=self.disk,
        )

    def start(self) -> None:
        """Open the engine, which publishes."""
        self._engine = EmbeddedEngine(
            self.data, clock=lambda: self.time, uptime=lambda: 0.0, disk=self.disk
        )
        self._show(self.engine.published().checkpoint)

    def post(self, *entries: bytes) -> None:
        """Send posts, wait for their receipts."""
        self.time += 60
        self.sent += entries
        answered: Future[Sequence[Answer]] = Future()
        # In one call, so that they are one batch on the slowest machine too.
        self.engine.submit_many(entries, answered.set_result)
        for entry, answer in zip(entries, answered.result(WAIT_S), strict=True):
            if not isinstance(answer, Receipt):
                raise answer
            self.promises.receipts[entry] = answer.index
        self._show(self.engine.published().checkpoint)
        if "world" in self.__dict__:
            self.world.refresh()

    def recosign(self) -> None:
        """The epoch is over, and nothing was posted."""
        self.time += 600
        self.engine.refresh(self.time)

    def cosign_late(self) -> None:
        """A witness's cosignature comes for a size that is published."""
        head = self.engine.published().checkpoint
        name, signer = self.witness.key.name, self.witness.signer
        cosignature = cosign(head, name=name, signer=signer, timestamp=self.time)
        self.engine.add_cosignatures(head.size, [format_cosignature(cosignature, name=name)])

    def upload(self, blob: bytes) -> None:
        """A blob in two pieces, taken up where it stands, as a client does that asks with HEAD."""
        digest = sha256(blob).digest()
        catalog = cast(Catalog, _Everything())
        uploads = Uploads(self.blobs(), catalog, limits=Limits(), root=self.data)
        upload = Upload(digest, maker=bytes(16), size=len(blob))
        while not (state := uploads.state(digest, maker=upload.maker, log_size=0)).complete:
            end = len(blob) if state.offset else len(blob) // 2
            uploads.save(upload, state.offset, blob[state.offset : end])
            if end == len(blob):
                uploads.finish(upload)
                break
        self.promises.blobs[digest] = blob

    def save_manifest(self, envelope: bytes) -> None:
        """A manifest, which may replace one with fewer signatures."""
        digest = sha256(b"manifest").digest()
        if before := self.promises.manifests.get(digest):
            self.promises.manifests[digest] = (*before, envelope)
        self.blobs().save_manifest(digest, envelope)
        self.promises.manifests[digest] = (envelope,)

    def stop(self) -> None:
        """A calm end."""
        if self._engine is not None:
            self._engine.close()

    # --- what tests ask of it ---

    @property
    def engine(self) -> EmbeddedEngine:
        """The running engine."""
        assert self._engine is not None, "it was not started"
        return self._engine

    @cached_property
    def world(self) -> MirroredBoard:
        """The board as its makers see it."""
        return MirroredBoard(self.entries)

    def blobs(self) -> FileBlobs:
        """The blob store."""
        return FileBlobs(self.data / "blobs", disk=self.disk)

    def entries(self) -> list[bytes]:
        """All published entries."""
        return [self.engine.read_entry(index) for index in range(self.engine.published().size)]

    def board_set(self, **changes: object) -> bytes:
        """A `board.set` by the operator's own governance key."""
        state = self.world.state
        link = find_link(state.map, map_keys.board())
        assert link is not None, "every board has a link"
        before = read_board(state.map)
        record = replace(before, epoch=link.epoch + 1, previous=link.digest, **changes)  # type: ignore[arg-type]
        statement = Statement(
            kind="board.set",
            issuer=before.operators[0].name,
            subject=origin_of(state.board),
            audience=state.board,
            payload=record.encode(),
        )
        governance = load_signer(keys_directory(self.data) / "governance.pem")
        return sign_post(statement, [governance]).encode()

    def _show(self, checkpoint: Checkpoint) -> None:
        known = self.promises.shown.setdefault(checkpoint.size, checkpoint.root)
        assert known == checkpoint.root, "two roots for one size"


def judge(line: NodeLine, data: Path, *, disk: VolatileDisk | None = None) -> Iterator[str]:
    """A restart in `data`; each step is named before it is taken. Raises if a promise is broken."""
    promises = line.promises
    disk = disk or VolatileDisk(data)
    if not is_board(data):
        assert not promises.board, "the board is gone"
        yield "begin"
        create_board(data, origin=ORIGIN, now=line.time, disk=disk)
    yield "open"
    writer = open_board(data, disk=disk)
    try:
        yield "publish"
        head = writer.publish(line.time)
        yield "look"
        judge_board(promises, writer)
        assert head.size == writer.log.size
        yield "post again"
        send_again(line, writer)
        judge_board(promises, writer)
    finally:
        writer.close()
    judge_blobs(promises, FileBlobs(data / "blobs", disk=disk))
    left = [path for part in ("log", "keys") for path in (data / part).rglob("*.tmp")]
    assert not left, f"left over: {left}"


def judge_board(promises: Promises, writer: BoardWriter) -> None:
    """Everything acknowledged is in the log, once, and the rules explain the log."""
    entries = writer.log.read_entries(0, writer.log.size)
    assert promises.board in ("", writer.state.board), "another board"
    for size, root in promises.shown.items():
        assert size <= len(entries), f"{size} entries were shown, {len(entries)} are left"
        assert stranger_root(tuple(entries[:size])) == root, (
            f"another history than was shown at {size}"
        )
    for entry, index in promises.receipts.items():
        assert entries[index] == entry, f"what was acknowledged at {index} is not there"
        digest = sha256(entry).digest()
        assert writer.find_receipts([digest])[digest].index == index
    posts = [entry for entry in entries if entry in promises.receipts]
    assert len(posts) == len(set(posts)), "a post is there twice"
    assert explain(tuple(entries)) == writer.state.map.root, "the log does not explain the state"
    assert stranger_root(tuple(entries)) == writer.log.compact_range().root()


@cache
def explain(entries: tuple[bytes, ...]) -> bytes:
    """The root of the state that the rules make of a log. The same logs come again and again."""
    return replay(None, entries).map.root


@cache
def stranger_root(entries: tuple[bytes, ...]) -> bytes:
    """The root of a log, by somebody else's reading of the RFC."""
    return root_of(entries)


def send_again(line: NodeLine, writer: BoardWriter) -> None:
    """Whoever has no receipt sends the same bytes again, and gets one."""
    waiting = [entry for entry in line.sent if entry not in line.promises.receipts]
    lost = [entry for entry in waiting if not has_receipt(writer, entry)]
    outcomes = writer.commit(lost, time=line.time)
    assert all(isinstance(outcome, Included) for outcome in outcomes), outcomes
    writer.publish(line.time)
    assert all(has_receipt(writer, entry) for entry in waiting)


def has_receipt(writer: BoardWriter, entry: bytes) -> bool:
    """Whether a post is in the log, as the state database says."""
    return bool(writer.find_receipts([sha256(entry).digest()]))


def judge_blobs(promises: Promises, blobs: FileBlobs) -> None:
    """What was acknowledged is whole, and so is everything under a final name."""
    for digest, blob in promises.blobs.items():
        assert blobs.read(digest, 0, len(blob) + 1) == blob, "an acknowledged blob is not there"
    for digest, allowed in promises.manifests.items():
        assert blobs.load_manifest(digest) in allowed, "an acknowledged manifest is not there"
    for path in blobs.path(bytes(32)).parents[2].rglob("*"):
        if path.is_file():
            assert sha256(path.read_bytes()).hexdigest() == path.name, "a blob is not what it says"
