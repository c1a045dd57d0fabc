# SPDX-License-Identifier: Apache-2.0
"""Manifests and artifacts of every release on a board, in a folder or at a URL.

A manifest must be the one that its release names, with the signatures that its maker's keys demand;
an artifact must have the digest that names it. What is not there is no damage: nobody promised it.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from fieldpost.client.transport import HttpClient
from fieldpost.engines.replaying import Replayed
from fieldpost.errors import Malformed, NotFound, Unavailable, Untrusted
from fieldpost.ledger.batch import LedgerState
from fieldpost.node.manifest_audit import wrong_manifest
from fieldpost.records import map_keys
from fieldpost.records.release import ReleaseRecord, decode_release_record
from fieldpost.store.blobs import FileBlobs
from fieldpost.suit.envelope import decode_envelope
from fieldpost.watch.fsck_report import Finding, Progress, Unchecked

MOST_ENVELOPE: Final = 65_535
_MOST_BLOB: Final = 4 * 1024**3
_NOT_HERE: Final = "it is not there; its maker may never have sent it"
_ADVICE: Final = "ask another node or mirror, and tell this one"


class ReleaseList:
    """Which releases a log has, collected batch by batch."""

    def __init__(self) -> None:
        self._found: list[tuple[bytes, int]] = []

    def follow(self, replayed: Replayed) -> None:
        """The next batch of the log."""
        if replayed.before is None:
            return
        for entry in replayed.batch.entries[:-1]:
            statement = replayed.decode(entry).statement
            if statement.kind == "release.publish":
                release = decode_release_record(statement.payload)
                self._found.append((release.class_id, release.sequence))

    def __len__(self) -> int:
        return len(self._found)

    def records(self, state: LedgerState) -> Iterator[ReleaseRecord]:
        """The releases as `state` has them."""
        for class_id, sequence in self._found:
            value = state.map.value(map_keys.release(class_id, sequence))
            if value is not None:
                yield decode_release_record(value)


def missing_from(
    blobs: FileBlobs, releases: ReleaseList, state: LedgerState
) -> Iterator[Unchecked]:
    """What the board names and a folder does not have. What cannot be read is named elsewhere."""
    for record in releases.records(state):
        if _is_absent(blobs.manifest_path(record.manifest)):
            yield Unchecked(f"manifest {record.manifest.hex()}", _NOT_HERE)
        for digest, _ in _blobs_of(record):
            if _is_absent(blobs.path(digest)):
                yield Unchecked(f"blob {digest.hex()}", _NOT_HERE)


def _is_absent(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def check_site(
    http: HttpClient, releases: ReleaseList, state: LedgerState, *, progress: Progress
) -> Iterator[Finding | Unchecked]:
    """Fetch and check whatever the board names. Raises Unavailable."""
    seen: set[bytes] = set()
    with progress("checking manifests and artifacts", len(releases)) as advance:
        for record in releases.records(state):
            yield from _check_manifest(http, record, state)
            for digest, size in _blobs_of(record):
                if digest not in seen:
                    seen.add(digest)
                    yield from _check_blob(http, digest, size)
            advance(1)


def _blobs_of(record: ReleaseRecord) -> Iterator[tuple[bytes, int | None]]:
    for artifact in record.artifacts:
        yield artifact.digest, artifact.size
    for document in (record.sbom, record.notes):
        if document is not None:
            yield document, None


def _check_manifest(
    http: HttpClient, record: ReleaseRecord, state: LedgerState
) -> Iterator[Finding | Unchecked]:
    path = f"/v1/manifests/{record.manifest.hex()}"
    try:
        data = http.fetch(path, most_bytes=MOST_ENVELOPE)
    except NotFound:
        yield Unchecked(f"manifest {record.manifest.hex()}", _NOT_HERE)
        return
    what = wrong_manifest(data, state.map)
    if what is None and _digest_of(data) != record.manifest:
        what = "it is another manifest than the one that was asked for"
    if what is not None:
        yield Finding(f"{http.base_url}{path}", what, _ADVICE)


def _digest_of(data: bytes) -> bytes:
    try:
        return decode_envelope(data).digest
    except (Malformed, Untrusted):
        return b""


def _check_blob(http: HttpClient, digest: bytes, size: int | None) -> Iterator[Finding | Unchecked]:
    path = f"/v1/blobs/sha256/{digest.hex()}"
    found = sha256()
    count = 0
    try:
        with http.stream(path, most_bytes=_MOST_BLOB) as download:
            for chunk in download.chunks:
                found.update(chunk)
                count += len(chunk)
    except NotFound:
        yield Unchecked(f"blob {digest.hex()}", _NOT_HERE)
        return
    except Unavailable as error:
        yield Unchecked(f"blob {digest.hex()}", str(error))
        return
    if found.digest() != digest or count != (count if size is None else size):
        yield Finding(f"{http.base_url}{path}", "its bytes have another digest", _ADVICE)
