# SPDX-License-Identifier: Apache-2.0
"""A reader that nobody here wrote (tlog-scales) believes the log that our code writes.

The log is a directory of static files: over 65,536 entries, so that tiles of three levels are
there, and a checkpoint with lines of all three signature types. It is read from files and over
HTTP. Then the other way round: what the outside tools sign and prove, we believe.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from tlog_scales import backend, cli, reader, signing
from tlog_scales import tlog as outside

from fieldpost.keys import Algorithm
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from fieldpost.tlog.cosignature import cosign, cosigner_key, format_cosignature
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.note import (
    ED25519,
    Note,
    VerifierKey,
    format_note,
    format_vkey,
    parse_vkey,
)
from fieldpost.tlog.offline import parse_offline_proof, verify_offline_proof
from fieldpost.tlog.policy import Group, Log, Policy, Witness
from fieldpost.tlog.proof import prove_consistency, prove_inclusion, verify_consistency
from fieldpost.tlog.tiles import (
    encode_entry_bundle,
    encode_tile,
    entries_path,
    tile_path,
    tiles_for,
)
from fieldpost.tlog.tree import MemoryTree, read_compact_range
from fieldpost.tlog.treehead import format_checkpoint

ORIGIN = "board.example/1"
SIZE = 65_536 + 3 * 256 + 17
PUBLISHED = [1, 255, 256, 700, 65_536, SIZE]
INDEXES = [0, 1, 255, 256, 65_535, 65_536, SIZE - 2, SIZE - 1]

LOG = DeterministicSigner(Algorithm.ED25519, "log")
OLD = DeterministicSigner(Algorithm.ED25519, "operator")
NEW = DeterministicSigner(Algorithm.ML_DSA_44, "operator")
LOG_KEY = VerifierKey(ORIGIN, ED25519, LOG.public_key.raw)
OLD_KEY = cosigner_key("operator.example/old", OLD.public_key)
NEW_KEY = cosigner_key("operator.example/new", NEW.public_key)
KEYS = [LOG_KEY, OLD_KEY, NEW_KEY]
POLICY = Policy(
    logs=(Log(LOG_KEY),),
    witnesses=(Witness("old", OLD_KEY), Witness("new", NEW_KEY)),
    groups=(Group("both", 2, ("old", "new")),),
    quorum="both",
)


@dataclass(frozen=True)
class WrittenLog:
    """A log on disk, with what its writer knows about it."""

    folder: Path
    entries: list[bytes]
    tree: MemoryTree
    checkpoint: Checkpoint

    def root(self, size: int) -> bytes:
        return read_compact_range(self.tree, size=size).root()


def sign(checkpoint: Checkpoint) -> bytes:
    first = cosign(checkpoint, name=OLD_KEY.name, signer=OLD, timestamp=1_790_000_000)
    second = cosign(checkpoint, name=NEW_KEY.name, signer=NEW, timestamp=1_790_000_007)
    lines = (
        sign_checkpoint(checkpoint, name=ORIGIN, signer=LOG),
        format_cosignature(first, name=OLD_KEY.name),
        format_cosignature(second, name=NEW_KEY.name),
    )
    return format_note(Note(format_checkpoint(checkpoint), lines))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> WrittenLog:
    folder = tmp_path_factory.mktemp("log")
    entries = [b"entry %d" % index for index in range(SIZE)]
    entries[256] = b""
    entries[65_536] = b"x" * 65_535
    tree = MemoryTree(leaf_hash(entry) for entry in entries)
    old = 0
    for size in PUBLISHED:
        for tile in tiles_for(old, size):
            write(folder / tile_path(tile), encode_tile(tree.read_hashes(tile.positions())))
            if tile.level == 0:
                first = tile.index * 256
                bundle = encode_entry_bundle(entries[first : first + tile.width])
                write(folder / entries_path(tile), bundle)
        old = size
    checkpoint = Checkpoint(ORIGIN, SIZE, tree.root())
    write(folder / "checkpoint", sign(checkpoint))
    return WrittenLog(folder, entries, tree, checkpoint)


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class QuietHandler(SimpleHTTPRequestHandler):
    """Files, without a line on stderr for each."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited name
        """Say nothing."""


