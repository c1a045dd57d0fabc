# SPDX-License-Identifier: Apache-2.0
"""A device's work for one check-in, beside the signature checks in it: one thread, no disk.

The bundle is of the size that a large board gives: two offers, about 20 steps of map path, 12
hashes of edge, 3 cosignatures. Both sides are measured in turns of a few milliseconds, in processor
time.
"""

import time
from collections.abc import Callable, Iterator
from hashlib import sha256

from benchmarks.measure import Result
from fieldpost.checkin.belief import believe
from fieldpost.checkin.bundle import decode_bundle
from fieldpost.checkin.manifests import verify_release
from fieldpost.checkin.verify import verify_bundle
from fieldpost.keys import PublicKey, verify_signature
from fieldpost.records.limits import MAX_PROOF_BYTES
from fieldpost.records.maker import Role
from fieldpost.testing.bundles import PaperBoard
from fieldpost.tlog.cosignature import cosigned_message

_BAR = 1.3
_KEYS = 100_000
# Twelve ones: as many hashes of edge as a large log has in the middle.
_COVERED = 4_095
_TURNS = 60
_EACH = 20

Check = tuple[PublicKey, bytes, bytes]


def results() -> Iterator[Result]:
    """The bundle alone, as at nearly every check-in; then with the manifest of a new release."""
    values = {sha256(b"%d" % n).digest(): bytes(90) for n in range(_KEYS)}
    board = PaperBoard(operators=1, witnesses=2, values=values)
    provisioning = board.provisioning()
    belief, record = believe(provisioning)
    # A state leaf and a post stand before the last one.
    board.seal(b"%d" % n for n in range(_COVERED - 2 - board.checkpoint.size))
    offer = board.release(11)
    board.offer(offer, board.release(10))
    envelope = board.envelope(11)
    data, key, now = board.bundle(), board.head_key, board.time
    checks = _checks(board, data)

    def bundle() -> None:
        verify_bundle(belief, data, key=key, now=now)

    def everything() -> None:
        verified = verify_bundle(belief, data, key=key, now=now)
        verify_release(
            envelope.encode(),
            offer,
            maker=verified.belief.maker_view(),
            maker_id=verified.belief.maker,
            class_id=board.class_id,
            limits=record.limits,
        )

    edge = len(decode_bundle(data, most_bytes=MAX_PROOF_BYTES).edge)
    what = f"check-in verified, {len(data):,} bytes, edge of {edge}, 3 cosignatures"
    yield _compare(what, bundle, lambda: _verify(checks), bar=_BAR)
    release = board.maker_record.keys_of(Role.RELEASE).keys[0].key
    message = b"the same work for a signature of another text"
    signer = board.keys.release[0]
    more = (release, message, signer.sign(message))
    what = "  and its release's manifest, 4 signatures"
    yield _compare(what, everything, lambda: _verify([*checks, more]), bar=None)


def _checks(board: PaperBoard, data: bytes) -> list[Check]:
    """What the cosignatures of a bundle are judged by, prepared."""
    bundle = decode_bundle(data, most_bytes=MAX_PROOF_BYTES)
    keys = {key.key_id: key for op in board.board_record.operators for key in op.cosigner_keys}
    keys |= {witness.key.key_id: witness.key for witness in board.board_record.witnesses}
    return [
        (
            keys[one.key_id].public_key,
            cosigned_message(keys[one.key_id], board.checkpoint, one.timestamp),
            one.signature,
        )
        for one in bundle.cosignatures
    ]


def _verify(checks: list[Check]) -> None:
    for key, message, signature in checks:
        verify_signature(key, message, signature)


def _compare(
    what: str, ours: Callable[[], None], theirs: Callable[[], None], *, bar: float | None
) -> Result:
    """One beside the other; `bar` is how many times the floor it may take."""
    pairs = [(_us(ours), _us(theirs)) for _ in range(_TURNS)]
    # Whatever else runs on the machine only ever adds: the least of many turns is nearest to truth.
    least, floor = (min(side) for side in zip(*pairs, strict=True))
    return Result(
        what=what,
        unit="µs",
        ours=least,
        bar=None if bar is None else bar * floor,
        at_most=True,
        against="of its signatures alone",
        theirs=floor,
    )


def _us(work: Callable[[], None]) -> float:
    """Processor time of one, in µs."""
    began = time.process_time()
    for _ in range(_EACH):
        work()
    return (time.process_time() - began) / _EACH * 1e6
