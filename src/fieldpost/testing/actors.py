# SPDX-License-Identifier: Apache-2.0
"""People of the in-memory world: operators, witnesses and makers, with keys from their names.

A `MakerActor` writes posts as an honest maker would: the right nonce, epoch, previous digest and
signatures, read from the world's state. Every method takes changes to the record and other
signers, so a test says only what is wrong with its post.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final, Protocol

from fieldpost import cbor
from fieldpost.keys import Algorithm, Signer
from fieldpost.ledger.batch import LedgerState
from fieldpost.posts import subjects
from fieldpost.posts.envelope import Statement, sign_post
from fieldpost.posts.rollout import RolloutSet
from fieldpost.records import identifiers, map_keys
from fieldpost.records.board import Operator, Witness
from fieldpost.records.counters import Link
from fieldpost.records.device_class import ClassRecord, Encoding, decode_class_record
from fieldpost.records.head import Offer
from fieldpost.records.limits import FULL_THRESHOLD
from fieldpost.records.lot import LotRecord
from fieldpost.records.maker import KeySet, MakerRecord, Role, RoleKey
from fieldpost.records.policy import DevicePolicy
from fieldpost.records.release import Artifact, ReleaseRecord, decode_release_record
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.tlog.cosignature import cosigner_key
from fieldpost.tlog.note import ED25519, VerifierKey

LOT_ROOT: Final = b"\x11" * 32


class World(Protocol):
    """What an actor needs to know of the world it lives in."""

    state: LedgerState
    applied: int
    witnesses: tuple["WitnessActor", ...]


@dataclass(frozen=True, slots=True)
class OperatorActor:
    """An operator of the board `origin`, with its keys; each `generation` has others."""

    name: str
    origin: str
    generation: int = 0

    @property
    def governance(self) -> DeterministicSigner:
        """Signs for the board: genesis, its changes, endorsements, attestations."""
        return self._signer("governance")

    @property
    def log(self) -> DeterministicSigner:
        """Signs checkpoints."""
        return self._signer("log")

    def cosigner(self, algorithm: Algorithm = Algorithm.ED25519) -> DeterministicSigner:
        """Cosigns checkpoints."""
        return self._signer("cosigner", algorithm)

    @property
    def signers(self) -> tuple[DeterministicSigner, ...]:
        """Every signer that `operator()` names: what proves possession of a new operator."""
        return self.governance, self.log, self.cosigner()

    def _signer(self, use: str, algorithm: Algorithm = Algorithm.ED25519) -> DeterministicSigner:
        suffix = f"/{self.generation}" if self.generation else ""
        return DeterministicSigner(algorithm, f"{self.name}/{use}{suffix}")

    @property
    def cosigner_name(self) -> str:
        """The name under which the operator cosigns."""
        return f"{self.name}.test/cosigner"

    def operator(self, *, post_quantum: bool = False) -> Operator:
        """The operator's part of the board record."""
        algorithms = [Algorithm.ED25519] + [Algorithm.ML_DSA_44] * post_quantum
        return Operator(
            name=self.name,
            urls=(f"http://{self.name}.test",),
            governance_key=self.governance.public_key,
            log_key=VerifierKey(self.origin, ED25519, self.log.public_key.raw),
            cosigner_keys=tuple(
                cosigner_key(self.cosigner_name, self.cosigner(algorithm).public_key)
                for algorithm in algorithms
            ),
        )


@dataclass(frozen=True, slots=True)
class WitnessActor:
    """A witness, with its key."""

    name: str

    @property
    def signer(self) -> DeterministicSigner:
        """Cosigns checkpoints."""
        return DeterministicSigner(Algorithm.ED25519, f"{self.name}/witness")

    @property
    def key(self) -> VerifierKey:
        """The key as board record and device policies name it."""
        return cosigner_key(f"{self.name}.test/witness", self.signer.public_key)

    def witness(self) -> Witness:
        """The witness's part of the board record."""
        return Witness(key=self.key, url=f"http://{self.name}.test")


