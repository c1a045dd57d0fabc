# SPDX-License-Identifier: Apache-2.0
"""Histories that an operator may sign: the true one, and others that are made from it.

    true = read_history(open_mirror("http://node"))
    fork = another_time(true)               the same posts, a second later: another root
    fork.bundle(key, cosignatures)          what a device is shown of it

Everything is computed by the project's own builders. Only a maker's signatures cannot be made here,
so no history has a post that its maker did not sign; a *state* may say anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from fieldpost.checkin.build import build_bundle
from fieldpost.engines.mirrors import Mirror, MirrorHead, entries_of, verify_tail
from fieldpost.keys import Algorithm
from fieldpost.ledger.batch import LedgerState, apply_batch
from fieldpost.ledger.reading import read_class
from fieldpost.ledger.replay import replay, replay_batches
from fieldpost.posts.envelope import Post, decode_post
from fieldpost.posts.rollout import decode_rollout_set
from fieldpost.records import identifiers, map_keys
from fieldpost.records.head import Head, Offer, decode_head
from fieldpost.records.limits import FULL_THRESHOLD
from fieldpost.records.release import decode_release_record
from fieldpost.records.state_leaf import is_state_leaf
from fieldpost.records.state_proof import StateProof
from fieldpost.suit.envelope import Envelope, sign_manifest
from fieldpost.suit.manifest import Component, Manifest, encode_manifest
from fieldpost.testing.signers import DeterministicSigner
from fieldpost.testing.world import BoardWorld
from fieldpost.tlog.checkpoint import parse_checkpoint, sign_checkpoint
from fieldpost.tlog.cosignature import Cosignature, format_cosignature
from fieldpost.tlog.hashing import Hash, leaf_hash
from fieldpost.tlog.note import MAX_NOTE_BYTES, Note, format_note, parse_note
from fieldpost.tlog.tree import CompactRange, MemoryTree
from fieldpost.tlog.treehead import Checkpoint, format_checkpoint

_BOARD_LINKS = ("genesis", "board.set")
_MAKER_LINKS = ("maker.register", "maker.set")


@dataclass(frozen=True, slots=True)
class History:
    """A log, and the state that its last leaf states, whether the rules make it or not."""

    origin: str
    entries: tuple[bytes, ...]
    state: LedgerState

    @property
    def head(self) -> Checkpoint:
        """The tree over all entries."""
        return Checkpoint(self.origin, len(self.entries), self.tree().root())

    @property
    def edge(self) -> tuple[Hash, ...]:
        """The inclusion path of the last entry."""
        return CompactRange.empty().extend(map(leaf_hash, self.entries[:-1])).edge()

    def tree(self) -> MemoryTree:
        """The Merkle tree of the entries."""
        return MemoryTree(map(leaf_hash, self.entries))

    def bundle(self, key: bytes, cosignatures: Iterable[Cosignature]) -> bytes:
        """The check-in bundle, or proof, for a map key."""
        return build_bundle(
            map=self.state.map,
            key=key,
            state_leaf=self.entries[-1],
            edge=self.edge,
            cosignatures=cosignatures,
        )

    def state_proof(self) -> bytes:
        """What a witness is given besides the checkpoint."""
        return StateProof(self.entries[-1], self.edge).encode()

    def board_links(self) -> list[bytes]:
        """The entries of the board's links, oldest first."""
        return [entry for entry, post in self._posts() if post.statement.kind in _BOARD_LINKS]

    def maker_links(self, maker: str) -> list[bytes]:
        """The entries of a maker's links, oldest first; the maker id in hex."""
        return [
            entry
            for entry, post in self._posts()
            if post.statement.kind in _MAKER_LINKS and post.statement.issuer == maker
        ]

    def last_channel(self) -> tuple[bytes, str]:
        """Class id and channel of the newest rollout. Raises ValueError where there is none."""
        for _, post in reversed(list(self._posts())):
            if post.statement.kind == "rollout.set":
                rollout = decode_rollout_set(post.statement.payload)
                return rollout.class_id, rollout.channel
        raise ValueError("this log has no rollout to lie about")

    def _posts(self) -> Iterable[tuple[bytes, Post]]:
        return ((one, decode_post(one)) for one in self.entries if not is_state_leaf(one))


def read_history(source: Mirror) -> History:
    """The log that a node, a mirror or a folder publishes, replayed. Raises as `verify_tail`."""
    note = source.read("checkpoint", MAX_NOTE_BYTES)
    head = parse_checkpoint(parse_note(note).text)
    tail = verify_tail(MirrorHead(source, note, head), CompactRange.empty())
    entries = tuple(entries_of(tail, 0))
    return History(head.origin, entries, replay(None, entries))


