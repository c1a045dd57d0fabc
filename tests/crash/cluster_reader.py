# SPDX-License-Identifier: Apache-2.0
"""Somebody who believes no operator, and uses none of their code.

Notes, signature lines and the tree's hashes are read here by the words of C2SP (signed-note,
tlog-checkpoint, tlog-cosignature) and RFC 6962 alone. Whatever operators ever showed is kept: every
head anybody signed must be of one history, and that history the one that all hold in the end.
"""

import threading
from base64 import b64decode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fieldpost.records.board import BoardRecord

LOG, COSIGNER = 1, 4


@dataclass(frozen=True)
class Signer:
    """A key whose lines count: its name, whose it is, and what it signs as."""

    operator: str
    name: str
    kind: int
    key: bytes

    @property
    def hash(self) -> bytes:
        """What a line says of its key."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.key).digest()[:4]

    def is_valid(self, text: bytes, signature: bytes) -> bool:
        """Whether `signature`, as in a line, is this key's over a checkpoint's text."""
        if self.kind == COSIGNER:
            moment, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            text = b"cosignature/v1\ntime %d\n" % moment + text
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, text)
        except InvalidSignature:
            return False
        return True


def signers_of(record: BoardRecord) -> list[Signer]:
    """The keys of a record's operators."""
    return [
        Signer(operator.name, key.name, key.type, key.public)
        for operator in record.operators
        for key in (operator.log_key, *operator.cosigner_keys)
        if key.type in (LOG, COSIGNER)
    ]


@dataclass
class Reader:
    """Everything that was ever seen. For any thread."""

    origin: str
    signers: Sequence[Signer]
    quorum: int
    heads: dict[int, bytes] = field(default_factory=dict)
    signed: dict[tuple[str, int, int], bytes] = field(default_factory=dict)
    receipts: dict[bytes, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def receipt(self, post: bytes, index: int) -> None:
        """A post was acknowledged."""
        with self.lock:
            assert self.receipts.setdefault(post, index) == index, "one post, two receipts"

    def note(self, note: bytes, *, published: bool) -> int:
        """A signed head; its size. A published one has the log's and a quorum's signatures."""
        text, _, lines = note.partition(b"\n\n")
        text += b"\n"
        origin, size, root = text.decode().split("\n")[:3]
        assert origin == self.origin
        logs, cosigners = set[str](), set[str]()
        for line in lines.decode().splitlines():
            dash, name, data = line.split(" ")
            assert dash == "—"
            raw = b64decode(data, validate=True)
            for signer in self.signers:
                if (signer.name, signer.hash) != (name, raw[:4]):
                    continue
                assert signer.is_valid(text, raw[4:]), f"{signer.operator}: a bad signature"
                (logs if signer.kind == LOG else cosigners).add(signer.operator)
                self._signed(signer, int(size), b64decode(root))
        if published:
            assert logs, f"size {size} is published without a log's signature"
            assert len(cosigners) >= self.quorum, f"size {size} is published by {cosigners}"
        return int(size)

    def _signed(self, signer: Signer, size: int, root: bytes) -> None:
        with self.lock:
            key = signer.operator, signer.kind, size
            first = self.signed.setdefault(key, root)
            assert first == root, f"{signer.operator} signed two roots of size {size}"
            assert self.heads.setdefault(size, root) == root, f"two roots of size {size} are signed"

    def check_history(self, entries: Sequence[bytes], *, complete: bool = True) -> None:
        """`entries`, a node's whole log, against everything that was seen."""
        roots = dict(zip(range(1, len(entries) + 1), roots_of(entries), strict=True))
        for size, root in self.heads.items():
            if complete or size <= len(entries):
                assert roots.get(size) == root, f"what was signed at {size} is not this history"
        places: dict[bytes, int] = {}
        for index, entry in enumerate(entries):
            if entry in self.receipts:
                assert entry not in places, f"the post at {places[entry]} is there twice"
                places[entry] = index
        if complete:
            assert places == self.receipts, "acknowledged posts are lost, or elsewhere"


def roots_of(entries: Iterable[bytes]) -> Iterable[bytes]:
    """The Merkle tree hash (RFC 6962 §2.1) of every prefix, from the first entry on."""
    peaks: list[tuple[int, bytes]] = []
    for entry in entries:
        peaks.append((1, sha256(b"\0" + entry).digest()))
        while len(peaks) > 1 and peaks[-1][0] == peaks[-2][0]:
            (width, left), (_, right) = peaks[-2:]
            peaks[-2:] = [(2 * width, sha256(b"\1" + left + right).digest())]
        root = peaks[-1][1]
        for _, left in reversed(peaks[:-1]):
            root = sha256(b"\1" + left + root).digest()
        yield root
