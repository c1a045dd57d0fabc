# SPDX-License-Identifier: Apache-2.0
"""The kernel beside the cryptography that it cannot do without: one thread, no disk, no network."""

from collections.abc import Iterator
from hashlib import sha256

from benchmarks.measure import Result, rate, repeated
from fieldpost.checkin.belief import believe
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.verify import verify_bundle
from fieldpost.identity.leaf import DeviceLeaf
from fieldpost.identity.lot import LotTree
from fieldpost.keys import Algorithm
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.statemap import StateMap
from fieldpost.testing.bundles import PaperBoard
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.cosignature import verify_cosignature
from fieldpost.tlog.hashing import leaf_hash, node_hash

_KEYS = 100_000
_WRITES = 100


def results() -> Iterator[Result]:
    """Measure one after the other."""
    yield _state_map()
    yield _check_in()
    yield _lot()


def _state_map() -> Result:
    def key(number: int) -> bytes:
        return sha256(number.to_bytes(8, "big")).digest()

    full = StateMap.build((key(n), bytes(100)) for n in range(_KEYS))
    steps = [{key(n * 7_919 % _KEYS): n.to_bytes(8, "big")} for n in range(_WRITES)]
    batch = {key: value for step in steps for key, value in step.items()}

    def update() -> int:
        for _ in range(20):
            full.update(batch)
        return 20 * _WRITES

    # Every changed leaf, and every inner node above one of them, once in a batch.
    inner = {
        (bit, int.from_bytes(key, "big") >> (256 - bit))
        for key in batch
        for bit in full.prove(key)[1][::33]
    }
    hashes = len(batch) + len(inner)

    def hash_alone() -> int:
        node = bytes(66)
        for _ in range(20 * hashes):
            sha256(node).digest()
        return 20 * _WRITES

    return Result(
        what=f"state map of {_KEYS:,} keys, batches of {_WRITES} writes",
        unit="writes/s",
        ours=rate(update),
        against="its SHA-256 alone",
        theirs=rate(hash_alone),
    )


def _check_in() -> Result:
    board = PaperBoard(operators=4, witnesses=2)
    belief, _ = believe(board.provisioning())
    board.offer(board.release(11))
    data = board.bundle()
    bundle = decode_bundle(data, most_bytes=MAX_PROOF_BYTES)
    keys = {key.key_id: key for op in board.board_record.operators for key in op.cosigner_keys}
    keys |= {witness.key.key_id: witness.key for witness in board.board_record.witnesses}
    checkpoint = board.checkpoint

    def signatures_alone() -> None:
        for cosignature in bundle.cosignatures:
            verify_cosignature(keys[cosignature.key_id], checkpoint, cosignature)

    return Result(
        what=f"check-in verified, {len(bundle.cosignatures)} Ed25519 cosignatures",
        unit="bundles/s",
        ours=rate(
            repeated(lambda: verify_bundle(belief, data, key=board.head_key, now=board.time))
        ),
        against="its signatures alone",
        theirs=rate(repeated(signatures_alone)),
    )


def _lot() -> Result:
    key = DeterministicSigner(Algorithm.ED25519, "device").public_key
    leaves = [DeviceLeaf(f"SN{n}", key, bytes(16)).encode() for n in range(_KEYS)]

    def build() -> int:
        LotTree.build(leaves)
        return len(leaves)

    def hash_alone() -> int:
        row = [leaf_hash(leaf) for leaf in leaves]
        while len(row) > 1:
            row = [node_hash(*row[i : i + 2]) for i in range(0, len(row) - 1, 2)]
        return len(leaves)

    return Result(
        what=f"lot of {_KEYS:,} devices, tree built",
        unit="devices/s",
        ours=rate(build),
        against="its SHA-256 alone",
        theirs=rate(hash_alone),
    )