def before_last_batch(true: History) -> tuple[History, list[bytes]]:
    """The history without its last batch, and the posts of that batch."""
    *kept, last = replay_batches(None, true.entries)
    size = kept[-1].state.size
    return History(true.origin, true.entries[:size], kept[-1].state), list(last.entries[:-1])


def another_time(true: History, *, seconds: int = 1) -> History:
    """The last batch so much later: a fork of the same size."""
    base, posts = before_last_batch(true)
    return _extend(base, posts, time=true.state.last.time + seconds)


def left_out(true: History, *, seconds: int = 1) -> History:
    """The last batch without its last post, so much later, as if its maker had never sent it."""
    base, posts = before_last_batch(true)
    return _extend(base, posts[:-1], time=true.state.last.time + seconds)


def _extend(base: History, posts: Sequence[bytes], *, time: int) -> History:
    batch = apply_batch(base.state, posts, time=time)
    return History(base.origin, base.entries + batch.entries, batch.state)


@dataclass(frozen=True, slots=True)
class Forgery:
    """A release that the maker never signed: manifest and image by digest in hex."""

    manifest: Envelope
    image: bytes

    @property
    def files(self) -> dict[str, bytes]:
        """Everything that a device would ask for, by digest in hex."""
        return {
            self.manifest.digest.hex(): self.manifest.encode(),
            sha256(self.image).hexdigest(): self.image,
        }


def forge_release(true: History) -> tuple[Forgery, Offer]:
    """A release of the liar's own, signed by a key of its own, and an offer of it to everybody."""
    class_id, channel = true.last_channel()
    head = _head_of(true, class_id, channel)
    sequence = head.offers[0].sequence + 1
    image = b"an image that the maker never saw"
    vendor = identifiers.vendor_id(_maker_of(true, class_id))
    component = Component((b"image",), sha256(image).digest(), len(image))
    manifest = encode_manifest(Manifest(sequence, vendor, class_id, (component,)))
    signer = DeterministicSigner(Algorithm.ED25519, "the liar's release key")
    envelope = Envelope(manifest, (sign_manifest(manifest, signer),))
    return Forgery(envelope, image), _offer(sequence, envelope.digest)


def oldest_release(true: History) -> Offer:
    """An offer of the oldest release that the log knows, under a sequence that looks new."""
    class_id, channel = true.last_channel()
    newest = _head_of(true, class_id, channel).offers[0].sequence
    for sequence in range(1, newest + 1):
        value = true.state.map.value(map_keys.release(class_id, sequence))
        if value is not None:
            return _offer(newest + 1, decode_release_record(value).manifest)
    raise ValueError("this log has no release")


def wrong_state(true: History, *offers: Offer, changes: int = 1) -> History:
    """The last batch with a state that no rule makes: its channel offers `offers` instead.

    Its change count is so much larger than the true one.
    """
    class_id, channel = true.last_channel()
    head = _head_of(true, class_id, channel)
    changed = replace(head, offers=offers, change_count=head.change_count + changes)
    map_ = true.state.map.update({map_keys.head(class_id, channel): changed.encode()})
    leaf = replace(true.state.last, map_root=map_.root, key_count=len(map_))
    state = replace(true.state, map=map_, last=leaf)
    return History(true.origin, (*true.entries[:-1], leaf.encode()), state)


def another_board(true: History) -> tuple[History, bytes]:
    """A board that the liar founded under the same origin, no shorter than the true one.

    And its head, signed by that board's only operator.
    """
    class_id, channel = true.last_channel()
    key = map_keys.head(class_id, channel)
    world = BoardWorld.with_class(origin=true.origin, time=true.state.last.time)
    while len(world.entries) < len(true.entries):
        world.accept(world.maker.lot_enrol(root=sha256(world.entries[-1]).digest()))
    map_ = world.state.map.update({key: true.state.map.value(key) or b""})
    leaf = replace(world.state.last, map_root=map_.root, key_count=len(map_))
    state = replace(world.state, map=map_, last=leaf)
    history = History(true.origin, (*world.entries[:-1], leaf.encode()), state)
    operator = world.operators[0]
    lines = [sign_checkpoint(history.head, name=true.origin, signer=operator.log)]
    lines += [
        format_cosignature(one, name=operator.cosigner_name)
        for one in world.cosignatures(checkpoint=history.head)
    ]
    return history, format_note(Note(format_checkpoint(history.head), tuple(lines)))


def _offer(sequence: int, manifest: bytes) -> Offer:
    return Offer(sequence=sequence, manifest=manifest, threshold=FULL_THRESHOLD, salt=bytes(8))


def _head_of(history: History, class_id: bytes, channel: str) -> Head:
    value = history.state.map.value(map_keys.head(class_id, channel))
    assert value is not None  # a rollout of it is in the log
    return decode_head(value)


def _maker_of(history: History, class_id: bytes) -> bytes:
    return read_class(history.state.map, class_id).maker
