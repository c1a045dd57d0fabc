# SPDX-License-Identifier: Apache-2.0
"""What a node does, free of HTTP: the only object that handlers call, the fleet's apart.

Everything is answered from one published head, so no answer mixes two states. Methods that touch
the disk say so; a caller with an event loop runs those in a thread.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock

from fieldpost.engines.base import Answer, Engine, PublishedHead
from fieldpost.errors import NotFound, Unavailable, Untrusted
from fieldpost.ledger.reading import read_board
from fieldpost.metrics.prometheus import Metrics
from fieldpost.node import views
from fieldpost.node.catalog import Catalog, Named
from fieldpost.node.checkins import Checkins, Prepared, prepare
from fieldpost.node.config import Limits
from fieldpost.node.fast import FastAnswers
from fieldpost.node.manifests import (
    NamedRelease,
    complete,
    merge,
    served,
    signed_by,
    verify_upload,
)
from fieldpost.node.turns import Turns
from fieldpost.node.uploads import Upload, Uploads, UploadState
from fieldpost.node.witness_thread import WitnessState
from fieldpost.posts.permit import Permit, decode_permit, verify_permit
from fieldpost.records import map_keys
from fieldpost.records.lot import LotRecord
from fieldpost.records.maker import Role, Scope
from fieldpost.store.blobs import BlobStore
from fieldpost.store.log_files import read_bundle, read_file
from fieldpost.suit.envelope import Envelope, decode_envelope
from fieldpost.suit.manifest import decode_manifest
from fieldpost.tlog.note import NoteSignature, format_signature_lines
from fieldpost.tlog.offline import format_offline_proofs
from fieldpost.tlog.tiles import FULL_WIDTH, parse_entries_path, parse_tile_path, tile_at


class NodeService:
    """One board's node. `log` is the directory of its static log, `clock` whole Unix seconds."""

    def __init__(
        self,
        *,
        engine: Engine,
        blobs: BlobStore,
        log: Path,
        catalog: Path,
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], int],
        witnesses: Callable[[], Sequence[WitnessState]] = tuple,
        further_lines: Callable[[int], Sequence[NoteSignature]] = lambda _: (),
    ) -> None:
        self.board = engine.board
        self.blobs = blobs
        self.limits = limits
        self.metrics = metrics
        self._engine = engine
        self._log = log
        self._clock = clock
        self._witnesses = witnesses
        self._further_lines = further_lines
        self._catalog = Catalog(
            catalog, self._read_entries, board=engine.board, size=_published_size(engine)
        )
        self._uploads = Uploads(blobs, self._catalog, limits=limits, root=log)
        self._checkins = Checkins(limits.checkin_cache_entries)
        self.checkins_made = 0
        self.fast = FastAnswers(limits.checkin_cache_entries)
        self.turns = Turns()
        # A late cosignature may let a maker's devices have a newer size: no new newest head tells.
        engine.subscribe(lambda _: self._forget_answers())
        self._storing = Lock()

    def _forget_answers(self) -> None:
        self._checkins.forget()
        self.fast.forget()

    def close(self) -> None:
        """Close what this service opened; the engine is its owner's to close."""
        self._catalog.close()

    def head(self) -> PublishedHead:
        """What everything is answered from, bundles for devices apart."""
        return self._engine.published()

    def head_for(self, maker: bytes) -> PublishedHead:
        """The newest head that the maker's device policy accepts. Raises NotFound, Unavailable."""
        policy = views.maker_record(self.head(), maker).policy
        # Whoever moves to another board needs the proof of that under the policy that was.
        return self._engine.published(policy if policy.board == self.board else None)

    def least_max_age_s(self) -> float:
        """The shortest age at which some maker's devices call the board stale; infinite if none."""
        least = self._catalog.least_max_age_s(size=self.head().size)
        return float("inf") if least is None else least

    # --- posts ---

    def submit_many(
        self, entries: Sequence[bytes], done: Callable[[Sequence[Answer]], None]
    ) -> None:
        """Hand posts to the engine; `done` hears once all are durable and published, or refused."""
        self._engine.submit_many(entries, done)

    def receipt(self, digest: bytes) -> bytes:
        """The tlog-proof of the entry with this SHA-256. Raises NotFound. Reads the disk."""
        return self.proofs_of([self._engine.find_receipt(digest).index])[0]

    def proofs_of(self, indexes: Sequence[int]) -> list[bytes]:
        """The tlog-proofs of entries in the published tree. Reads the disk.

        Raises Unavailable while one of them is not published.
        """
        head = self.head()
        if max(indexes, default=0) >= head.size:
            raise Unavailable("the post is in the log, but not yet published", 5)
        paths = self._engine.prove_many(indexes, head.size)
        return format_offline_proofs(list(zip(indexes, paths, strict=True)), head.note)

    # --- the log's files, for nodes without a web server in front; reads the disk ---

    def checkpoint(self) -> bytes:
        """The published checkpoint, with lines of witnesses that the record does not name."""
        head = self.head()
        return head.note + format_signature_lines(self._further_lines(head.size)).encode()

    def cosigned(self, size: int) -> bytes:
        """A note with all that is signed here over a size. Raises NotFound."""
        return self._engine.cosigned(size)

    def when_cosigned(self, size: int, call: Callable[[], None]) -> Callable[[], None]:
        """See Engine."""
        return self._engine.when_cosigned(size, call)

    def log_file(self, path: str) -> bytes:
        """A tile or an entry bundle. Raises NotFound; Malformed for what is no such path."""
        if path.startswith("tile/entries/"):
            parse_entries_path(path)
        else:
            parse_tile_path(path)
        return read_file(self._log / path)

    def _read_entries(self, start: int, end: int) -> list[bytes]:
        size = self.head().size
        entries: list[bytes] = []
        for index in range(start // FULL_WIDTH, -(-end // FULL_WIDTH)):
            first = index * FULL_WIDTH
            bundle = read_bundle(self._log, tile_at(level=0, index=index, size=size))
            entries += bundle[max(start - first, 0) : end - first]
        return entries

    # --- bundles: no disk ---

    def checkin(self, class_id: bytes, channel: str, *, post_quantum: bool) -> Prepared:
        """The bundle of a channel's head. Raises NotFound for what the board has not.

        Absence is proven under `proof`; here it would only let strangers fill the cache.
        """
        self.checkins_made += 1
        newest, key = self.head(), map_keys.head(class_id, channel)

        def make() -> Prepared:
            views.value_of(newest, key, "class and channel")
            head = self.head_for(views.class_record(newest, class_id).maker)
            if head.map.value(key) is None:
                raise Unavailable("the maker's witnesses have not cosigned this class yet", 5)
            return prepare(head, key, post_quantum=post_quantum)

        return self._checkins.answer(newest, (class_id, channel, post_quantum), make)

    def proof(self, key: bytes, *, maker: bytes | None) -> Prepared:
        """The bundle of any map key, absent ones included; as `maker`'s devices accept it."""
        newest = self.head()

        def make() -> Prepared:
            head = newest if maker is None else self.head_for(maker)
            return prepare(head, key, post_quantum=False)

        return self._checkins.answer(newest, (key, (maker or b"").hex(), False), make)

    def rest_s(self, prepared: Prepared) -> int:
        """How long caches may keep a bundle: until the cosigners sign anew."""
        epoch_s = read_board(self.head().map).epoch_s
        return max(0, min(epoch_s, prepared.timestamp + epoch_s - self._clock()))

    # --- manifests and blobs: reads and writes the disk ---

    def store_manifest(self, digest: bytes, data: bytes) -> None:
        """Keep an uploaded envelope beside the signatures that are here already.

        Raises NotFound if no release names it, and as `verify_upload`.
        """
        release = self._named(digest, decode_envelope(data))
        envelope = verify_upload(data, release)
        with self._storing:
            try:
                older = decode_envelope(self.blobs.load_manifest(digest))
            except NotFound:
                older = envelope
            kept = merge(envelope, signed_by(older, release.keys.by_kid()))
            self.blobs.save_manifest(digest, kept.encode())

    def load_manifest(self, digest: bytes) -> bytes:
        """The envelope with signatures of current release keys alone. Raises NotFound."""
        try:
            envelope = decode_envelope(self.blobs.load_manifest(digest))
        except NotFound:
            raise NotFound("this node does not have the manifest yet; its maker sends it") from None
        release = self._named(digest, envelope)
        return served(complete(envelope, release), release).encode()

    def _named(self, digest: bytes, envelope: Envelope) -> NamedRelease:
        """The release that a manifest digest names, and what it depends on.

        The class comes from the manifest itself: another maker may have posted the same digest.
        """
        head = self.head()
        class_id = decode_manifest(envelope.manifest, decrypts=True).class_id
        record = views.release_of_manifest(head, class_id, digest)
        class_ = views.class_record(head, class_id)
        return NamedRelease(
            record=record,
            maker=class_.maker,
            keys=views.maker_record(head, class_.maker).keys_of(Role.RELEASE),
            limits=class_.limits,
            posted=views.posted_blocks(head, class_id, record.sequence),
        )

    def upload_state(self, digest: bytes, permit: bytes | None) -> UploadState:
        """How far a blob is; with a permit, how far its maker's upload is."""
        log_size = self.head().size
        maker = None if permit is None else self._verify_permit(digest, permit)[1]
        return self._uploads.state(digest, maker=maker, log_size=log_size)

    def check_upload(self, digest: bytes, permit: bytes, offset: int) -> Upload:
        """The upload that a permit admits, if it may go on at `offset`."""
        found, maker, named = self._verify_permit(digest, permit)
        log_size = self.head().size
        return self._uploads.check(found, named, offset, maker=maker, log_size=log_size)

    def _verify_permit(self, digest: bytes, data: bytes) -> tuple[Permit, bytes, list[Named]]:
        """The permit, its maker, and the maker's releases of which the signing key may send blobs.

        Raises Malformed, NotFound, and Untrusted as `verify_permit` and for a key's scope.
        """
        head, now, shown = self.head(), self._clock(), decode_permit(data)
        named = self._uploads.named(shown.maker, digest, log_size=head.size)
        keys = views.maker_record(head, shown.maker).keys_of(Role.RELEASE)
        entry = next((k for k in keys.keys if k.key.thumbprint() == shown.kid), None)
        key = None if entry is None else entry.key
        permit = verify_permit(shown, key, digest=digest, board=self.board, now=now)
        scope = None if entry is None else entry.scope
        named = [release for release in named if _is_within(scope, release.class_id, now)]
        if not named:
            raise Untrusted("scope", "the key is not for this class, or its time is over")
        return permit, shown.maker, named

    def uploading(self, upload: Upload) -> AbstractContextManager[None]:
        """Be the only one who uploads this blob for its maker."""
        return self._uploads.running(upload.digest, upload.maker)

    def save_piece(self, upload: Upload, offset: int, data: bytes) -> int:
        """Keep a piece of a blob; how much is here then."""
        return self._uploads.save(upload, offset, data)

    def finish_upload(self, upload: Upload) -> None:
        """Publish a blob that has all its bytes."""
        self._uploads.finish(upload)

    # --- records ---

    def board_view(self) -> views.Json:
        """The board, as JSON."""
        states = [
            {
                "name": one.name,
                "state": one.state,
                "size": one.size,
                "time": one.time,
                "counts": one.counts,
            }
            for one in self._witnesses()
        ]
        return views.board_view(self.head(), self.board) | {"witness_states": states}

    def board_links(self, since: int) -> list[bytes]:
        """The board's next link entries after epoch `since`. Reads the disk."""
        return self._engine.links(map_keys.board(), since, most_bytes=self.limits.links_bytes)

    def maker_view(self, maker: bytes) -> views.Json:
        """A maker, as JSON."""
        return views.maker_view(self.head(), maker)

    def maker_links(self, maker: bytes, since: int) -> list[bytes]:
        """A maker's next link entries after epoch `since`. Raises NotFound. Reads the disk."""
        views.maker_record(self.head(), maker)
        key = map_keys.maker(maker)
        return self._engine.links(key, since, most_bytes=self.limits.links_bytes)

    def class_view(self, class_id: bytes) -> views.Json:
        """A class, as JSON."""
        return views.class_view(self.head(), class_id)

    def releases_view(self, class_id: bytes) -> list[views.Json]:
        """A class's releases, newest first, as JSON. Reads the disk."""
        head = self.head()
        views.class_record(head, class_id)
        found: list[views.Json] = []
        for sequence in self._catalog.sequences(class_id, size=head.size):
            if head.map.value(map_keys.release(class_id, sequence)) is None:
                continue  # posted after this head: the catalog may be ahead by then
            record = views.release_record(head, class_id, sequence)
            stored = {a.digest for a in record.artifacts if self.blobs.is_stored(a.digest)}
            has_manifest = self._has_manifest(record.manifest)
            found.append(
                views.release_view(head, record, manifest_stored=has_manifest, stored=stored)
            )
        return found

    def releases(self) -> list[tuple[bytes, int]]:
        """Class and sequence of every release on the board. Reads the disk."""
        return self._catalog.releases(size=self.head().size)

    def _has_manifest(self, digest: bytes) -> bool:
        try:
            self.blobs.load_manifest(digest)
        except NotFound:
            return False
        return True

    def lot(self, lot: bytes) -> tuple[LotRecord, int]:
        """A lot's record, and the index of its post. Raises NotFound. Reads the disk."""
        head = self.head()
        record = views.lot_record(head, lot)
        return record, self._catalog.lot_entry(lot, size=head.size)


def _published_size(engine: Engine) -> int:
    try:
        return engine.published().size
    except Unavailable:
        return 0  # nothing is shown before a head is, whatever was indexed


def _is_within(scope: Scope | None, class_id: bytes, now: int) -> bool:
    """Whether a release key may act for a class now."""
    if scope is None:
        return True
    right_class = scope.classes is None or class_id in scope.classes
    return right_class and (scope.not_after is None or now <= scope.not_after)
