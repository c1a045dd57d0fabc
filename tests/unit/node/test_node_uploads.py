# SPDX-License-Identifier: Apache-2.0
"""Manifests and blobs: only what a release names, only what is signed, resumed where it stopped."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from fieldpost.client.publisher import is_stored, upload_blob, upload_manifest
from fieldpost.client.transport import HttpClient
from fieldpost.errors import Conflict, Malformed, NotFound, Unavailable, Untrusted
from fieldpost.keys import Algorithm
from fieldpost.suit.envelope import AuthenticationBlock, decode_envelope, sign_manifest
from fieldpost.testing.signers import DeterministicSigner
from tests.unit.node.running_node import (
    LIMITS,
    Published,
    Running,
    bearer,
    permit_of,
    publish,
    running,
    with_class,
)


def blob_path(release: Published) -> str:
    return f"/v1/blobs/sha256/{sha256(release.image).hexdigest()}"


def write(folder: Path, data: bytes) -> Path:
    path = folder / "image.bin"
    path.write_bytes(data)
    return path


def patch(
    node: Running,
    release: Published,
    data: bytes,
    *,
    offset: int,
    complete: bool,
    permit: bytes | None = None,
) -> None:
    node.http.send(
        "PATCH",
        blob_path(release),
        data,
        content_type="application/partial-upload",
        headers={
            "Upload-Offset": str(offset),
            "Upload-Complete": "?1" if complete else "?0",
            **bearer(permit or release.permit),
        },
    )


def test_an_image_goes_up_and_comes_down(node: Running, tmp_path: Path) -> None:
    release = publish(node, with_class(node), size=200_000)
    digest = sha256(release.image).digest()
    assert not is_stored(node.http, digest)
    advances: list[int] = []
    # The node takes at most 64 KiB in one piece here, so the client's piece is refused first.
    with pytest.raises(Malformed):
        upload_blob(node.http, write(tmp_path, release.image), digest=digest, permit=release.permit)
    for start in range(0, len(release.image), 65_536):
        piece = release.image[start : start + 65_536]
        last = start + len(piece) == len(release.image)
        patch(node, release, piece, offset=start, complete=last)
        advances.append(len(piece))
    assert sum(advances) == len(release.image)
    assert is_stored(node.http, digest)
    assert node.http.fetch(blob_path(release)) == release.image


def test_a_publisher_reports_progress_and_resumes(tmp_path: Path) -> None:
    with running(tmp_path / "data", replace(LIMITS, piece_bytes=8 * 1024 * 1024)) as node:
        release = publish(node, with_class(node), size=100_000)
        patch(node, release, release.image[:40_000], offset=0, complete=False)
        advances: list[int] = []
        digest = sha256(release.image).digest()
        path = write(tmp_path, release.image)
        upload_blob(node.http, path, digest=digest, permit=release.permit, progress=advances.append)
        assert advances == [40_000, 60_000]
        assert node.http.fetch(blob_path(release)) == release.image
        upload_blob(node.http, path, digest=digest, permit=release.permit, progress=advances.append)
        assert sum(advances) == 200_000, "what is there already counts as progress"


class Flaky(HttpClient):
    """A network that loses the answer to every second request."""

    count = 0

    def send(self, method: str, path: str, body: bytes | None = None, **rest: object) -> object:  # type: ignore[override]
        answer = super().send(method, path, body, **rest)  # type: ignore[arg-type]
        Flaky.count += 1
        if Flaky.count % 2 == 0:
            raise Unavailable("lost")
        return answer


def test_a_lost_answer_costs_nothing_but_time(tmp_path: Path) -> None:
    with running(tmp_path / "data", replace(LIMITS, piece_bytes=8 * 1024 * 1024)) as node:
        release = publish(node, with_class(node), size=100_000)
        waits: list[float] = []
        with Flaky(node.url) as http:
            digest, path = sha256(release.image).digest(), write(tmp_path, release.image)
            upload_blob(http, path, digest=digest, permit=release.permit, wait=waits.append)
        assert waits
        assert node.http.fetch(blob_path(release)) == release.image


def test_a_publisher_that_is_told_to_come_back_much_later_says_so_at_once(tmp_path: Path) -> None:
    """A maker would take minutes of silence for a program that hangs."""
    with running(tmp_path / "data", replace(LIMITS, reserve_bytes=2**50)) as node:
        release = publish(node, with_class(node))
        digest, path, waits = sha256(release.image).digest(), write(tmp_path, release.image), [0.0]
        with pytest.raises(Unavailable, match="of its disk free"):
            upload_blob(node.http, path, digest=digest, permit=release.permit, wait=waits.append)
        assert waits == [0.0]


def test_a_blob_that_no_release_names_is_not_taken(node: Running) -> None:
    world = with_class(node)
    free = replace(publish(node, world), image=b"free hosting")
    permit = permit_of(world, free.image)
    with pytest.raises(NotFound, match="publish it first"):
        patch(node, free, free.image, offset=0, complete=True, permit=permit)
    with pytest.raises(NotFound):
        node.http.send("HEAD", blob_path(free))


def test_bytes_with_another_digest_are_thrown_away(node: Running) -> None:
    release = publish(node, with_class(node), size=100)
    with pytest.raises(Malformed):
        patch(node, release, b"x" * 100, offset=0, complete=True)
    found = node.http.send("HEAD", blob_path(release), headers=bearer(release.permit))
    assert found.headers["upload-offset"] == "0"
    patch(node, release, release.image, offset=0, complete=True)
    assert node.http.fetch(blob_path(release)) == release.image


def test_more_bytes_than_the_release_says_are_refused(node: Running) -> None:
    release = publish(node, with_class(node), size=100)
    with pytest.raises(Malformed):
        patch(node, release, release.image + b"x", offset=0, complete=True)


def test_a_wrong_offset_is_answered_with_the_one_that_stands(node: Running) -> None:
    release = publish(node, with_class(node), size=100)
    patch(node, release, release.image[:30], offset=0, complete=False)
    with pytest.raises(Conflict) as refused:
        patch(node, release, release.image[50:], offset=50, complete=True)
    assert refused.value.current == "30"
    with pytest.raises(Conflict):
        patch(node, release, b"", offset=30, complete=True)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upload-Offset": "0"},
        {"Upload-Offset": "x", "Upload-Complete": "?1"},
        {"Upload-Offset": "-1", "Upload-Complete": "?1"},
        {"Upload-Offset": "0", "Upload-Complete": "yes"},
    ],
)
def test_an_upload_says_where_and_whether_it_ends(node: Running, headers: dict[str, str]) -> None:
    release = publish(node, with_class(node), size=100)
    with pytest.raises(Malformed):
        node.http.send(
            "PATCH",
            blob_path(release),
            release.image,
            content_type="application/partial-upload",
            headers=headers | bearer(release.permit),
        )


def test_a_download_can_be_resumed(node: Running) -> None:
    release = publish(node, with_class(node), size=1_000)
    patch(node, release, release.image, offset=0, complete=True)
    with node.http.stream(blob_path(release), offset=400, most_bytes=1_000) as download:
        assert (download.start, download.total) == (400, 1_000)
        assert b"".join(download.chunks) == release.image[400:]
    with pytest.raises(Malformed, match="outside"):
        node.http.fetch(blob_path(release), headers={"Range": "bytes=1000-"})
    whole = node.http.send(
        "GET", blob_path(release), headers={"Range": "bytes=1-2", "If-Range": '"other"'}
    )
    assert (whole.status, whole.body) == (200, release.image)
    assert "immutable" in whole.headers["cache-control"]


def test_a_manifest_goes_up_and_comes_down(node: Running) -> None:
    world = with_class(node)
    release = publish(node, world)
    path = f"/v1/manifests/{release.record.manifest.hex()}"
    with pytest.raises(NotFound):
        node.http.fetch(path)
    upload_manifest(node.http, release.envelope, digest=release.record.manifest)
    assert node.http.fetch(path, accept="application/suit-envelope+cose") == release.envelope
    releases = node.http.send("GET", f"/v1/classes/{release.record.class_id.hex()}/releases").json()
    assert isinstance(releases, list)
    assert releases[0]["manifest_stored"]


def test_a_manifest_that_no_release_names_is_not_taken(node: Running) -> None:
    release = publish(node, with_class(node))
    with pytest.raises(NotFound):
        upload_manifest(node.http, release.envelope, digest=b"\x00" * 32)


def test_a_manifest_under_another_releases_name_is_not_taken(node: Running) -> None:
    world = with_class(node)
    first, second = publish(node, world, 10), publish(node, world, 11)
    with pytest.raises(Untrusted, match="wrong-digest"):
        upload_manifest(node.http, first.envelope, digest=second.record.manifest)


def test_a_manifest_without_the_makers_signature_is_not_taken(node: Running) -> None:
    release = publish(node, with_class(node))
    envelope = decode_envelope(release.envelope)
    stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
    forged = replace(envelope, blocks=(sign_manifest(envelope.manifest, stranger),))
    with pytest.raises(Untrusted, match="manifest-threshold"):
        upload_manifest(node.http, forged.encode(), digest=release.record.manifest)
    block = envelope.blocks[0]
    broken = AuthenticationBlock(block.kid, block.algorithm, block.signature[:-1] + b"\x00")
    with pytest.raises(Untrusted, match="bad-signature"):
        upload_manifest(
            node.http, replace(envelope, blocks=(broken,)).encode(), digest=release.record.manifest
        )
    with pytest.raises(NotFound):
        node.http.fetch(f"/v1/manifests/{release.record.manifest.hex()}")


def test_a_strangers_signature_beside_the_makers_is_not_kept(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        release = publish(node, with_class(node))
        envelope = decode_envelope(release.envelope)
        stranger = DeterministicSigner(Algorithm.ED25519, "stranger")
        both = replace(
            envelope, blocks=(*envelope.blocks, sign_manifest(envelope.manifest, stranger))
        )
        upload_manifest(node.http, both.encode(), digest=release.record.manifest)
        path = f"/v1/manifests/{release.record.manifest.hex()}"
        assert node.http.fetch(path) == release.envelope