class MakerActor:
    """A maker with keys in every role. `shape` is (threshold, number of keys) of a role."""

    def __init__(
        self,
        world: World,
        name: str = "acme",
        *,
        shape: dict[Role, tuple[int, int]] | None = None,
        algorithm: Algorithm = Algorithm.ED25519,
    ) -> None:
        self.world = world
        self.name = name
        shapes = dict.fromkeys(Role, (1, 1)) | {Role.ROOT: (2, 3)} | (shape or {})
        self.threshold = {role: threshold for role, (threshold, _) in shapes.items()}
        self.keys = {
            role: tuple(
                DeterministicSigner(algorithm, f"{name}/{role.name.lower()}/{n}")
                for n in range(count)
            )
            for role, (_, count) in shapes.items()
        }
        self._id: bytes | None = None
        self._issued: dict[bytes, tuple[int, int]] = {}

    @property
    def id(self) -> bytes:
        """The maker id: 16 bytes."""
        if self._id is not None:
            return self._id
        roots = [signer.public_key for signer in self.keys[Role.ROOT]]
        return identifiers.maker_id(roots, self.threshold[Role.ROOT])

    def adopt(self, role: Role, signers: Sequence[DeterministicSigner], threshold: int = 1) -> None:
        """Act with these keys from now on, as after a `maker.set` that was accepted."""
        self._id = self.id  # it outlives the root keys that it was computed from
        self.keys[role] = tuple(signers)
        self.threshold[role] = threshold

    def class_id(self, name: str) -> bytes:
        """The id of this maker's class `name`."""
        return identifiers.class_id(self.id, name)

    def lot_id(self, *, count: int = 100, root: bytes = LOT_ROOT, name: str = "tracker") -> bytes:
        """The id of the lot that `lot_enrol` with these arguments enrols."""
        return identifiers.lot_id(maker=self.id, class_=self.class_id(name), count=count, root=root)

    def key_set(self, role: Role) -> KeySet:
        """The keys of a role as the record has them, without scopes."""
        keys = tuple(RoleKey(signer.public_key) for signer in self.keys[role])
        return KeySet(self.threshold[role], keys)

    def quorum(self, role: Role) -> tuple[Signer, ...]:
        """Just enough signers of a role."""
        return self.keys[role][: self.threshold[role]]

    # --- posts, as bytes ---

    def registration(
        self,
        *,
        signers: Sequence[Signer] | None = None,
        endorsers: Sequence[Signer] = (),
        **changes: Any,
    ) -> bytes:
        """`maker.register`, signed by every key."""
        record = replace(self.record(), **changes)
        everybody = [signer for role in Role for signer in self.keys[role]]
        return self.post(
            "maker.register",
            subjects.of_maker(self.id),
            record.encode(),
            [*(everybody if signers is None else signers), *endorsers],
        )

    def record(self) -> MakerRecord:
        """The first record, whose policy names the world's board and all its witnesses."""
        link = self.link_of(map_keys.board())
        witnesses = tuple(witness.key for witness in self.world.witnesses)
        return MakerRecord(
            epoch=0,
            previous=None,
            name=self.name,
            root=self.key_set(Role.ROOT),
            roles={role: self.key_set(role) for role in Role if role is not Role.ROOT},
            policy=DevicePolicy(
                board=self.world.state.board,
                urls=("http://board.test",),
                board_epoch=link.epoch,
                board_link=link.digest,
                least_size=0,
                witnesses=witnesses,
                witnesses_needed=len(witnesses),
            ),
        )

    def class_set(
        self, name: str = "tracker", *, signers: Sequence[Signer] | None = None, **changes: Any
    ) -> bytes:
        """`class.set`: a new class, or `changes` to the one that exists."""
        record_key = map_keys.device_class(self.class_id(name))
        value = self.world.state.map.value(record_key)
        if value is None:
            record = ClassRecord(
                epoch=0, previous=None, maker=self.id, name=name, support_end=2_000_000_000
            )
        else:
            link = self.link_of(record_key)
            before = decode_class_record(value)
            record = replace(before, epoch=link.epoch + 1, previous=link.digest)
        record = replace(record, **changes)
        return self.post(
            "class.set",
            subjects.of_class(record.id),
            record.encode(),
            self.quorum(Role.ROOT) if signers is None else signers,
        )

    def release_publish(
        self,
        sequence: int,
        *,
        name: str = "tracker",
        signers: Sequence[Signer] | None = None,
        **changes: Any,
    ) -> bytes:
        """`release.publish` of one image whose bytes are told by the sequence."""
        signers = self.quorum(Role.RELEASE) if signers is None else signers
        image = f"image {sequence} of {self.name}/{name}".encode()
        digest = sha256(image).digest()
        record = ReleaseRecord(
            nonce=0,
            class_id=self.class_id(name),
            sequence=sequence,
            version=f"1.{sequence}",
            manifest=sha256(b"manifest of " + image).digest(),
            envelope_bytes=512,
            artifacts=(
                Artifact(digest=digest, size=len(image), encoding=Encoding.IDENTITY, image=digest),
            ),
        )
        record = replace(record, **changes)
        if "nonce" not in changes:
            record = replace(record, nonce=self.next_nonce(Role.RELEASE, signers))
        subject = subjects.of_release(record.class_id, record.sequence)
        return self.post("release.publish", subject, record.encode(), signers)

    def offer(
        self,
        sequence: int,
        threshold: int = FULL_THRESHOLD,
        *,
        name: str = "tracker",
        **changes: Any,
    ) -> Offer:
        """An offer of a release that is published in the world's state."""
        value = self.world.state.map.value(map_keys.release(self.class_id(name), sequence))
        manifest = bytes(32) if value is None else decode_release_record(value).manifest
        offer = Offer(sequence=sequence, manifest=manifest, threshold=threshold)
        return replace(offer, **changes)

    def rollout_set(
        self,
        *offers: Offer,
        name: str = "tracker",
        channel: str = "stable",
        signers: Sequence[Signer] | None = None,
        **changes: Any,
    ) -> bytes:
        """`rollout.set` of one channel."""
        signers = self.quorum(Role.ROLLOUT) if signers is None else signers
        rollout = RolloutSet(
            nonce=0, class_id=self.class_id(name), channel=channel, offers=offers, interval_s=3_600
        )
        rollout = replace(rollout, **changes)
        if "nonce" not in changes:
            rollout = replace(rollout, nonce=self.next_nonce(Role.ROLLOUT, signers))
        subject = subjects.of_channel(rollout.class_id, rollout.channel)
        return self.post("rollout.set", subject, rollout.encode(), signers)

    def lot_enrol(
        self,
        *,
        count: int = 100,
        root: bytes = LOT_ROOT,
        name: str = "tracker",
        signers: Sequence[Signer] | None = None,
        **changes: Any,
    ) -> bytes:
        """`lot.enrol` of `count` devices under the Merkle root `root`."""
        signers = self.quorum(Role.ENROL) if signers is None else signers
        record = LotRecord(
            nonce=0,
            id=self.lot_id(count=count, root=root, name=name),
            class_id=self.class_id(name),
            count=count,
            root=root,
        )
        record = replace(record, **changes)
        if "nonce" not in changes:
            record = replace(record, nonce=self.next_nonce(Role.ENROL, signers))
        return self.post("lot.enrol", subjects.of_lot(record.id), record.encode(), signers)

    def post(
        self, kind: str, subject: str, payload: bytes, signers: Sequence[Signer], **claims: Any
    ) -> bytes:
        """Any post in this maker's name; `claims` replace issuer, subject or audience."""
        statement = Statement(
            kind=kind,
            issuer=self.id.hex(),
            subject=subject,
            audience=self.world.state.board,
            payload=payload,
        )
        return sign_post(replace(statement, **claims), signers).encode()

    def next_nonce(self, role: Role, signers: Sequence[Signer]) -> int:
        """The nonce of the next post in `role`, counted also within a batch."""
        if self.threshold[role] > 1:
            key = map_keys.nonce_of_role(self.id, role)
        else:
            key = map_keys.nonce_of_key(signers[0].public_key.thumbprint())
        applied, last = self._issued.get(key, (-1, 0))
        if applied != self.world.applied:
            # The last batch is the truth: what it refused used up no nonce.
            value = self.world.state.map.value(key)
            last = 0 if value is None else int(str(cbor.decode(value)))
        self._issued[key] = (self.world.applied, last + 1)
        return last + 1

    def link_of(self, record_key: bytes) -> Link:
        """The last link of a record in the world's state."""
        value = self.world.state.map.value(map_keys.link(record_key))
        assert value is not None, "the record does not exist in this world yet"
        return Link.decode(value)