@pytest.fixture(params=["files", "http"])
def scales(request: pytest.FixtureRequest, log: WrittenLog) -> Iterator[reader.TilesReader]:
    if request.param == "files":
        yield reader.TilesReader(backend.make_backend(str(log.folder)))
        return
    handler = partial(QuietHandler, directory=str(log.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        source = backend.HttpBackend(f"http://127.0.0.1:{server.server_port}")
        try:
            yield reader.TilesReader(source)
        finally:
            source.session.close()
            server.shutdown()
            thread.join()


def test_outside_reader_verifies_all_three_kinds_of_signature(scales: reader.TilesReader) -> None:
    checkpoint = scales.get_checkpoint()
    keys = [signing.Vkey.from_string(format_vkey(key)) for key in KEYS]
    assert [key.sig_type for key in keys] == [1, 4, 6]
    for key in keys:
        checkpoint.verify(key)
    assert len(signing.VkeySet(*keys).verify(checkpoint.signatures, checkpoint)) == 3


def test_outside_reader_refuses_our_signatures_over_another_root(
    scales: reader.TilesReader,
) -> None:
    true = scales.get_checkpoint()
    lie = outside.Checkpoint(true.origin, true.size, bytes(32), true.signatures)
    for key in KEYS:
        with pytest.raises(InvalidSignature):
            lie.verify(signing.Vkey.from_string(format_vkey(key)))


def test_outside_reader_finds_the_signed_root_in_our_tiles(
    scales: reader.TilesReader, log: WrittenLog
) -> None:
    checkpoint = scales.get_checkpoint()
    assert scales.calculate_root_hash() == checkpoint.root_hash == log.checkpoint.root


def test_outside_reader_proves_entries_from_our_tiles(
    scales: reader.TilesReader, log: WrittenLog
) -> None:
    root = scales.get_checkpoint().root_hash
    for index in INDEXES:
        entry = scales.get_entry(index)
        assert entry == log.entries[index]
        proof = scales.get_inclusion_proof(index, SIZE)
        proof.check(leaf_hash(entry), root)
        assert tuple(proof.node_hashes) == prove_inclusion(log.tree, index=index, size=SIZE)


def test_outside_reader_proves_growth_from_our_tiles(
    scales: reader.TilesReader, log: WrittenLog
) -> None:
    root = scales.get_checkpoint().root_hash
    for old_size in PUBLISHED:
        theirs = scales.get_consistency_proof(old_size, SIZE)
        theirs.check(log.root(old_size), root)
        ours = prove_consistency(log.tree, old_size=old_size, size=SIZE)
        assert tuple(theirs.node_hashes) == ours
        verify_consistency(
            old_size=old_size,
            old_root=log.root(old_size),
            size=SIZE,
            root=root,
            path=theirs.node_hashes,
        )


@pytest.mark.parametrize("index", INDEXES)
def test_we_believe_the_offline_proof_that_the_outside_tool_prints(
    log: WrittenLog, capsys: pytest.CaptureFixture[str], index: int
) -> None:
    args = cli.build_parser().parse_args(["gen-proof", str(log.folder), str(index)])
    args.func(args)
    proof = parse_offline_proof(capsys.readouterr().out.encode())
    assert verify_offline_proof(log.entries[index], proof, POLICY) == log.checkpoint


def test_we_believe_checkpoints_that_the_outside_tool_signs(log: WrittenLog) -> None:
    signers: list[signing.CheckpointSigner] = [
        signing.PlainEd25519Signer(ORIGIN, b"1" * 32),
        signing.MLDSA44CosignatureSigner("cosigner.example", b"2" * 32),
    ]
    theirs = outside.Checkpoint.make_signed(ORIGIN, SIZE, log.checkpoint.root, signers)
    texts = [signer.vkey.serialize() for signer in signers]  # type: ignore[no-untyped-call]
    keys = [parse_vkey(text) for text in texts]
    checkpoint, verified = open_checkpoint(theirs.serialize().encode(), keys, origin=ORIGIN)
    assert checkpoint == log.checkpoint
    assert [signature.key for signature in verified] == keys
