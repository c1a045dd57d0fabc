# SPDX-License-Identifier: Apache-2.0
"""What every store of blobs must do. A new one joins by being added to the fixture."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.errors import Conflict, Malformed, NotFound
from fieldpost.store.blobs import BlobStore, FileBlobs

DATA = bytes(range(256)) * 20
DIGEST = sha256(DATA).digest()
SIZE = len(DATA)
MAKER = b"\x01" * 16


@pytest.fixture(params=["files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return {"files": FileBlobs(tmp_path / "blobs")}[request.param]


def test_an_uploaded_blob_is_read_in_whole_and_in_parts(store: BlobStore) -> None:
    assert store.upload(DIGEST, 0, [DATA[:100], DATA[100:]], size=SIZE, maker=MAKER) == SIZE
    store.finish(DIGEST, size=SIZE, maker=MAKER)
    assert store.is_stored(DIGEST)
    assert store.stored_bytes(DIGEST) == SIZE
    assert store.read(DIGEST, 0, SIZE) == DATA
    assert store.read(DIGEST, 100, 300) == DATA[100:300]
    assert store.read(DIGEST, SIZE - 5, SIZE + 5) == DATA[-5:]


def test_nothing_is_stored_before_the_upload_is_finished(store: BlobStore) -> None:
    store.upload(DIGEST, 0, [DATA], size=SIZE, maker=MAKER)
    assert not store.is_stored(DIGEST)
    with pytest.raises(NotFound):
        store.read(DIGEST, 0, SIZE)
    with pytest.raises(NotFound):
        store.stored_bytes(DIGEST)


def test_an_upload_is_taken_up_where_it_broke_off(store: BlobStore) -> None:
    def broken() -> Iterator[bytes]:
        yield DATA[:1000]
        raise ConnectionError

    assert store.uploaded_bytes(DIGEST, maker=MAKER) == 0
    with pytest.raises(ConnectionError):
        store.upload(DIGEST, 0, broken(), size=SIZE, maker=MAKER)
    assert store.uploaded_bytes(DIGEST, maker=MAKER) == 1000
    with pytest.raises(Conflict) as missing:
        store.finish(DIGEST, size=SIZE, maker=MAKER)
    assert missing.value.current == "1000"
    store.upload(DIGEST, 1000, [DATA[1000:]], size=SIZE, maker=MAKER)
    store.finish(DIGEST, size=SIZE, maker=MAKER)
    assert store.read(DIGEST, 0, SIZE) == DATA


def test_another_offset_is_refused_with_the_one_that_stands(store: BlobStore) -> None:
    store.upload(DIGEST, 0, [DATA[:10]], size=SIZE, maker=MAKER)
    with pytest.raises(Conflict) as refused:
        store.upload(DIGEST, 20, [DATA[20:]], size=SIZE, maker=MAKER)
    assert refused.value.current == "10"
    assert store.uploaded_bytes(DIGEST, maker=MAKER) == 10


def test_bytes_beyond_the_stated_size_are_not_kept(store: BlobStore) -> None:
    with pytest.raises(Malformed, match="more bytes"):
        store.upload(DIGEST, 0, [DATA, b"more"], size=SIZE, maker=MAKER)
    assert store.uploaded_bytes(DIGEST, maker=MAKER) == SIZE
    store.finish(DIGEST, size=SIZE, maker=MAKER)
    assert store.read(DIGEST, 0, 2 * SIZE) == DATA


def test_wrong_bytes_are_refused_and_the_upload_begins_anew(store: BlobStore) -> None:
    store.upload(DIGEST, 0, [bytes(SIZE)], size=SIZE, maker=MAKER)
    with pytest.raises(Malformed, match="not those"):
        store.finish(DIGEST, size=SIZE, maker=MAKER)
    assert not store.is_stored(DIGEST)
    assert store.uploaded_bytes(DIGEST, maker=MAKER) == 0
    store.upload(DIGEST, 0, [DATA], size=SIZE, maker=MAKER)
    store.finish(DIGEST, size=SIZE, maker=MAKER)
    assert store.is_stored(DIGEST)


def test_a_finished_blob_stays_as_it_is(store: BlobStore) -> None:
    store.upload(DIGEST, 0, [DATA], size=SIZE, maker=MAKER)
    store.finish(DIGEST, size=SIZE, maker=MAKER)
    store.finish(DIGEST, size=SIZE, maker=MAKER)
    with pytest.raises(Conflict) as refused:
        store.upload(DIGEST, 0, [DATA], size=SIZE, maker=MAKER)
    assert refused.value.current == str(SIZE)
    assert store.read(DIGEST, 0, SIZE) == DATA


def test_an_empty_blob_is_a_blob(store: BlobStore) -> None:
    digest = sha256(b"").digest()
    store.upload(digest, 0, [], size=0, maker=MAKER)
    store.finish(digest, size=0, maker=MAKER)
    assert store.read(digest, 0, 1) == b""


def test_a_manifest_may_gain_signatures(store: BlobStore) -> None:
    with pytest.raises(NotFound):
        store.load_manifest(DIGEST)
    store.save_manifest(DIGEST, b"envelope")
    store.save_manifest(DIGEST, b"envelope with two signatures")
    assert store.load_manifest(DIGEST) == b"envelope with two signatures"


@pytest.mark.parametrize("digest", [b"", bytes(31), bytes(33)])
def test_a_digest_of_another_length_is_a_bug(store: BlobStore, digest: bytes) -> None:
    with pytest.raises(ValueError, match="digest"):
        store.is_stored(digest)


def test_makers_do_not_see_what_others_sent_of_the_same_blob(store: BlobStore) -> None:
    other = b"\x02" * 16
    store.upload(DIGEST, 0, [b"garbage"], size=SIZE, maker=other)
    assert store.uploaded_bytes(DIGEST, maker=MAKER) == 0
    store.upload(DIGEST, 0, [DATA], size=SIZE, maker=MAKER)
    store.finish(DIGEST, size=SIZE, maker=MAKER)
    assert store.read(DIGEST, 0, SIZE) == DATA
    assert store.uploaded_bytes(DIGEST, maker=other) == 0, "what nobody needs any more is gone"
