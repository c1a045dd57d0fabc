# SPDX-License-Identifier: Apache-2.0
"""A board written by hand, for what devices must judge: no ledger rule stands in the way.

    board = PaperBoard(operators=4, witnesses=2)
    belief, provisioning = believe(board.provisioning())
    board.offer(board.release(11))
    verify_bundle(belief, board.bundle(), key=board.head_key, now=board.time)

Where `world.BoardWorld` is honest because the ledger is, this one writes whatever it is told: it
can fork, roll back, and sign links by the wrong people. All follows from names and arguments.
"""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, Self

from fieldpost.checkin.build import build_bundle
from fieldpost.keys import Algorithm, Signer
from fieldpost.ledger.genesis import make_genesis
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.records import identifiers, map_keys
from fieldpost.records.board import BoardRecord
from fieldpost.records.device_class import DeviceLimits
from fieldpost.records.head import Head, Offer
from fieldpost.records.limits import FULL_THRESHOLD
from fieldpost.records.maker import MakerRecord
from fieldpost.records.policy import DevicePolicy
from fieldpost.records.provisioning import ProvisioningRecord
from fieldpost.records.state_leaf import StateLeaf
from fieldpost.statemap import StateMap
from fieldpost.suit.envelope import Envelope
from fieldpost.testing.actors import OperatorActor, WitnessActor
from fieldpost.testing.maker_keys import MakerKeys
from fieldpost.testing.world import START
from fieldpost.tlog.cosignature import Cosignature, cosign
from fieldpost.tlog.hashing import leaf_hash
from fieldpost.tlog.tree import CompactRange
from fieldpost.tlog.treehead import Checkpoint

CLASS_NAME = "tracker"


class PaperBoard:
    """One board, one maker, one class `tracker` with the channel `stable`.

    `time` is the next state leaf's and the default of cosignatures; nothing moves it by itself.
    `names` and `witness_names` are those who cosign now. `policy` holds changes to the first device
    policy.
    """

    def __init__(
        self,
        *,
        origin: str = "board.test/1",
        operators: int = 1,
        witnesses: int = 0,
        post_quantum: bool = False,
        maker: MakerKeys | None = None,
        policy: Mapping[str, Any] | None = None,
        values: Mapping[bytes, bytes] | None = None,
        time: int = START,
    ) -> None:
        self.origin = origin
        self.time = time
        self.names = tuple(f"operator{n}" for n in range(operators))
        self.witness_names = tuple(f"witness{n}" for n in range(witnesses))
        self.keys = MakerKeys() if maker is None else maker
        self.board_record = BoardRecord(
            origin=origin,
            epoch=0,
            previous=None,
            operators=self._operators(self.names, post_quantum=post_quantum),
            witnesses=tuple(WitnessActor(name).witness() for name in self.witness_names),
            witnesses_needed=witnesses,
        )
        genesis = make_genesis(self.board_record, [op.governance for op in self._people()])
        self.id = identifiers.board_id(origin, leaf_hash(genesis))
        self.board_chain = [genesis]
        root_keys = [signer.public_key for signer in self.keys.root]
        self.maker_id = identifiers.maker_id(root_keys, self.keys.root_threshold)
        self.class_id = identifiers.class_id(self.maker_id, CLASS_NAME)
        self.maker_record = MakerRecord(
            epoch=0,
            previous=None,
            name=self.keys.name,
            policy=replace(self.default_policy(), **(policy or {})),
            **self.keys.sets(),
        )
        self.maker_chain = [self._sign_maker("maker.register", self.maker_record, self.id)]
        self.head = Head(
            change_count=1,
            offers=(),
            interval_s=3_600,
            maker_epoch=0,
            maker_link=sha256(self.maker_chain[-1]).digest(),
        )
        self.map = StateMap.build((values or {}).items())
        self._before = CompactRange.empty()
        self.state_leaf = b""
        self.seal([genesis, self.maker_chain[-1]])

    # --- what stands on the board ---

    @property
    def head_key(self) -> bytes:
        """The map key of the channel's head."""
        return map_keys.head(self.class_id, "stable")

    @property
    def board_link(self) -> bytes:
        """SHA-256 of the last board link's entry."""
        return sha256(self.board_chain[-1]).digest()

    @property
    def maker_link(self) -> bytes:
        """SHA-256 of the last maker link's entry."""
        return sha256(self.maker_chain[-1]).digest()

    @property
    def edge(self) -> tuple[bytes, ...]:
        """The right edge of the tree that ends in the last state leaf."""
        return self._before.edge()

    @property
    def checkpoint(self) -> Checkpoint:
        """The tree that ends in the last state leaf."""
        whole = self._before.append(leaf_hash(self.state_leaf))
        return Checkpoint(self.origin, whole.size, whole.root())

    def default_policy(self) -> DevicePolicy:
        """A policy that names this board as it is now and every witness of it."""
        witnesses = tuple(witness.key for witness in self.board_record.witnesses)
        return DevicePolicy(
            board=self.id,
            urls=(f"http://{self.origin.split('/', maxsplit=1)[0]}",),
            board_epoch=self.board_record.epoch,
            board_link=self.board_link,
            least_size=0,
            witnesses=witnesses,
            witnesses_needed=len(witnesses),
        )

    def fork(self) -> Self:
        """A second history that agrees with this one up to here."""
        twin = copy.copy(self)
        twin.board_chain = list(self.board_chain)
        twin.maker_chain = list(self.maker_chain)
        return twin

    # --- writing ---

    def seal(self, entries: Iterable[bytes] = (b"a post",)) -> None:
        """Append `entries` and the state leaf over the records as they are now."""
        before = self._before.size
        if self.state_leaf:
            self._before = self._before.append(leaf_hash(self.state_leaf))
        self._before = self._before.extend(leaf_hash(entry) for entry in entries)
        self.map = self.map.update(
            {
                map_keys.board(): self.board_record.encode(),
                map_keys.maker(self.maker_id): self.maker_record.encode(),
                self.head_key: self.head.encode(),
            }
        )
        self.state_leaf = StateLeaf(
            covered_size=self._before.size,
            map_root=self.map.root,
            key_count=len(self.map),
            previous_state_index=before or None,
            time=self.time,
            board_epoch=self.board_record.epoch,
            board_link=self.board_link,
        ).encode()

    def release(self, sequence: int, **changes: Any) -> Offer:
        """An offer to everybody of the release with this sequence; `changes` to the offer."""
        envelope = self.envelope(sequence)
        offer = Offer(
            sequence=sequence, manifest=envelope.digest, threshold=FULL_THRESHOLD, salt=bytes(8)
        )
        return replace(offer, **changes)

    def envelope(self, sequence: int, **arguments: Any) -> Envelope:
        """What the offered release's manifest is; see `MakerKeys.sign_release`."""
        vendor = identifiers.vendor_id(self.maker_id)
        named = {"vendor": vendor, "class_id": self.class_id} | arguments
        return self.keys.sign_release(sequence, **named)

    def offer(self, *offers: Offer) -> None:
        """A head of these offers, and the state leaf of the batch."""
        self.head = replace(self.head, offers=offers, change_count=self.head.change_count + 1)
        self.seal()

    def board_set(
        self,
        names: Sequence[str],
        *,
        signers: Sequence[Signer] | None = None,
        audience: str | None = None,
        **changes: Any,
    ) -> bytes:
        """A `board.set` that makes `names` the operators; signed by everybody, old and new."""
        everybody = {op.name: op for op in (*self._people(), *self._people(names))}
        record = replace(
            self.board_record,
            epoch=self.board_record.epoch + 1,
            previous=self.board_link,
            operators=self._operators(names),
        )
        self.board_record = replace(record, **changes)
        statement = Statement(
            kind="board.set",
            issuer=self.names[0],
            subject=self.origin,
            audience=audience or self.id,
            payload=self.board_record.encode(),
        )
        by = [op.governance for op in everybody.values()] if signers is None else signers
        self.names = tuple(names)
        self.board_chain.append(sign_post(statement, by).encode())
        self.seal([self.board_chain[-1]])
        return self.board_chain[-1]

    def maker_set(
        self,
        *,
        keys: MakerKeys | None = None,
        signers: Sequence[Signer] | None = None,
        policy: Mapping[str, Any] | None = None,
        audience: str | None = None,
        **changes: Any,
    ) -> bytes:
        """A `maker.set`; signed by all old and new roots, and the head moves to it."""
        old, new = self.keys, self.keys if keys is None else keys
        record = replace(
            self.maker_record,
            epoch=self.maker_record.epoch + 1,
            previous=self.maker_link,
            policy=replace(self.maker_record.policy, **(policy or {})),
            **new.sets(),
        )
        audience = audience or self.maker_record.policy.board
        self.maker_record, self.keys = replace(record, **changes), new
        everybody = {s.public_key.thumbprint(): s for s in (*old.root, *new.root)}
        by = list(everybody.values()) if signers is None else signers
        self.maker_chain.append(
            self._sign_maker("maker.set", self.maker_record, audience, signers=by)
        )
        self.move_head()
        return self.maker_chain[-1]

    def take_over(self, other: "PaperBoard") -> None:
        """Register the maker of `other` here, with its chain of links so far."""
        self.keys, self.maker_id, self.class_id = other.keys, other.maker_id, other.class_id
        self.maker_record, self.maker_chain = other.maker_record, list(other.maker_chain)
        self.move_head()

    def move_head(self) -> None:
        """Name the maker's last link in the head, as the ledger does, and seal."""
        self.head = replace(
            self.head,
            change_count=self.head.change_count + 1,
            maker_epoch=self.maker_record.epoch,
            maker_link=self.maker_link,
        )
        self.seal([self.maker_chain[-1]])

    # --- what devices get ---

    def bundle(self, key: bytes | None = None, **arguments: Any) -> bytes:
        """The bundle for a map key (default: the head). `arguments` as for `cosignatures`."""
        return self.bundle_with(self.cosignatures(**arguments), key)

    def bundle_with(self, cosignatures: Iterable[Cosignature], key: bytes | None = None) -> bytes:
        """The bundle for a map key (default: the head) with these cosignatures."""
        return build_bundle(
            map=self.map,
            key=self.head_key if key is None else key,
            state_leaf=self.state_leaf,
            edge=self.edge,
            cosignatures=cosignatures,
        )

    def cosignatures(
        self,
        *,
        timestamp: int | None = None,
        operators: int | None = None,
        witnesses: int | None = None,
        algorithm: Algorithm = Algorithm.ED25519,
    ) -> tuple[Cosignature, ...]:
        """Cosignatures by the first `operators` and `witnesses` (None: all of them)."""
        at = self.time if timestamp is None else timestamp
        return tuple(
            cosign(
                self.checkpoint, name=op.cosigner_name, signer=op.cosigner(algorithm), timestamp=at
            )
            for op in self._people()[:operators]
        ) + tuple(
            cosign(self.checkpoint, name=w.key.name, signer=w.signer, timestamp=at)
            for w in map(WitnessActor, self.witness_names[:witnesses])
        )

    def provisioning(self, *, signers: Sequence[Signer] | None = None, **changes: Any) -> bytes:
        """The provisioning record of the class as things stand, signed by the root threshold."""
        record = ProvisioningRecord(
            board=self.id,
            urls=self.maker_record.policy.urls,
            board_record=self.board_record.encode(),
            board_link=self.board_link,
            maker=self.maker_id,
            maker_record=self.maker_record.encode(),
            maker_link=self.maker_link,
            class_id=self.class_id,
            channels=("stable",),
            least_interval_s=60,
            most_interval_s=86_400,
            least_size=self.checkpoint.size,
            least_time=self.time,
            limits=DeviceLimits(),
        )
        record = replace(record, **changes)
        statement = Statement(
            kind="provisioning",
            issuer=record.maker.hex(),
            subject=subjects.of_class(record.class_id),
            audience=record.board,
            payload=record.encode(),
        )
        by = self.keys.root[: self.keys.root_threshold] if signers is None else signers
        return sign_post(statement, by).encode()

    def _people(self, names: Sequence[str] | None = None) -> list[OperatorActor]:
        return [OperatorActor(name, self.origin) for name in names or self.names]

    def _operators(self, names: Sequence[str], *, post_quantum: bool = False) -> tuple[Any, ...]:
        return tuple(op.operator(post_quantum=post_quantum) for op in self._people(names))

    def _sign_maker(
        self,
        kind: str,
        record: MakerRecord,
        audience: str,
        signers: Sequence[Signer] | None = None,
    ) -> bytes:
        statement = Statement(
            kind=kind,
            issuer=self.maker_id.hex(),
            subject=subjects.of_maker(self.maker_id),
            audience=audience,
            payload=record.encode(),
        )
        return sign_post(statement, self.keys.root if signers is None else signers).encode()
